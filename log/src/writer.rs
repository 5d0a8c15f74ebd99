//! The writer of a partition: one per partition, on whatever thread owns it.
//!
//! An append copies the records into mapped memory and publishes two numbers. It takes no lock,
//! makes no system call and allocates nothing, except where a segment is full and no spare is
//! ready (counted), and at the very first append, which makes the epoch durable.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::{BatchHeader, BatchKind, encode_gap};
use crate::error::{AppendError, SyncError, TruncateError};
use crate::flush::flush;
use crate::header::SegmentHeader;
use crate::index::{IndexEntry, SparseIndex};
use crate::layout::{GAP_BATCH_BYTES, batch_limit, capacity_for, index_entries_max};
use crate::limits::{
    BATCH_HEADER_BYTES, BATCH_RECORDS_MAX, MEMORY_SEGMENTS_MAX, PAYLOAD_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
};
use crate::mapping::{MapWriter, Mapping};
use crate::meta::Checkpoint;
use crate::partition::{Durability, LostRange, Partition};
use crate::position::{EpochStart, Offset, PartitionId};
use crate::record::{Record, encode_record, record_bytes};
use crate::segment::{Segment, SegmentFile, SegmentStart};
use crate::shared::{Counters, Shared};

/// Bytes between two calls for the janitor, at least: a wake costs some microseconds.
const WAKE_BYTES_MIN: usize = 64 << 10;

/// The segment being written.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    map: MapWriter,
    position: usize,
    /// At this time (ms) the segment is old enough to be closed.
    roll_at: u64,
    /// At this position the janitor has something to do.
    wake_at: usize,
}

/// Appends to one partition.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1)?;
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
///
/// let started = Record { kind: 1, key: 7, payload: b"started", ..Record::default() };
/// let moved = Record { kind: 2, key: 7, payload: b"moved", ..Record::default() };
/// let offsets = writer.append(1_000, &[started, moved])?;
/// assert_eq!(offsets, 1..=2);
///
/// // Appended survives the end of the process; durable survives a power failure as well.
/// assert_eq!((writer.appended(), writer.durable()), (2, 0));
/// assert_eq!(writer.sync_now(1_000)?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    active: Option<Active>,
    next_offset: Offset,
    last_time: u64,
    epochs: Vec<EpochStart>,
    begun: bool,
    /// The start was not provably clean: what recovery left is synced before the first append.
    tail_unsynced: bool,
    /// Offsets from here to the next one are in no file.
    hole_from: Option<Offset>,
    batch_bytes_max: usize,
    /// Moves between threads, is not shared between them.
    _not_sync: PhantomData<Cell<()>>,
}

impl Writer {
    /// The writer of a recovered partition. `epochs` ends with this writer's.
    pub(crate) fn new(
        shared: Arc<Shared>,
        partition: Arc<Partition>,
        epochs: Vec<EpochStart>,
        tail_unsynced: bool,
    ) -> Writer {
        let mut writer = Writer {
            next_offset: partition.appended() + 1,
            last_time: partition.last_time.load(Ordering::Relaxed),
            batch_bytes_max: shared.options.batch_bytes_max(),
            active: None,
            epochs,
            begun: false,
            tail_unsynced,
            hole_from: None,
            shared,
            partition,
            _not_sync: PhantomData,
        };
        writer.partition.writer_alive.store(true, Ordering::Release);
        writer.active = writer.reopen();
        writer
    }

    /// Goes on in the newest segment, if it can be written.
    fn reopen(&self) -> Option<Active> {
        let segment = self
            .partition
            .with_segments(|segments| segments.last().cloned())?;
        if segment.is_sealed() || segment.file.is_none() {
            return None;
        }
        let map = segment.mapping.writer()?;
        let position = segment.mapping.published();
        Some(self.active(segment, map, position))
    }

    fn active(&self, segment: Arc<Segment>, map: MapWriter, position: usize) -> Active {
        let age = self.shared.options.segment_age_ms;
        let roll_at = segment.header.created_at.saturating_add(age) + self.shared.jitter(age);
        Active {
            segment,
            map,
            position,
            roll_at,
            wake_at: position,
        }
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition.id
    }

    /// The epochs of the partition, oldest first; the last one is this writer's. At most the
    /// newest 256.
    pub fn epochs(&self) -> &[EpochStart] {
        &self.epochs
    }

    /// This writer's epoch.
    pub fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |last| last.epoch)
    }

    /// The offset of the next record.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The offset of the newest record; readers see it. It survives the end of the process.
    pub fn appended(&self) -> Offset {
        self.partition.appended()
    }

    /// The offset up to which every record survives a power failure, or was reported lost.
    pub fn durable(&self) -> Offset {
        self.partition.durable()
    }

    /// What is known about one record.
    pub fn durability(&self, offset: Offset) -> Durability {
        self.partition.durability(offset)
    }

    /// True while nothing appended can become durable: the disk is full or has failed, and the
    /// partition runs in memory until there is space again.
    pub fn degraded(&self) -> bool {
        self.partition.degraded.load(Ordering::Acquire) || self.partition.poisoned_from().is_some()
    }

    /// Largest batch in bytes that `append` takes, 40 bytes of header included; a record takes 16
    /// bytes and its payload, rounded up to a multiple of 8.
    pub fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    /// Bytes a record takes in a batch, for callers that split.
    pub fn record_bytes(payload_bytes: usize) -> usize {
        record_bytes(payload_bytes)
    }

    /// Appends records as one batch and returns their offsets. Readers see all or none of it.
    ///
    /// `now_ms` is the server's clock; where it runs backwards the batch gets the time of the one
    /// before.
    ///
    /// A full or failing disk is no error here: the log goes on in memory, `degraded` says so,
    /// and nothing becomes durable meanwhile.
    pub fn append(
        &mut self,
        now_ms: u64,
        records: &[Record<'_>],
    ) -> Result<RangeInclusive<Offset>, AppendError> {
        let bytes = self.measure(records)?;
        if !self.begun {
            self.begin()?;
        }
        if self.partition.poisoned_from().is_some()
            || self.space_is_back()
            || !self.fits(bytes, now_ms)
        {
            self.roll(bytes, now_ms)?;
        }
        let time = now_ms.max(self.last_time);
        self.write(time, records, bytes);
        let first = self.next_offset;
        self.next_offset += records.len() as u64;
        self.last_time = time;
        Ok(first..=self.next_offset - 1)
    }

    /// Bytes of a batch of these records, if it is one that fits.
    fn measure(&self, records: &[Record<'_>]) -> Result<usize, AppendError> {
        if records.is_empty() {
            return Err(AppendError::Empty);
        }
        if records.len() > BATCH_RECORDS_MAX {
            return Err(AppendError::TooManyRecords {
                records: records.len(),
                records_max: BATCH_RECORDS_MAX,
            });
        }
        let mut bytes = BATCH_HEADER_BYTES;
        for (index, record) in records.iter().enumerate() {
            if record.payload.len() > PAYLOAD_BYTES_MAX {
                return Err(AppendError::PayloadTooLarge {
                    index,
                    bytes: record.payload.len(),
                    bytes_max: PAYLOAD_BYTES_MAX,
                });
            }
            bytes += record_bytes(record.payload.len());
        }
        if bytes > self.batch_bytes_max {
            return Err(AppendError::BatchTooLarge {
                bytes,
                bytes_max: self.batch_bytes_max,
            });
        }
        Ok(bytes)
    }

    fn space_is_back(&self) -> bool {
        self.partition.spare_ready.load(Ordering::Acquire)
            && self.partition.degraded.load(Ordering::Relaxed)
    }

    fn fits(&self, bytes: usize, now_ms: u64) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let room = active.position + bytes <= active.segment.mapping.reserved_from();
            room && (now_ms < active.roll_at || active.segment.is_empty())
        })
    }

    fn write(&mut self, time: u64, records: &[Record<'_>], bytes: usize) {
        let active = self
            .active
            .as_mut()
            .expect("a batch is written after `roll`");
        let start = active.position;
        let target = active.map.fill(start, bytes);
        let mut position = BATCH_HEADER_BYTES;
        for record in records {
            position += encode_record(record, &mut target[position..]);
        }
        let header = BatchHeader {
            bytes,
            body_crc: crc32fast::hash(&target[BATCH_HEADER_BYTES..]),
            generation: active.segment.header.generation,
            base_offset: self.next_offset,
            append_time: time,
            count: records.len() as u16,
            kind: BatchKind::Data,
            durable: Some(self.partition.durable()),
        };
        header.encode_without_len(target);
        active.map.publish_batch(start, bytes as u32);
        active.position = start + bytes;
        let entry = IndexEntry {
            offset: self.next_offset,
            time,
            position: start,
        };
        active.segment.index.note(entry);
        let end = self.next_offset + records.len() as u64;
        active.segment.advance(end, time);
        self.partition.publish_appended(end - 1);
        if active.position >= active.wake_at {
            self.call_janitor();
        }
    }

    /// Asks for pages ahead of the tail, and for the next segment once half of this one is full.
    fn call_janitor(&mut self) {
        let active = self.active.as_mut().expect("called after a write");
        let step = (self.shared.options.pretouch_window_bytes / 2).max(WAKE_BYTES_MIN);
        let half = active.segment.header.capacity / 2;
        active.wake_at = active.position + step;
        if active.position < half {
            active.wake_at = active.wake_at.min(half);
        } else if active.segment.file.is_some() {
            let next = self.partition.next_segment_bytes.load(Ordering::Relaxed);
            self.partition.spare_wanted.store(next, Ordering::Release);
        }
        self.shared.wake_janitor();
    }

    /// Makes the epoch durable, and what lies before it.
    fn begin(&mut self) -> Result<(), AppendError> {
        let partition = self.partition.id;
        let not_begun = |action: &str| {
            let action = action.to_owned();
            move |source| AppendError::NotBegun {
                partition,
                action,
                source,
            }
        };
        self.shared
            .remove_clean_mark()
            .map_err(not_begun("removing the clean mark"))?;
        // What recovery removed must not come back beside new records.
        self.shared
            .sync_directory()
            .map_err(not_begun("syncing the directory"))?;
        if self.tail_unsynced {
            self.sync_recovered_tail();
            self.tail_unsynced = false;
        }
        self.persist_epoch()
            .map_err(not_begun("writing the state file"))?;
        if let Some(active) = &self.active {
            active.segment.clear_footer();
        }
        self.begun = true;
        Ok(())
    }

    /// Syncs what recovery found and zeroed, so that nothing zeroed comes back behind new records.
    fn sync_recovered_tail(&mut self) {
        let zeroed = match self
            .active
            .as_ref()
            .and_then(|active| active.segment.file.as_ref())
        {
            Some(file) => file.handle.sync(),
            None => Ok(()),
        };
        if zeroed.is_err() {
            Counters::add(&self.shared.counters.sync_failures, 1);
            self.partition.poison(self.partition.durable() + 1);
            return;
        }
        // A failure poisons the file; the append that follows moves on behind a gap.
        let _ = flush(&self.shared, &self.partition);
    }

    fn persist_epoch(&mut self) -> io::Result<()> {
        match self.epochs.last() {
            Some(start) => self.shared.begin_epoch(&self.partition, *start),
            None => Ok(()),
        }
    }

    /// Moves on to a segment that takes a batch of `bytes`: a prepared one, one made here, or one
    /// in memory.
    fn roll(&mut self, bytes: usize, now_ms: u64) -> Result<(), AppendError> {
        self.note_poison();
        match self.file_segment(bytes, now_ms) {
            Ok((active, capacity)) => {
                self.install(active);
                self.leave_hole_behind();
                self.plan_next(capacity);
            }
            Err(_) => {
                let active =
                    self.memory_segment(bytes, now_ms)
                        .map_err(|source| AppendError::NoMemory {
                            partition: self.partition.id,
                            source,
                        })?;
                self.hole_from.get_or_insert(self.next_offset);
                self.install(active);
                self.keep_few_in_memory();
                self.partition.clear_poison();
                self.partition.spare_ready.store(false, Ordering::Release);
                self.partition.degraded.store(true, Ordering::Release);
                let wanted = self.partition.next_segment_bytes.load(Ordering::Relaxed);
                self.partition.spare_wanted.store(wanted, Ordering::Release);
            }
        }
        self.shared.wake_janitor();
        Ok(())
    }

    /// A failed sync leaves a hole that the next file has to explain.
    fn note_poison(&mut self) {
        if let Some(from) = self.partition.poisoned_from() {
            self.hole_from = Some(self.hole_from.map_or(from, |hole| hole.min(from)));
        }
    }

    fn file_segment(&self, bytes: usize, now_ms: u64) -> io::Result<(Active, usize)> {
        let planned = self.partition.next_segment_bytes.load(Ordering::Relaxed) as usize;
        let capacity = planned.max(capacity_for(bytes));
        let spare = match self.shared.take_spare(capacity) {
            Some(spare) => spare,
            None => {
                let spare = self.shared.create_spare(capacity)?;
                Counters::add(&self.shared.counters.segments_prepared_inline, 1);
                spare
            }
        };
        let file = SegmentFile::new(spare.stored.handle, spare.name, false);
        Ok((
            self.new_segment(spare.stored.mapping, Some(file), self.hole_from, now_ms),
            capacity,
        ))
    }

    fn memory_segment(&self, bytes: usize, now_ms: u64) -> io::Result<Active> {
        let capacity = (self.shared.options.segment_bytes_min as usize).max(capacity_for(bytes));
        let mapping = Mapping::anonymous(capacity, batch_limit(capacity))?;
        Counters::add(&self.shared.counters.segments_in_memory, 1);
        Ok(self.new_segment(mapping, None, None, now_ms))
    }

    /// Writes the header, and the gap if there is one, into a blank mapping.
    fn new_segment(
        &self,
        mapping: Mapping,
        file: Option<SegmentFile>,
        hole_from: Option<Offset>,
        now_ms: u64,
    ) -> Active {
        let mapping = Arc::new(mapping);
        let mut map = mapping.writer().expect("a new mapping has no writer");
        let header = SegmentHeader {
            partition: self.partition.id,
            generation: self.shared.generation(),
            log_id: self.shared.id,
            base_offset: hole_from.unwrap_or(self.next_offset),
            sequence: self.partition.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            created_at: now_ms,
            capacity: mapping.len(),
            epoch: self.epoch(),
        };
        header.encode(map.fill(0, SEGMENT_HEADER_BYTES));
        map.publish(SEGMENT_HEADER_BYTES);
        let mut position = SEGMENT_HEADER_BYTES;
        if let Some(from) = hole_from.filter(|from| *from < self.next_offset) {
            let (next, durable) = (self.next_offset, self.partition.durable());
            let time = now_ms.max(self.last_time);
            let target = map.fill(position, GAP_BATCH_BYTES);
            encode_gap(header.generation, from, next, time, durable, target);
            map.publish_batch(position, GAP_BATCH_BYTES as u32);
            position += GAP_BATCH_BYTES;
        }
        let start = SegmentStart {
            header,
            first_offset: self.next_offset,
            first_position: position,
            end: self.next_offset,
            first_time: 0,
            last_time: 0,
        };
        let index = SparseIndex::with_capacity(index_entries_max(mapping.len()));
        let segment = Arc::new(Segment::new(start, mapping, file, index));
        self.active(segment, map, position)
    }

    fn install(&mut self, active: Active) {
        let segment = Arc::clone(&active.segment);
        let unused = self.active.replace(active).and_then(|old| {
            old.segment.seal();
            old.segment.is_unused().then_some(old.segment)
        });
        self.partition.with_segments(|segments| {
            if let Some(unused) = &unused {
                segments.retain(|segment| !Arc::ptr_eq(segment, unused));
            }
            segments.push(segment);
        });
        if let Some(unused) = unused {
            self.shared.discard(unused);
        }
    }

    /// What lies between the hole's start and the new file will never be durable.
    fn leave_hole_behind(&mut self) {
        if let Some(from) = self.hole_from.take() {
            let next = self.next_offset;
            self.partition.with_segments(|segments| {
                for segment in segments
                    .iter()
                    .filter(|segment| segment.first_offset < next)
                {
                    if segment.end() > from {
                        segment.set_lost_from(from);
                    }
                }
            });
            if from < next {
                self.partition.note_lost(LostRange { from, end: next });
            }
        }
        self.partition.clear_poison();
        self.partition.spare_ready.store(false, Ordering::Release);
        self.partition.degraded.store(false, Ordering::Release);
        self.partition.spare_wanted.store(0, Ordering::Release);
    }

    fn plan_next(&self, capacity: usize) {
        let max = self.shared.options.segment_bytes_max;
        let next = (capacity as u64 * 2)
            .min(max)
            .max(self.shared.options.segment_bytes_min);
        self.partition
            .next_segment_bytes
            .store(next, Ordering::Relaxed);
    }

    /// Bounds the memory of a partition without a disk.
    fn keep_few_in_memory(&self) {
        let surplus = self.partition.with_segments(|segments| {
            let is_memory = |segment: &Arc<Segment>| segment.file.is_none();
            let in_memory = segments.iter().filter(|segment| is_memory(segment)).count();
            let mut surplus = Vec::new();
            while in_memory - surplus.len() > MEMORY_SEGMENTS_MAX {
                let oldest = segments.iter().position(is_memory).expect("counted above");
                surplus.push(segments.remove(oldest));
            }
            surplus
        });
        for segment in surplus {
            self.partition.leave_loss(&segment);
            self.shared.discard(segment);
        }
    }

    /// Asks the janitor to make everything appended so far durable as soon as it can. The
    /// listeners of `Log::on_durable` hear of it.
    pub fn request_sync(&self) {
        self.partition.sync_wanted.store(true, Ordering::Release);
        self.shared.wake_janitor();
    }

    /// Makes everything appended so far durable, here and now, and returns the durable mark. For
    /// a writer on a thread that may wait; a pinned one uses `request_sync`.
    ///
    /// After an error the records it names are not durable and never will be; the next append
    /// goes to another file if there is one to be had, and can be made durable again.
    pub fn sync_now(&mut self, _now_ms: u64) -> Result<Offset, SyncError> {
        if self.partition.degraded.load(Ordering::Acquire) {
            self.ask_for_space();
        }
        flush(&self.shared, &self.partition)
    }

    /// Finds out whether the disk takes a file again; the next append moves to it. With a janitor
    /// that is its work, but a writer that syncs by itself may have none.
    fn ask_for_space(&self) {
        let bytes = self.partition.next_segment_bytes.load(Ordering::Relaxed) as usize;
        if self.shared.spares_of(bytes) == 0 {
            match self.shared.create_spare(bytes) {
                Ok(spare) => self.shared.put_spare(spare),
                Err(_) => return,
            }
        }
        self.partition.spare_ready.store(true, Ordering::Release);
    }

    /// Closes a segment that has become old although nothing is appended, so that retention can
    /// drop it. Cheap; call it from a timer.
    pub fn poll(&mut self, now_ms: u64) {
        let aged = |active: &Active| now_ms >= active.roll_at && !active.segment.is_empty();
        // A footer must not be written to a segment whose state is not this run's yet.
        if self.begun && self.active.as_ref().is_some_and(aged) {
            let old = self.active.take().expect("checked above");
            old.segment.seal();
            self.shared.wake_janitor();
        }
    }

    /// Says that the owner has written a complete checkpoint into the log at `begin..=end`. Once
    /// `end` is durable the janitor makes the hint durable, and retention may drop segments that
    /// lie wholly before `begin`.
    ///
    /// # Panics
    ///
    /// If the span is empty or was not appended: that is a bug of the owner.
    pub fn set_checkpoint(&mut self, begin: Offset, end: Offset) {
        assert!(0 < begin, "offsets start at 1");
        assert!(begin <= end, "checkpoint {begin}..={end} is empty");
        assert!(
            end < self.next_offset,
            "checkpoint ends at {end}, beyond {}",
            self.next_offset
        );
        self.partition
            .want_checkpoint(Some(Checkpoint { begin, end }));
        self.request_sync();
    }

    /// Where replay of the newest durable checkpoint starts.
    pub fn checkpoint(&self) -> Option<Offset> {
        self.partition.checkpoint_begin()
    }

    /// Takes away every record behind `offset` and starts a new epoch there. For replication: the
    /// new owner's log differs from here on. Durable when it returns; readers that were beyond
    /// get `Truncated`.
    pub fn truncate_after(&mut self, now_ms: u64, offset: Offset) -> Result<(), TruncateError> {
        let first = self.partition.first_offset();
        if offset + 1 < first || offset >= self.next_offset {
            return Err(TruncateError::OutOfRange {
                partition: self.partition.id,
                offset,
                first,
                last: self.next_offset - 1,
            });
        }
        self.cut(now_ms, offset)
            .map_err(|source| TruncateError::Storage {
                action: format!("truncating {}", self.partition.id),
                source,
            })
    }

    /// A file that begins at `offset + 1` and was made later is what takes records away: where two
    /// files claim an offset the later one is right. No byte that a follower may hold is changed.
    fn cut(&mut self, now_ms: u64, offset: Offset) -> io::Result<()> {
        self.shared.remove_clean_mark()?;
        if self.tail_unsynced {
            self.sync_recovered_tail();
            self.tail_unsynced = false;
        }
        // What stays has to be durable. Where that fails, the new file begins with a gap.
        let _ = flush(&self.shared, &self.partition);
        self.note_poison();
        let before = (self.next_offset, self.hole_from);
        let persisted = self
            .partition
            .state
            .lock()
            .expect("partition state")
            .epoch();
        let epoch = self.epoch().max(persisted) + 1;
        self.next_offset = offset + 1;
        self.epochs.push(EpochStart {
            epoch,
            first_offset: offset + 1,
        });
        self.hole_from = self.hole_from.filter(|from| *from < self.next_offset);
        let partition = Arc::clone(&self.partition);
        let _flushing = partition.flush.lock().expect("flush");
        match self.make_cut(now_ms) {
            Ok(active) => {
                self.adopt_cut(active, offset);
                Ok(())
            }
            Err(error) => {
                self.epochs.pop();
                (self.next_offset, self.hole_from) = before;
                Err(error)
            }
        }
    }

    /// Makes the cut durable. The state goes first: an epoch too many makes cursors invalid and
    /// harms nothing, an epoch too few would make them wrong.
    fn make_cut(&mut self, now_ms: u64) -> io::Result<Active> {
        self.persist_cut_epoch()?;
        let (active, _) = self.file_segment(0, now_ms)?;
        let file = active.segment.file.as_ref().expect("made from a file");
        file.handle.sync()?;
        self.shared.name_segment(&self.partition, &active.segment)?;
        self.shared.sync_directory()?;
        Ok(active)
    }

    fn persist_cut_epoch(&self) -> io::Result<()> {
        let start = *self.epochs.last().expect("just pushed");
        self.shared.update_state(&self.partition, |state| {
            state.push_epoch(start);
            state.checkpoint = state
                .checkpoint
                .filter(|span| span.end < start.first_offset);
        })
    }

    fn adopt_cut(&mut self, active: Active, offset: Offset) {
        let gone = self.partition.with_segments(|segments| {
            for segment in segments.iter() {
                segment.seal();
                segment.cut(offset + 1);
            }
            let stays = |segment: &Arc<Segment>| segment.first_offset <= offset;
            let (stay, gone) = segments.drain(..).partition(stays);
            *segments = stay;
            let gone: Vec<Arc<Segment>> = gone;
            gone
        });
        self.active = None;
        for segment in gone {
            self.shared.discard(segment);
        }
        self.partition.reset_checkpoint(offset);
        self.partition
            .publish_durable(offset.min(self.partition.durable()));
        self.partition.publish_appended(offset);
        self.install(active);
        self.leave_hole_behind();
        self.begun = true;
    }

    /// Says that no record before `offset` is needed any more: readers there get a gap, and the
    /// janitor drops the segments that lie wholly before it. Durable when it returns.
    pub fn purge_before(&mut self, offset: Offset) -> Result<(), TruncateError> {
        if offset > self.next_offset {
            return Err(TruncateError::OutOfRange {
                partition: self.partition.id,
                offset,
                first: self.partition.first_offset(),
                last: self.next_offset - 1,
            });
        }
        self.shared
            .raise_floor(&self.partition, offset)
            .map_err(|source| TruncateError::Storage {
                action: format!("purging {}", self.partition.id),
                source,
            })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.partition
            .last_time
            .store(self.last_time, Ordering::Relaxed);
        self.partition.writer_alive.store(false, Ordering::Release);
    }
}
