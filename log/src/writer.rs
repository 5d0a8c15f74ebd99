//! The writer of a partition: one per partition, on whatever thread owns it.
//!
//! An append copies the records into mapped memory and publishes two numbers. It takes no lock,
//! makes no system call and allocates nothing, except where a segment is full and no spare is
//! ready (counted), and at the very first append, which makes the epoch durable; a writer that asks
//! beforehand ([`Writer::is_ready_for`]) has that done for it. With the
//! `pwrite` backend it makes two system calls.

mod cut;
mod ready;
mod roll;

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::{Backend, SegmentWriter};
use crate::batch::{BatchHeader, BatchKind};
use crate::error::{AppendError, SyncError};
use crate::flush::flush;
use crate::index::IndexEntry;
use crate::limits::{BATCH_HEADER_BYTES, BATCH_RECORDS_MAX, PAYLOAD_BYTES_MAX};
use crate::meta::Checkpoint;
use crate::partition::{Beginning, Durability, Partition};
use crate::position::{EpochStart, Offset, PartitionId};
use crate::record::{Record, encode_record, record_bytes};
use crate::segment::Segment;
use crate::shared::{Counters, Shared, Spare, Worker};
use crate::storage::CachePieces;

/// Bytes between two calls for the janitor, at least: a wake costs some microseconds.
const WAKE_BYTES_MIN: usize = 64 << 10;

/// The segment being written.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    map: SegmentWriter,
    position: usize,
    /// No batch ends behind this position, but for the first: less than would fit, so that partitions
    /// which are written alike do not roll together.
    full_at: usize,
    /// The segment stays open at these times (ms): while it is young. A clock that says that it is
    /// made far in the future was wrong then, and nobody knows how old the segment is.
    young: Range<u64>,
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
/// assert_eq!(writer.sync_now()?, 2);
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
    /// The owner asks before it appends whether that would wait for the disk: then it never does.
    asks: bool,
    /// A file for the next segment.
    reserved: Option<Spare>,
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
        *partition.beginning.lock().expect("beginning") = Beginning {
            epoch: epochs.last().copied(),
            tail_unsynced,
            done: false,
        };
        let mut writer = Writer {
            next_offset: partition.appended() + 1,
            last_time: partition.last_time.load(Ordering::Relaxed),
            batch_bytes_max: shared.options.batch_bytes_max(),
            active: None,
            epochs,
            begun: false,
            asks: false,
            reserved: None,
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
        let handle = segment.file.as_ref().map(|file| &file.handle);
        let map = SegmentWriter::new(self.shared.options.writer, map, handle);
        let position = segment.mapping.published();
        Some(self.active(segment, map, position))
    }

    fn active(&self, segment: Arc<Segment>, map: SegmentWriter, position: usize) -> Active {
        let age = self.shared.options.segment_age_ms;
        let made = segment.header.created_at;
        let old_at = made
            .saturating_add(age)
            .saturating_add(self.shared.jitter(age));
        let limit = segment.mapping.reserved_from();
        // The generation is random, and the segment's for good.
        let full_at = limit - segment.header.generation as usize % (limit / 8 + 1);
        Active {
            segment,
            map,
            position,
            full_at,
            young: made.saturating_sub(age)..old_at,
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
    /// partition runs in memory until there is space again. Also while it refuses what the first record
    /// of a start needs ([`AppendError::NotBegun`]).
    pub fn degraded(&self) -> bool {
        self.partition.is_degraded()
    }

    /// The offset from which on nothing will become durable, whatever the disk does next, while the
    /// partition is [`Writer::degraded`]. Who waits for such a record need not wait for the disk to
    /// come back: then it is reported lost.
    pub fn lost_from(&self) -> Option<Offset> {
        [self.hole_from, self.partition.poisoned_from()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether records were lost that no checkpoint makes up for, and the disk would take one: what
    /// they changed in the owner's state survives only if the owner writes that state now, as a
    /// checkpoint that begins behind them ([`Writer::set_checkpoint`]).
    ///
    /// Also when nothing is appended any more. Not while the partition has to run in memory; then it
    /// becomes true when there is a file again. The next append goes there.
    ///
    /// ```
    /// use skein_log::{Log, MemoryStorage, Operation, Options, PartitionId, Record};
    ///
    /// let storage = MemoryStorage::new();
    /// let options = Options { partitions: 1, ..Options::default() };
    /// let (mut log, _) = Log::open(storage.clone(), options, 0, 1)?;
    /// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    /// writer.append(5, &[Record { payload: b"seven", ..Record::default() }])?;
    /// storage.fail_call(Operation::Sync, 0);
    /// assert!(writer.sync_now().is_err(), "the disk fails");
    /// assert!(writer.wants_checkpoint());
    ///
    /// let state = Record { kind: 9, payload: b"the sum is seven", ..Record::default() };
    /// let at = writer.append(6, &[state])?;
    /// writer.set_checkpoint(*at.start(), *at.end());
    /// assert!(!writer.wants_checkpoint());
    /// writer.sync_now()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wants_checkpoint(&self) -> bool {
        let lost_end = match self.lost_from() {
            Some(_) => Some(self.next_offset),
            None => self.partition.lost_end(),
        };
        let Some(lost_end) = lost_end else {
            return false;
        };
        let in_memory = self.partition.degraded.load(Ordering::Acquire);
        let takes_records = !in_memory || self.partition.spare_ready.load(Ordering::Acquire);
        takes_records && self.partition.newest_checkpoint_begin() < Some(lost_end)
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
    /// `now_ms` is the owner's clock; where it runs backwards the batch gets the time of the one
    /// before.
    ///
    /// A full or failing disk is no error here: the log goes on in memory, `degraded` says so,
    /// and nothing becomes durable meanwhile.
    pub fn append(
        &mut self,
        now_ms: u64,
        records: &[Record<'_>],
    ) -> Result<RangeInclusive<Offset>, AppendError> {
        self.append_from(now_ms, records.iter().copied())
    }

    /// The same with records that are made as they are written, for callers that have them in another form: none has to
    /// be collected. They are gone through more than once and must be the same each time.
    ///
    /// # Errors
    /// As for [`Writer::append`].
    ///
    /// ```
    /// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
    ///
    /// let options = Options { partitions: 1, ..Options::default() };
    /// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1)?;
    /// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    /// let words = ["here", "there"];
    /// let record = |word: &&'static str| Record { payload: word.as_bytes(), ..Record::default() };
    /// assert_eq!(writer.append_from(1_000, words.iter().map(record))?, 1..=2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_from<'a>(
        &mut self,
        now_ms: u64,
        records: impl ExactSizeIterator<Item = Record<'a>> + Clone,
    ) -> Result<RangeInclusive<Offset>, AppendError> {
        let bytes = self.measure(records.clone())?;
        if !self.begun {
            self.begin()?;
        }
        if self.must_roll(bytes, now_ms) {
            self.roll(bytes, now_ms)?;
        }
        let time = now_ms.max(self.last_time);
        if self.write(time, records.clone(), bytes).is_err() {
            Counters::add(&self.shared.counters.write_failures, 1);
            self.go_on_in_memory(bytes, now_ms)?;
            self.shared.wake(Worker::Preparer);
            let written = self.write(time, records.clone(), bytes);
            written.expect("memory takes what fits");
        }
        let first = self.next_offset;
        self.next_offset += records.len() as u64;
        self.last_time = time;
        Ok(first..=self.next_offset - 1)
    }

    /// Bytes of a batch of these records, if it is one that fits.
    fn measure<'a>(
        &self,
        records: impl ExactSizeIterator<Item = Record<'a>>,
    ) -> Result<usize, AppendError> {
        if records.len() == 0 {
            return Err(AppendError::Empty);
        }
        if records.len() > BATCH_RECORDS_MAX {
            return Err(AppendError::TooManyRecords {
                records: records.len(),
                records_max: BATCH_RECORDS_MAX,
            });
        }
        let mut bytes = BATCH_HEADER_BYTES;
        for (index, record) in records.enumerate() {
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

    /// A batch of `bytes` goes to another segment.
    #[inline]
    fn must_roll(&self, bytes: usize, now_ms: u64) -> bool {
        self.partition.poisoned_from().is_some()
            || self.space_is_back()
            || !self.fits(bytes, now_ms)
    }

    fn space_is_back(&self) -> bool {
        self.partition.spare_ready.load(Ordering::Acquire)
            && self.partition.degraded.load(Ordering::Relaxed)
    }

    fn fits(&self, bytes: usize, now_ms: u64) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let end = active.position + bytes;
            match active.segment.is_empty() {
                true => end <= active.segment.mapping.reserved_from(),
                false => end <= active.full_at && active.young.contains(&now_ms),
            }
        })
    }

    /// Nothing is changed by a write that fails.
    #[inline]
    fn write<'a>(
        &mut self,
        time: u64,
        records: impl ExactSizeIterator<Item = Record<'a>>,
        bytes: usize,
    ) -> io::Result<()> {
        let count = records.len();
        let active = self
            .active
            .as_mut()
            .expect("a batch is written after `roll`");
        let start = active.position;
        let target = active.map.fill(start, bytes);
        let mut position = BATCH_HEADER_BYTES;
        for record in records {
            position += encode_record(&record, &mut target[position..]);
        }
        let header = BatchHeader {
            bytes,
            body_crc: crc32fast::hash(&target[BATCH_HEADER_BYTES..]),
            generation: active.segment.header.generation,
            base_offset: self.next_offset,
            append_time: time,
            count: count as u16,
            kind: BatchKind::Data,
            durable: Some(self.partition.durable()),
        };
        header.encode_without_len(target);
        active.map.publish_batch(start, bytes as u32)?;
        active.position = start + bytes;
        let entry = IndexEntry {
            offset: self.next_offset,
            time,
            position: start,
        };
        active.segment.index.note(entry);
        let end = self.next_offset + count as u64;
        active.segment.advance(end, time);
        self.partition.publish_appended(end - 1);
        self.partition.wake_waiters();
        if active.position >= active.wake_at {
            self.call_janitor();
        }
        Ok(())
    }

    /// Asks for pages ahead of the tail, and for the next segment once half of this one is full; at once
    /// where so much is appended that the other half would not last until it is made.
    fn call_janitor(&mut self) {
        let active = self.active.as_mut().expect("called after a write");
        let step = (self.shared.options.pretouch_window_bytes / 2).max(WAKE_BYTES_MIN);
        let ask_at = match self.partition.cache_pieces() {
            CachePieces::Pages => active.segment.header.capacity / 2,
            CachePieces::Large => 0,
        };
        active.wake_at = active.position + step;
        if active.position < ask_at {
            active.wake_at = active.wake_at.min(ask_at);
        } else if active.segment.file.is_some() && self.reserved.is_none() {
            let next = self.partition.next_segment_bytes.load(Ordering::Relaxed);
            self.partition.spare_wanted.store(next, Ordering::Release);
        }
        self.shared.wake(Worker::Preparer);
    }

    /// Asks the janitor to make everything appended so far durable as soon as it can. The
    /// listeners of `Log::on_durable` hear of it.
    pub fn request_sync(&self) {
        self.partition.sync_wanted.store(true, Ordering::Release);
        self.shared.wake(Worker::Syncer);
    }

    /// Makes everything appended so far durable, here and now, and returns the durable mark. For
    /// a writer on a thread that may wait; a pinned one uses `request_sync`.
    ///
    /// After an error the records it names are not durable and never will be; the next append
    /// goes to another file if there is one to be had, and can be made durable again.
    pub fn sync_now(&mut self) -> Result<Offset, SyncError> {
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
        let aged = |active: &Active| !active.young.contains(&now_ms) && !active.segment.is_empty();
        // A footer must not be written to a segment whose state is not this run's yet.
        if self.begun && self.active.as_ref().is_some_and(aged) {
            let old = self.active.take().expect("checked above");
            old.segment.seal();
            self.shared.wake(Worker::Keeper);
        }
    }

    /// Closes the segment being written, if it holds something, so that it can be rewritten or
    /// dropped; the next append begins another one.
    pub fn close_segment(&mut self) {
        let holds = |active: &Active| !active.segment.is_empty();
        if self.begun && self.active.as_ref().is_some_and(holds) {
            let old = self.active.take().expect("checked above");
            old.segment.seal();
            self.shared.wake(Worker::Keeper);
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
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.give_reserve_back();
        self.partition
            .last_time
            .store(self.last_time, Ordering::Relaxed);
        self.partition.writer_alive.store(false, Ordering::Release);
    }
}
