//! Taking single records out of closed segments: thinning what is old to a cheap trail, and erasing
//! what must be forgotten.
//!
//! A segment is never changed in place. What is left of it is written to a new file with the same
//! first offset, which is synced and then takes the name of the old one, in one rename: after a
//! crash it is the old one or the new one. Followers that are in the old one finish there; its
//! blocks go back when the last of them has left.
//!
//! Offsets stay: what is left keeps its own, and a sparse batch says for which it stands, so there
//! is no gap for a reader. Runs on whatever thread may wait for the disk; meanwhile the writer, the
//! followers and the janitor go on.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::{BatchHeader, BatchKind, decode_gap, encode_gap, encode_sparse};
use crate::error::{RewriteError, StorageError};
use crate::header::{Footer, HEADER_BYTES, SegmentHeader};
use crate::index::{IndexEntry, SparseIndex};
use crate::layout::{GAP_BATCH_BYTES, batch_limit, capacity_for, index_entries_max};
use crate::limits::{
    BATCH_HEADER_BYTES, FORMAT_VERSION_SPARSE, SEGMENT_HEADER_BYTES, SPARSE_BATCH_BYTES_MAX,
    THINNED_GROUPS_MAX,
};
use crate::names::{self, FileKind};
use crate::partition::Partition;
use crate::position::{OFFSET_FIRST, Offset, PartitionId};
use crate::record::{Record, RecordRef, encode_record, record_bytes};
use crate::segment::{BatchPlace, FooterState, Segment, SegmentFile, SegmentStart};
use crate::shared::{Shared, remove_if_there};
use crate::storage::StoredFile;

/// Bytes written to a new file at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Which records are thinned, and to what.
///
/// The owner says which records stand for the same, as only it knows what they are and when what they
/// tell of happened: the log's own time says when they came. A backlog comes within a second.
///
/// Segments at or behind the begin of the newest checkpoint are never thinned: a replay needs them
/// as they are.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record, RecordRef, Thinning};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1)?;
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// for second in 0..10 {
///     writer.append(second * 1_000, &[Record { kind: 1, payload: b"reading", ..Record::default() }])?;
/// }
/// writer.close_segment();
/// writer.sync_now()?;
///
/// // Of what is older than a minute, the first reading of each five seconds.
/// let group = |append_time: u64, record: &RecordRef<'_>| {
///     (record.kind == 1).then_some([append_time / 5_000, 0])
/// };
/// let thinning = Thinning::new(60_000, group);
/// let report = log.rewriter().thin(PartitionId(0), &thinning, 100_000)?;
/// assert_eq!(report.records_removed, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Thinning<G> {
    /// Segments whose newest record is older than this (ms) are thinned.
    pub age_ms: u64,
    /// Segments that end at or before this offset are left alone: they were thinned before. Where one
    /// call ends and the next begins, a record too many of each group may stay.
    pub from: Offset,
    /// At most so many segments are looked at in one call, the oldest first.
    pub segments_max: usize,
    /// Told when (ms) a record was appended, and the record. Of records of the same key and extension
    /// to which it gives the same group, the first stays; `None`: this record stays.
    pub group: G,
}

impl<G> Thinning<G> {
    /// Of everything that is so old (ms), from the first segment on.
    pub fn new(age_ms: u64, group: G) -> Thinning<G> {
        Thinning {
            age_ms,
            from: OFFSET_FIRST,
            segments_max: usize::MAX,
            group,
        }
    }
}

/// What a rewrite did, and what it could not do.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::RewriteReport;
/// let report: RewriteReport = log.rewriter().erase(PartitionId(0), |_, record| record.key == 7)?;
/// assert_eq!((report.records_removed, report.records_left), (0, 1), "its segment is being written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewriteReport {
    /// Segments looked at.
    pub segments: u64,
    /// Segments that are new files now.
    pub segments_rewritten: u64,
    /// Records taken out.
    pub records_removed: u64,
    /// Bytes of the rewritten segments before.
    pub bytes_before: u64,
    /// Their bytes now.
    pub bytes_after: u64,
    /// Records that should go but lie in segments that can't be rewritten now: the one being
    /// written, or one that is not durable. See `Writer::close_segment`.
    pub records_left: u64,
    /// Segments that can't be read from some batch on. They stay as they are, with all that is in them;
    /// a restart puts the file aside and keeps what can be read.
    pub damaged: Vec<DamagedSegment>,
    /// Files that recovery had put aside; whatever is in them is still there.
    pub quarantined: Vec<String>,
    /// After the last record of the last segment that was looked at; 0: none was.
    pub next: Offset,
}

/// Where a segment can't be read.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// writer.close_segment();
/// writer.sync_now()?;
/// storage.flip_bit("p00000-00000000000000000001.seg", 4_096 + 60, 1);
/// let report = log.rewriter().erase(PartitionId(0), |_, _| true)?;
/// assert_eq!(report.records_removed, 0);
/// assert_eq!(report.damaged[0].position, 4_096, "its first batch");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedSegment {
    /// The file.
    pub file: String,
    /// Byte position of the first batch that is not valid.
    pub position: u64,
}

impl fmt::Display for DamagedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position } = self;
        write!(f, "{file}: the batch at position {position} is damaged")
    }
}

/// Rewrites closed segments of a log.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1)?;
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// for key in [7, 8, 7] {
///     writer.append(0, &[Record { key, payload: b"here", ..Record::default() }])?;
/// }
/// writer.close_segment();
/// writer.sync_now()?;
///
/// let report = log.rewriter().erase(PartitionId(0), |_, record| record.key == 7)?;
/// assert_eq!((report.records_removed, report.records_left), (2, 0));
///
/// let batch = log.reader(PartitionId(0)).next_batch()?.expect("what is left");
/// let left: Vec<_> = batch.records().map(|(offset, record)| (offset, record.key)).collect();
/// assert_eq!(left, [(2, 8)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rewriter {
    shared: Arc<Shared>,
}

/// Decides about a record: offset, append time, record. True: it goes.
type Goes<'a> = dyn FnMut(Offset, u64, &RecordRef<'_>) -> bool + 'a;

/// Which segments a rewrite looks at, and what it may take for them.
struct Which<'a> {
    wanted: &'a dyn Fn(&Segment) -> bool,
    segments_max: usize,
    /// New files leave the disk's reserve alone. What has to be forgotten does not wait for space: it goes
    /// into the reserve for as long as a file takes, and gives more back.
    leaves_reserve: bool,
}

impl Rewriter {
    pub(crate) fn new(shared: Arc<Shared>) -> Rewriter {
        Rewriter { shared }
    }

    /// Takes out every record for which `goes` says so. The report says what is left of them.
    ///
    /// The old bytes are freed, not overwritten: they may be readable from the device itself until
    /// it uses the blocks again. Who needs more encrypts payloads and forgets the key.
    ///
    /// For as long as a file is being written it goes into the disk's reserve, if it has to.
    ///
    /// # Errors
    ///
    /// The disk refused. Segments before that are rewritten; try again.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn erase(
        &self,
        partition: PartitionId,
        mut goes: impl FnMut(Offset, &RecordRef<'_>) -> bool,
    ) -> Result<RewriteReport, RewriteError> {
        let mut goes = |offset, _, record: &RecordRef<'_>| goes(offset, record);
        let all = Which {
            wanted: &|_| true,
            segments_max: usize::MAX,
            leaves_reserve: false,
        };
        self.run(partition, &all, &mut goes)
    }

    /// Thins what is old. What was thinned before and is still the same costs reading it.
    ///
    /// # Errors
    ///
    /// As for `erase`; also where a new file would go into the disk's reserve.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn thin<G>(
        &self,
        partition: PartitionId,
        thinning: &Thinning<G>,
        now_ms: u64,
    ) -> Result<RewriteReport, RewriteError>
    where
        G: Fn(u64, &RecordRef<'_>) -> Option<[u64; 2]>,
    {
        let horizon = now_ms.saturating_sub(thinning.age_ms);
        let mut kept: HashSet<(u32, u64, [u64; 2])> = HashSet::new();
        let held = Arc::clone(&self.shared.partitions[usize::from(partition.0)]);
        let needed_from = held.checkpoint_begin();
        // What can't be rewritten is not read in vain: an open segment is looked at when it is closed.
        let old = |segment: &Segment| {
            segment.last_time() < horizon
                && segment.end() > thinning.from
                && needed_from.is_none_or(|begin| segment.end() <= begin)
                && can_be_rewritten(&held, segment)
        };
        let mut goes = |_, time, record: &RecordRef<'_>| {
            let Some(group) = (thinning.group)(time, record) else {
                return false;
            };
            if kept.len() >= THINNED_GROUPS_MAX {
                kept.clear();
            }
            !kept.insert((record.key, record.extension, group))
        };
        let which = Which {
            wanted: &old,
            segments_max: thinning.segments_max,
            leaves_reserve: true,
        };
        self.run(partition, &which, &mut goes)
    }

    fn run(
        &self,
        partition: PartitionId,
        which: &Which<'_>,
        goes: &mut Goes<'_>,
    ) -> Result<RewriteReport, RewriteError> {
        let partition = Arc::clone(&self.shared.partitions[usize::from(partition.0)]);
        let mut unsynced = partition.rewriting.lock().expect("rewriting");
        let begun = self.shared.begin_changes();
        let begun = unsynced.map_or(begun, |before| begun.since(before));
        *unsynced = Some(begun);
        let mut report = RewriteReport {
            quarantined: self.quarantined()?,
            ..RewriteReport::default()
        };
        let segments = partition.segments().into_iter();
        let segments = segments.filter(|it| (which.wanted)(it));
        for segment in segments.take(which.segments_max) {
            report.segments += 1;
            report.next = segment.end();
            match Plan::make(&segment, goes) {
                Ok(plan) => self.carry_out(&plan, &partition, &segment, which, &mut report)?,
                Err(damaged) => report.damaged.push(damaged),
            }
        }
        let action = StorageError::during("syncing the directory");
        self.shared.sync_directory_since(begun).map_err(action)?;
        *unsynced = None;
        Ok(report)
    }

    /// Rewrites a segment, if there is something to take out and it can be done now.
    fn carry_out(
        &self,
        plan: &Plan,
        partition: &Partition,
        segment: &Arc<Segment>,
        which: &Which<'_>,
        report: &mut RewriteReport,
    ) -> Result<(), RewriteError> {
        if plan.removed == 0 {
            return Ok(());
        }
        if !can_be_rewritten(partition, segment) {
            report.records_left += plan.removed;
            return Ok(());
        }
        if which.leaves_reserve {
            let action = StorageError::during(format!("rewriting {}", segment.name()));
            let room = self.shared.leave_reserve(capacity_for(plan.bytes));
            room.map_err(action)?;
        }
        match self.rewrite(partition, segment, plan)? {
            Some(bytes) => {
                report.segments_rewritten += 1;
                report.records_removed += plan.removed;
                report.bytes_before += segment.mapping.len() as u64;
                report.bytes_after += bytes as u64;
            }
            // Dropped or cut meanwhile.
            None => report.records_left += plan.removed,
        }
        Ok(())
    }

    fn quarantined(&self) -> Result<Vec<String>, RewriteError> {
        let action = StorageError::during("listing the directory");
        let entries = self.shared.storage.list().map_err(action)?;
        let names = entries.into_iter().map(|entry| entry.name);
        Ok(names
            .filter(|name| names::kind(name) == FileKind::Quarantine)
            .collect())
    }

    /// Bytes of the new file. `None`: the segment is not in the log any more.
    fn rewrite(
        &self,
        partition: &Partition,
        segment: &Arc<Segment>,
        plan: &Plan,
    ) -> Result<Option<usize>, RewriteError> {
        let name = names::salvage(partition.id, segment.header.base_offset);
        let action = || StorageError::during(format!("rewriting {}", segment.name()));
        let storage = &*self.shared.storage;
        remove_if_there(storage, &name).map_err(action())?;
        let capacity = capacity_for(plan.bytes);
        let stored = storage
            .create(&name, capacity, batch_limit(capacity))
            .map_err(action())?;
        let header = SegmentHeader {
            version: FORMAT_VERSION_SPARSE,
            generation: self.shared.generation(),
            capacity,
            ..segment.header
        };
        let written = fill(&stored, segment, header, plan).and_then(|filled| {
            stored.handle.sync()?;
            Ok(filled)
        });
        let new = match written {
            Ok(filled) => into_segment(stored, segment, header, filled, &name),
            Err(error) => {
                let _ = storage.remove(&name);
                return Err(action()(error).into());
            }
        };
        match self.swap(partition, segment, new, &name) {
            Ok(true) => Ok(Some(capacity)),
            Ok(false) => {
                remove_if_there(storage, &name).map_err(action())?;
                Ok(None)
            }
            Err(error) => Err(action()(error).into()),
        }
    }

    /// Puts the new file in place of the old one. False: the old one is not in the log any more.
    fn swap(
        &self,
        partition: &Partition,
        old: &Arc<Segment>,
        new: Arc<Segment>,
        name: &str,
    ) -> io::Result<bool> {
        // Whoever cuts holds `flush`, whoever drops holds `dropping`.
        let _flushing = partition.flush.lock().expect("flush");
        let _dropping = partition.dropping.lock().expect("dropping");
        let held = partition
            .with_segments(|segments| segments.iter().any(|segment| Arc::ptr_eq(segment, old)));
        if !held || old.end() != new.end() {
            return Ok(false);
        }
        let (old_file, new_file) = (old.file.as_ref(), new.file.as_ref());
        let (old_file, new_file) = old_file.zip(new_file).expect("both are files");
        let place = old_file.name();
        self.shared
            .change_names(|storage| storage.rename(name, &place))?;
        old_file.set_gone();
        new_file.set_named(place);
        partition.with_segments(|segments| {
            for segment in segments.iter_mut().filter(|other| Arc::ptr_eq(other, old)) {
                *segment = Arc::clone(&new);
            }
        });
        self.shared.discard(Arc::clone(old));
        Ok(true)
    }
}

/// Closed for good, durable, a file of its own name.
fn can_be_rewritten(partition: &Partition, segment: &Segment) -> bool {
    let file = segment.file.as_ref();
    let is_named = file.is_some_and(|file| file.is_named() && !file.is_gone());
    let is_durable = segment.end() <= partition.durable() + 1 && segment.lost_from().is_none();
    is_named
        && is_durable
        && segment.is_sealed()
        && segment.mapping.len() == segment.header.capacity
}

/// What is left of a segment.
struct Plan {
    batches: Vec<Piece>,
    removed: u64,
    /// Bytes of all batches to write.
    bytes: usize,
}

/// A batch to write.
enum Piece {
    /// As it is.
    Whole(BatchPlace, Offset),
    /// Some of the records of a batch, and what it stands for.
    Sparse {
        place: BatchPlace,
        from: Offset,
        end: Offset,
        kept: Vec<Offset>,
        bytes: usize,
    },
}

impl Plan {
    fn make(segment: &Segment, goes: &mut Goes<'_>) -> Result<Plan, DamagedSegment> {
        let mut plan = Plan {
            batches: Vec::new(),
            removed: 0,
            bytes: 0,
        };
        let mut position = SEGMENT_HEADER_BYTES;
        let limit = segment.end();
        while position < segment.mapping.published() {
            let damaged = || DamagedSegment {
                file: segment.name(),
                position: position as u64,
            };
            let place = segment.batch_at(position).ok_or_else(damaged)?;
            let body = segment.mapping.bytes(place.body()).ok_or_else(damaged)?;
            let end = place.header.end_offset(body).ok_or_else(damaged)?;
            if place.header.base_offset >= limit {
                break; // Cut off.
            }
            plan.add(place, body, (end.min(limit), end > limit), goes);
            position += place.header.bytes;
        }
        Ok(plan)
    }

    /// `end` is where the batch ends now, and whether that was cut.
    fn add(
        &mut self,
        place: BatchPlace,
        body: &[u8],
        (end, is_cut): (Offset, bool),
        goes: &mut Goes<'_>,
    ) {
        let header = &place.header;
        if header.kind == BatchKind::Gap {
            self.push(Piece::Whole(place, end));
            return;
        }
        let (mut count, mut kept) = (0, Vec::new());
        for (offset, record) in header.records(body, header.base_offset, end) {
            count += 1;
            if !goes(offset, header.append_time, &record) {
                kept.push((offset, record_bytes(record.payload.len())));
            }
        }
        let removed = count - kept.len();
        self.removed += removed as u64;
        if removed == 0 && !is_cut {
            self.push(Piece::Whole(place, end));
        } else {
            self.add_sparse(place, end, &kept);
        }
    }

    /// Splits what is kept into batches that are not too large.
    fn add_sparse(&mut self, place: BatchPlace, end: Offset, kept: &[(Offset, usize)]) {
        let mut from = place.header.base_offset;
        let mut rest = kept;
        loop {
            let mut bytes = 0;
            let fit = rest.iter().take_while(|(_, record)| {
                bytes += record;
                bytes <= SPARSE_BATCH_BYTES_MAX || bytes == *record
            });
            let (now, later) = rest.split_at(fit.count());
            rest = later;
            let until = rest.first().map_or(end, |(offset, _)| *offset);
            self.push(Piece::Sparse {
                place,
                from,
                end: until,
                kept: now.iter().map(|(offset, _)| *offset).collect(),
                bytes: now.iter().map(|(_, record)| record).sum(),
            });
            if rest.is_empty() {
                return;
            }
            from = until;
        }
    }

    /// Batches of which nothing is left become one.
    fn push(&mut self, piece: Piece) {
        let last = self.batches.last_mut();
        if let (
            Some(Piece::Sparse {
                place: last_place,
                kept: last_kept,
                end: last_end,
                ..
            }),
            Piece::Sparse {
                place, kept, end, ..
            },
        ) = (last, &piece)
            && last_kept.is_empty()
            && kept.is_empty()
        {
            (*last_place, *last_end) = (*place, *end);
            return;
        }
        self.bytes += piece.bytes();
        self.batches.push(piece);
    }
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Piece::Whole(place, _) => place.header.bytes,
            Piece::Sparse { kept, bytes, .. } => {
                let table = (8 + kept.len() * 4).next_multiple_of(8);
                BATCH_HEADER_BYTES + table + bytes
            }
        }
    }

    /// The batch with its length, for a segment of this generation.
    fn encode(&self, segment: &Segment, generation: u32, target: &mut Vec<u8>) {
        let start = target.len();
        target.resize(start + BATCH_HEADER_BYTES, 0);
        let place = match self {
            Piece::Whole(place, _) | Piece::Sparse { place, .. } => place,
        };
        let body = segment.mapping.bytes(place.body()).expect("was planned");
        let mut header = BatchHeader {
            generation,
            ..place.header
        };
        match self {
            Piece::Whole(_, end)
                if header.kind == BatchKind::Gap && decode_gap(body) != Some(*end) =>
            {
                // A gap of which a part was cut off.
                target.resize(start + GAP_BATCH_BYTES, 0);
                let durable = header.durable.unwrap_or(0);
                let (from, time) = (header.base_offset, header.append_time);
                encode_gap(generation, from, *end, time, durable, &mut target[start..]);
                target[start..start + 4].copy_from_slice(&(GAP_BATCH_BYTES as u32).to_le_bytes());
                return;
            }
            Piece::Whole(..) => target.extend_from_slice(body),
            Piece::Sparse {
                from, end, kept, ..
            } => {
                let sparse = sparse_body(&place.header, body, *from, *end, kept);
                target.extend_from_slice(&sparse);
                header.kind = BatchKind::Sparse;
                header.base_offset = *from;
                header.count = kept.len() as u16;
            }
        }
        header.bytes = target.len() - start;
        header.body_crc = crc32fast::hash(&target[start + BATCH_HEADER_BYTES..]);
        header.encode_without_len(&mut target[start..]);
        target[start..start + 4].copy_from_slice(&(header.bytes as u32).to_le_bytes());
    }

    fn index_entry(&self, position: usize) -> Option<IndexEntry> {
        let (header, offset) = match self {
            Piece::Whole(place, _) => (&place.header, place.header.base_offset),
            Piece::Sparse { place, from, .. } => (&place.header, *from),
        };
        (header.kind != BatchKind::Gap).then_some(IndexEntry {
            offset,
            time: header.append_time,
            position,
        })
    }
}

fn sparse_body(
    header: &BatchHeader,
    body: &[u8],
    from: Offset,
    end: Offset,
    kept: &[Offset],
) -> Vec<u8> {
    let mut records = Vec::new();
    // Merged empty batches begin before this one.
    let first = from.max(header.base_offset);
    let mut wanted = kept.iter().peekable();
    for (offset, record) in header.records(body, first, end) {
        if wanted.next_if_eq(&&offset).is_none() {
            continue;
        }
        let start = records.len();
        records.resize(start + record_bytes(record.payload.len()), 0);
        let record = Record {
            kind: record.kind,
            flags: record.flags,
            key: record.key,
            extension: record.extension,
            payload: record.payload,
        };
        encode_record(&record, &mut records[start..]);
    }
    encode_sparse(from, end, kept, &records)
}

/// What was written into a new file.
struct Filled {
    index: SparseIndex,
    first_position: usize,
    end_position: usize,
}

/// Writes header, batches and footer.
fn fill(
    stored: &StoredFile,
    segment: &Segment,
    header: SegmentHeader,
    plan: &Plan,
) -> io::Result<Filled> {
    let mut bytes = vec![0; HEADER_BYTES];
    header.encode(&mut bytes);
    stored.handle.write_at(0, &bytes)?;
    let index = SparseIndex::with_capacity(index_entries_max(header.capacity));
    let mut first_position = None;
    let (mut position, mut pending) = (SEGMENT_HEADER_BYTES, Vec::new());
    for piece in &plan.batches {
        let place = position + pending.len();
        if let Some(entry) = piece.index_entry(place) {
            first_position.get_or_insert(place);
            index.note(entry);
        }
        piece.encode(segment, header.generation, &mut pending);
        if pending.len() >= WRITE_BYTES {
            stored.handle.write_at(position, &pending)?;
            position += pending.len();
            pending.clear();
        }
    }
    stored.handle.write_at(position, &pending)?;
    let end_position = position + pending.len();
    let footer = Footer {
        generation: header.generation,
        last_offset: segment.end() - 1,
        end_position,
        first_time: segment.first_time(),
        last_time: segment.last_time(),
        entries: index.entries(),
    };
    let footer = footer.encode();
    stored
        .handle
        .write_at(batch_limit(header.capacity), &footer)?;
    Ok(Filled {
        index,
        first_position: first_position.unwrap_or(end_position),
        end_position,
    })
}

fn into_segment(
    mut stored: StoredFile,
    old: &Segment,
    header: SegmentHeader,
    filled: Filled,
    name: &str,
) -> Arc<Segment> {
    stored.mapping.set_published(filled.end_position);
    let start = SegmentStart {
        header,
        first_offset: old.first_offset,
        first_position: filled.first_position,
        end: old.end(),
        first_time: old.first_time(),
        last_time: old.last_time(),
    };
    let file = SegmentFile::new(stored.handle, name.to_owned(), true);
    file.set_footer(FooterState::Synced);
    let segment = Segment::new(start, Arc::new(stored.mapping), Some(file), filled.index);
    segment.seal();
    segment
        .written_back
        .store(filled.end_position, Ordering::Relaxed);
    Arc::new(segment)
}
