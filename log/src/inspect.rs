//! Looks at the log of a directory from outside: no lock, nothing changed, live or stopped.
//!
//! A running process may be writing what is read here, so bytes are copied out and checked before
//! they mean anything. The end of a live segment is where the length word is still 0; the writer
//! stores it last. Everything found names the file, the offset and the position.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{BatchHeader, BatchKind};
use crate::directory::{read_durable_marks, read_identity, read_state};
use crate::error::{InspectError, OpenError, ReadError};
use crate::header::{Footer, HEADER_BYTES, HeaderFound, SegmentHeader};
use crate::layout::batch_limit;
use crate::limits::{
    ALIGNMENT, BATCH_BYTES_CEILING, BATCH_HEADER_BYTES, FORMAT_VERSION, SEGMENT_HEADER_BYTES,
    SMALL_FILE_BYTES_MAX,
};
use crate::mapping::Memory;
use crate::meta::{Checkpoint, CleanMark, ConsumerPlaces, DurableMarks, Identity, PartitionState};
use crate::names::{self, FileKind};
use crate::position::{EpochStart, LogId, OFFSET_FIRST, Offset, PartitionId};
use crate::record::Records;
use crate::storage::{DirectoryEntry, Storage};
use crate::storage_disk::DiskStorage;

/// Looks at a directory that changes under them, before what is missing is believed.
const LOOKS_MAX: usize = 8;

/// A directory to look at.
///
/// ```
/// # use skein_log::{Log, Options, PartitionId, Record};
/// use skein_log::Inspector;
/// # let directory = std::env::temp_dir().join(format!("skein-inspect-{}", std::process::id()));
/// # let options = Options { partitions: 1, disk_reserve_bytes: 0, ..Options::default() };
/// # let (mut log, _) = Log::open_dir(&directory, options, 0, 42)?;
/// # let mut writer = log.take_writer(PartitionId(0)).unwrap();
/// # writer.append(5, &[Record { key: 7, payload: b"hello", ..Record::default() }])?;
///
/// // The log may be in use by another process.
/// let inspector = Inspector::open(&directory)?;
/// let mut tail = inspector.tail(PartitionId(0), 1)?;
/// while let Some(batch) = tail.next_batch()? {
///     for (offset, record) in batch.records() {
///         println!("{offset} key {} {} bytes, in {}", record.key, record.payload.len(), batch.file());
///     }
/// }
/// assert_eq!(tail.position(), 2);
/// let report = inspector.verify(PartitionId(0))?;
/// assert_eq!((report.records, report.problems.len()), (1, 0));
/// # drop((writer, log));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inspector {
    storage: Arc<dyn Storage>,
    identity: Identity,
}

/// What a directory holds.
#[derive(Clone, Debug)]
pub struct DirectoryStat {
    /// Identity of the log.
    pub log_id: LogId,
    /// When (ms) the directory was made.
    pub created_at: u64,
    /// The log was closed cleanly and is not in use.
    pub clean: bool,
    /// One entry per partition.
    pub partitions: Vec<PartitionStat>,
    /// Files that recovery put aside.
    pub quarantined: Vec<String>,
    /// Bytes of files prepared for later.
    pub spare_bytes: u64,
}

/// What a partition holds.
#[derive(Clone, Debug)]
pub struct PartitionStat {
    /// The partition.
    pub partition: PartitionId,
    /// Its epochs, oldest first.
    pub epochs: Vec<EpochStart>,
    /// First and last record of the newest durable checkpoint.
    pub checkpoint: Option<(Offset, Offset)>,
    /// Nothing before is held.
    pub floor: Offset,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentStat>,
}

/// A segment file.
#[derive(Clone, Debug)]
pub struct SegmentStat {
    /// Its name.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// First offset, as its name says.
    pub base_offset: Offset,
    /// After its last offset.
    pub end_offset: Offset,
    /// Bytes of header and batches.
    pub used_bytes: u64,
    /// When (ms) it was made.
    pub created_at: u64,
    /// Epoch of the writer that made it.
    pub epoch: u32,
    /// It has a footer that fits.
    pub closed: bool,
}

/// What a check of every byte found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Segments checked.
    pub segments: u64,
    /// Batches that are right.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Offsets that the log itself says are not there.
    pub gap_offsets: u64,
    /// Offsets of records that the owner had removed (thinned or erased).
    pub removed_offsets: u64,
    /// Everything that is not right.
    pub problems: Vec<ReadError>,
}

/// A batch copied out of a file.
#[derive(Clone, Debug)]
pub struct FileBatch {
    file: Arc<str>,
    position: usize,
    header: BatchHeader,
    body: Vec<u8>,
    from: Offset,
    end: Offset,
}

impl FileBatch {
    /// The file it lies in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where it starts in the file.
    pub fn file_position(&self) -> u64 {
        self.position as u64
    }

    /// Offset of the first record that `records` gives.
    pub fn base_offset(&self) -> Offset {
        self.from
    }

    /// Offset of the last record that `records` gives.
    pub fn last_offset(&self) -> Offset {
        self.end - 1
    }

    /// When (ms) it was appended.
    pub fn append_time(&self) -> u64 {
        self.header.append_time
    }

    /// The records in order.
    pub fn records(&self) -> Records<'_> {
        self.header.records(&self.body, self.from, self.end)
    }
}

/// A segment file, mapped to read.
#[derive(Clone, Debug)]
struct View {
    file: Arc<str>,
    bytes: u64,
    header: SegmentHeader,
    header_valid: bool,
    memory: Arc<Memory>,
    limit: usize,
    /// A later file claims offsets from here on.
    cut: Offset,
}

/// The files of a partition at one look.
struct Look {
    views: Vec<View>,
    /// No file came, went or was renamed meanwhile.
    complete: bool,
}

/// What lies at a position of a file.
enum Found {
    Nothing,
    Batch(FileBatch),
    Damaged(&'static str),
}

impl Inspector {
    /// Opens a directory on disk to look at it.
    pub fn open(path: impl AsRef<Path>) -> Result<Inspector, InspectError> {
        let path = path.as_ref();
        let action = OpenError::storage(format!("opening {}", path.display()));
        let storage = DiskStorage::read_only(path).map_err(action)?;
        Inspector::of(storage)
    }

    /// Looks at any storage.
    pub fn of(storage: Arc<dyn Storage>) -> Result<Inspector, InspectError> {
        let entries = list(&*storage)?;
        let identity = read_identity(&*storage, &entries)?;
        let identity = identity.ok_or_else(|| InspectError::NoLog {
            directory: storage.describe(),
        })?;
        Ok(Inspector { storage, identity })
    }

    /// Identity of the log.
    pub fn log_id(&self) -> LogId {
        self.identity.log_id
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u16 {
        self.identity.partitions
    }

    /// What the directory holds.
    pub fn stat(&self) -> Result<DirectoryStat, InspectError> {
        let entries = list(&*self.storage)?;
        let of_kind = |kind: FileKind| {
            entries
                .iter()
                .filter(move |entry| names::kind(&entry.name) == kind)
        };
        let mut partitions = Vec::new();
        for number in 0..self.identity.partitions {
            partitions.push(self.partition_stat(PartitionId(number), &entries)?);
        }
        Ok(DirectoryStat {
            log_id: self.identity.log_id,
            created_at: self.identity.created_at,
            clean: of_kind(FileKind::CleanMark).next().is_some(),
            partitions,
            quarantined: of_kind(FileKind::Quarantine)
                .map(|entry| entry.name.clone())
                .collect(),
            spare_bytes: of_kind(FileKind::Spare).map(|entry| entry.bytes).sum(),
        })
    }

    /// Names of small files that are there and damaged: states of partitions, marks, places of
    /// consumers. (A damaged identity is an error of `open`.)
    pub fn damaged_small_files(&self) -> Result<Vec<String>, InspectError> {
        let id = self.identity.log_id;
        let mut damaged = Vec::new();
        for entry in list(&*self.storage)? {
            let kind = names::kind(&entry.name);
            let bytes = match kind {
                FileKind::State(_)
                | FileKind::CleanMark
                | FileKind::DurableMarks
                | FileKind::Consumer(_) => self.storage.read(&entry.name, SMALL_FILE_BYTES_MAX),
                _ => continue,
            };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                // Replaced or removed since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let action = format!("reading {}", entry.name);
                    return Err(OpenError::storage(action)(error).into());
                }
            };
            let sound = match kind {
                FileKind::State(_) => PartitionState::decode(&bytes, id).is_ok(),
                FileKind::CleanMark => CleanMark::decode(&bytes, id).is_ok(),
                FileKind::DurableMarks => DurableMarks::decode(&bytes, id).is_ok(),
                _ => ConsumerPlaces::decode(&bytes, id).is_ok(),
            };
            if !sound {
                damaged.push(entry.name);
            }
        }
        Ok(damaged)
    }

    fn partition_stat(
        &self,
        partition: PartitionId,
        entries: &[DirectoryEntry],
    ) -> Result<PartitionStat, InspectError> {
        let state = read_state(&*self.storage, &self.identity, partition, entries)?;
        let span = |span: Checkpoint| (span.begin, span.end);
        let views = self.views(partition)?;
        Ok(PartitionStat {
            partition,
            epochs: state
                .as_ref()
                .map_or(Vec::new(), |state| state.epochs.clone()),
            checkpoint: state.as_ref().and_then(|state| state.checkpoint).map(span),
            floor: state.map_or(OFFSET_FIRST, |state| state.floor),
            segments: views.iter().map(View::stat).collect(),
        })
    }

    /// Follows a partition from `from` on, as far as it has been written and while it is.
    pub fn tail(&self, partition: PartitionId, from: Offset) -> Result<Tail, InspectError> {
        self.check(partition)?;
        Ok(Tail {
            inspector: self.clone(),
            partition,
            view: None,
            position: 0,
            next: from.max(OFFSET_FIRST),
        })
    }

    /// Follows a partition from the first batch that was appended at `time_ms` or later; from
    /// damage before it, if there is some on the way there.
    pub fn tail_from_time(
        &self,
        partition: PartitionId,
        time_ms: u64,
    ) -> Result<Tail, InspectError> {
        self.check(partition)?;
        let ends_before = |view: &View| {
            let footer = view.footer();
            footer.is_some_and(|footer| footer.last_time < time_ms)
        };
        let mut views = self.views(partition)?.into_iter();
        let first = views.find(|view| !ends_before(view));
        let from = first.map(|view| view.header.base_offset);
        let mut tail = self.tail(partition, from.unwrap_or(OFFSET_FIRST))?;
        tail.skip_before(time_ms)?;
        Ok(tail)
    }

    /// Checks every batch of a partition, and that nothing is missing between them.
    pub fn verify(&self, partition: PartitionId) -> Result<VerifyReport, InspectError> {
        self.verify_with(partition, |_| {})
    }

    /// As `verify`; `observe` gets the report so far after each segment, and may take its time.
    pub fn verify_with(
        &self,
        partition: PartitionId,
        mut observe: impl FnMut(&VerifyReport),
    ) -> Result<VerifyReport, InspectError> {
        self.check(partition)?;
        let mut report = VerifyReport::default();
        let mut expected = None;
        for view in self.views(partition)? {
            let base = view.header.base_offset;
            if let Some(from) = expected.filter(|from| *from < base) {
                report.problems.push(ReadError::Gap {
                    partition,
                    from,
                    next: base,
                });
            }
            expected = Some(view.verify(&mut report));
            observe(&report);
        }
        self.check_end(partition, expected, &mut report)?;
        Ok(report)
    }

    /// What was durable when the partition went quiet has to be there.
    fn check_end(
        &self,
        partition: PartitionId,
        end: Option<Offset>,
        report: &mut VerifyReport,
    ) -> Result<(), InspectError> {
        let entries = list(&*self.storage)?;
        let marks = read_durable_marks(&*self.storage, &entries, &self.identity);
        let state = read_state(&*self.storage, &self.identity, partition, &entries)?;
        let Some(state) = state else {
            return Ok(());
        };
        let (from, durable) = (end.unwrap_or(state.floor), marks.of(&state));
        if from <= durable {
            let next = durable + 1;
            report.problems.push(ReadError::Gap {
                partition,
                from,
                next,
            });
        }
        Ok(())
    }

    fn check(&self, partition: PartitionId) -> Result<(), InspectError> {
        let partitions = self.identity.partitions;
        if partition.0 < partitions {
            Ok(())
        } else {
            Err(InspectError::NoPartition {
                partition,
                partitions,
            })
        }
    }

    /// The files that count, oldest first. A spare that is in use counts; a file whose offsets a
    /// later one claims does not.
    fn views(&self, partition: PartitionId) -> Result<Vec<View>, InspectError> {
        let mut looked = self.look(partition)?;
        for _ in 1..LOOKS_MAX {
            if looked.complete {
                break;
            }
            looked = self.look(partition)?;
        }
        Ok(counting(looked.views))
    }

    /// One look at the files. The process that owns the directory may rename a file between its
    /// being listed and being opened; then another look finds it.
    fn look(&self, partition: PartitionId) -> Result<Look, InspectError> {
        let mut views: Vec<View> = Vec::new();
        let before = list(&*self.storage)?;
        for entry in &before {
            let base = match names::kind(&entry.name) {
                FileKind::Segment(of, base) if of == partition => Some(base),
                FileKind::Spare => None,
                _ => continue,
            };
            views.extend(self.view(entry, partition, base)?);
        }
        let complete = before == list(&*self.storage)?;
        Ok(Look { views, complete })
    }

    fn view(
        &self,
        entry: &DirectoryEntry,
        partition: PartitionId,
        base: Option<Offset>,
    ) -> Result<Option<View>, InspectError> {
        let bytes = entry.bytes as usize / ALIGNMENT * ALIGNMENT;
        if bytes < 2 * SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let stored = match self.storage.open(&entry.name, bytes, batch_limit(bytes)) {
            Ok(stored) => stored,
            // Renamed or dropped since it was listed: a later look finds what it became.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(OpenError::storage(format!("opening {}", entry.name))(error).into());
            }
        };
        let memory = Arc::clone(stored.mapping.memory());
        let found = SegmentHeader::decode(&memory.copy_out(0..HEADER_BYTES));
        let (header, header_valid) = match (found, base) {
            (HeaderFound::Valid(header), _) if self.belongs(&header, partition, base) => {
                (header, true)
            }
            (_, None) => return Ok(None),
            (_, Some(base)) => (guess(&memory, partition, self.identity.log_id, base), false),
        };
        Ok(Some(View {
            file: entry.name.as_str().into(),
            bytes: entry.bytes,
            limit: batch_limit(bytes),
            header,
            header_valid,
            memory,
            cut: Offset::MAX,
        }))
    }

    fn belongs(
        &self,
        header: &SegmentHeader,
        partition: PartitionId,
        base: Option<Offset>,
    ) -> bool {
        header.log_id == self.identity.log_id
            && header.partition == partition
            && base.is_none_or(|base| base == header.base_offset)
    }
}

fn list(storage: &dyn Storage) -> Result<Vec<DirectoryEntry>, OpenError> {
    storage.list().map_err(OpenError::storage(format!(
        "listing {}",
        storage.describe()
    )))
}

/// Sorts files and leaves out those whose offsets a later one claims.
fn counting(mut views: Vec<View>) -> Vec<View> {
    views.sort_by_key(|view| (view.header.base_offset, view.header.sequence));
    let mut kept: Vec<View> = Vec::new();
    for view in views {
        if kept
            .last()
            .is_some_and(|last| last.header.sequence > view.header.sequence)
        {
            continue;
        }
        if kept
            .last()
            .is_some_and(|last| last.header.base_offset == view.header.base_offset)
        {
            kept.pop();
        }
        if let Some(last) = kept.last_mut() {
            last.cut = view.header.base_offset;
        }
        kept.push(view);
    }
    kept
}

/// A header in place of a damaged one: the first batch knows the generation.
fn guess(memory: &Memory, partition: PartitionId, log_id: LogId, base: Offset) -> SegmentHeader {
    let start = SEGMENT_HEADER_BYTES;
    let first = BatchHeader::decode(&memory.copy_out(start..start + BATCH_HEADER_BYTES));
    SegmentHeader {
        version: FORMAT_VERSION,
        partition,
        generation: first.map_or(0, |batch| batch.generation),
        log_id,
        base_offset: base,
        sequence: u64::MAX,
        created_at: 0,
        capacity: memory.len(),
        epoch: 0,
    }
}

impl View {
    /// What lies at a position, complete and checked.
    fn batch_at(&self, position: usize) -> Found {
        if position + BATCH_HEADER_BYTES > self.limit {
            return Found::Nothing;
        }
        // Pairs with the writer's Release store of the length, in whatever process.
        if self.memory.load_acquire(position) == 0 {
            return Found::Nothing;
        }
        let header = self
            .memory
            .copy_out(position..position + BATCH_HEADER_BYTES);
        let Some(header) = BatchHeader::decode(&header) else {
            return Found::Damaged("its header does not match its checksum");
        };
        if header.generation != self.header.generation {
            return Found::Damaged("it belongs to another segment");
        }
        if header.bytes > BATCH_BYTES_CEILING || header.bytes > self.limit - position {
            return Found::Damaged("it is longer than there is room");
        }
        let body = position + BATCH_HEADER_BYTES..position + header.bytes;
        let body = self.memory.copy_out(body);
        let Some(end) = header.end_offset(&body) else {
            return Found::Damaged("its body does not match its header");
        };
        Found::Batch(FileBatch {
            file: Arc::clone(&self.file),
            position,
            header,
            body,
            from: header.base_offset,
            end,
        })
    }

    /// Nothing was at the position a moment ago, and now the expected batch is.
    fn is_written_now(&self, position: usize, expected: Offset, before: &Found) -> bool {
        let expected = |batch: &FileBatch| batch.header.base_offset == expected;
        matches!(before, Found::Nothing)
            && matches!(self.batch_at(position), Found::Batch(batch) if expected(&batch))
    }

    /// The next batch that is right, at a later position, with a later offset.
    fn search(&self, position: usize, from: Offset) -> Option<FileBatch> {
        let mut position = position + ALIGNMENT;
        while position + BATCH_HEADER_BYTES <= self.limit {
            if let Found::Batch(batch) = self.batch_at(position)
                && batch.header.base_offset >= from
            {
                return Some(batch);
            }
            position += ALIGNMENT;
        }
        None
    }

    fn damaged(&self, position: usize, offset: Offset, problem: &str) -> ReadError {
        ReadError::Damaged {
            file: self.file.to_string(),
            offset,
            position: position as u64,
            problem: problem.to_owned(),
        }
    }

    fn footer(&self) -> Option<Footer> {
        let bytes = self.memory.copy_out(self.limit..self.memory.len());
        Footer::decode(&bytes, self.header.generation, self.header.capacity)
    }

    fn stat(&self) -> SegmentStat {
        let footer = self.footer();
        let (mut position, mut end) = (SEGMENT_HEADER_BYTES, self.header.base_offset);
        if let Some(footer) = &footer {
            (position, end) = (footer.end_position, footer.last_offset + 1);
        } else {
            while let Found::Batch(batch) = self.batch_at(position) {
                position += batch.header.bytes;
                end = batch.end;
            }
        }
        SegmentStat {
            file: self.file.to_string(),
            bytes: self.bytes,
            base_offset: self.header.base_offset,
            end_offset: end.min(self.cut),
            used_bytes: position as u64,
            created_at: self.header.created_at,
            epoch: self.header.epoch,
            closed: footer.is_some(),
        }
    }

    /// Checks everything; returns the offset after the last one.
    fn verify(&self, report: &mut VerifyReport) -> Offset {
        report.segments += 1;
        let mut expected = self.header.base_offset;
        let mut position = SEGMENT_HEADER_BYTES;
        if !self.header_valid {
            report
                .problems
                .push(self.damaged(0, expected, "the header page is not valid"));
        }
        while expected < self.cut {
            let batch = match self.batch_at(position) {
                Found::Batch(batch) if batch.header.base_offset == expected => batch,
                Found::Batch(batch) if batch.header.base_offset > expected => {
                    let from = expected;
                    let next = batch.header.base_offset;
                    let partition = self.header.partition;
                    report.problems.push(ReadError::Gap {
                        partition,
                        from,
                        next,
                    });
                    batch
                }
                // An end, a torn tail, or damage: what lies behind tells, unless the writer has
                // written it just now.
                other => match self.search(position, expected) {
                    Some(_) if self.is_written_now(position, expected, &other) => continue,
                    Some(batch) => {
                        let problem = match other {
                            Found::Damaged(problem) => problem,
                            _ => "nothing is there, but batches follow",
                        };
                        report
                            .problems
                            .push(self.damaged(position, expected, problem));
                        batch
                    }
                    None => {
                        if let Found::Damaged(problem) = other {
                            report
                                .problems
                                .push(self.damaged(position, expected, problem));
                        }
                        break;
                    }
                },
            };
            report.add(&batch);
            position = batch.position + batch.header.bytes;
            expected = batch.end;
        }
        if let Some(footer) = self
            .footer()
            .filter(|footer| footer.last_offset + 1 != expected)
        {
            let problem = format!("the footer says {} is the last offset", footer.last_offset);
            if expected < self.cut {
                report
                    .problems
                    .push(self.damaged(self.limit, expected, &problem));
            }
        }
        expected.min(self.cut)
    }
}

impl VerifyReport {
    fn add(&mut self, batch: &FileBatch) {
        self.batches += 1;
        self.bytes += batch.header.bytes as u64;
        match batch.header.kind {
            BatchKind::Data => self.records += u64::from(batch.header.count),
            BatchKind::Sparse => {
                let count = u64::from(batch.header.count);
                self.records += count;
                self.removed_offsets += batch.end - batch.header.base_offset - count;
            }
            BatchKind::Gap => self.gap_offsets += batch.end - batch.header.base_offset,
        }
    }
}

/// Follows a partition of a directory that another process may be writing.
#[derive(Debug)]
pub struct Tail {
    inspector: Inspector,
    partition: PartitionId,
    view: Option<View>,
    position: usize,
    next: Offset,
}

impl Tail {
    /// The offset of the next record.
    pub fn position(&self) -> Offset {
        self.next
    }

    /// The next batch. `None`: nothing more has been written; ask again later. After an error the
    /// tail stands behind what it is about and can go on.
    pub fn next_batch(&mut self) -> Result<Option<FileBatch>, InspectError> {
        loop {
            if self.view.is_none() && !self.enter()? {
                return Ok(None);
            }
            let view = self.view.as_ref().expect("entered above");
            match view.batch_at(self.position) {
                Found::Nothing => {
                    if !self.enter_next()? {
                        return Ok(None);
                    }
                }
                Found::Batch(batch) => {
                    self.position += batch.header.bytes;
                    if batch.end <= self.next {
                        continue;
                    }
                    if batch.header.kind == BatchKind::Gap {
                        return Err(self.gap(batch.end));
                    }
                    if batch.header.base_offset > self.next {
                        self.position = batch.position;
                        return Err(self.gap(batch.header.base_offset));
                    }
                    let end = batch.end.min(view.cut);
                    let from = std::mem::replace(&mut self.next, end);
                    return Ok(Some(FileBatch { from, end, ..batch }));
                }
                Found::Damaged(problem) => {
                    let error = view.damaged(self.position, self.next, problem);
                    self.pass_damage();
                    return Err(error.into());
                }
            }
        }
    }

    /// Goes to the first batch of that time or later, or to damage before it: what is behind that
    /// may be wanted, and whoever reads on is told.
    fn skip_before(&mut self, time_ms: u64) -> Result<(), InspectError> {
        loop {
            let before = (self.view.clone(), self.position, self.next);
            match self.next_batch() {
                Ok(Some(batch)) if batch.append_time() >= time_ms => {
                    (self.position, self.next) = (batch.position, batch.from);
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(InspectError::Read(ReadError::Damaged { .. })) => {
                    (self.view, self.position, self.next) = before;
                    return Ok(());
                }
                Ok(Some(_)) | Err(InspectError::Read(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn gap(&mut self, next: Offset) -> InspectError {
        let from = std::mem::replace(&mut self.next, next);
        ReadError::Gap {
            partition: self.partition,
            from,
            next,
        }
        .into()
    }

    /// The first file behind the current one. That it begins beyond `next` is believed only when
    /// several looks show it: a file that was blank a moment ago may be in use now.
    fn next_view(&self, view: &View) -> Result<Option<View>, InspectError> {
        let (base, sequence) = (view.header.base_offset, view.header.sequence);
        let follows =
            |other: &View| other.header.base_offset > base || other.header.sequence > sequence;
        let mut found = None;
        for _ in 0..LOOKS_MAX {
            found = self
                .inspector
                .views(self.partition)?
                .into_iter()
                .find(follows);
            if found
                .as_ref()
                .is_none_or(|next| next.header.base_offset <= self.next)
            {
                break;
            }
        }
        Ok(found)
    }

    /// Enters the file that holds `next`.
    fn enter(&mut self) -> Result<bool, InspectError> {
        let mut views = self.inspector.views(self.partition)?;
        let behind = views.partition_point(|view| view.header.base_offset <= self.next);
        if views.is_empty() {
            return Ok(false);
        }
        let view = views.swap_remove(behind.saturating_sub(1));
        self.position = SEGMENT_HEADER_BYTES;
        if let Some(footer) = view.footer() {
            let hint = footer
                .entries
                .iter()
                .rfind(|entry| entry.offset <= self.next);
            let fits = |position: usize| (SEGMENT_HEADER_BYTES..view.limit).contains(&position);
            self.position = hint
                .map(|entry| entry.position)
                .filter(|position| fits(*position))
                .unwrap_or(SEGMENT_HEADER_BYTES);
        }
        let base = view.header.base_offset;
        self.view = Some(view);
        if base > self.next {
            return Err(self.gap(base));
        }
        Ok(true)
    }

    /// At the end of a file: goes to the next one if there is one by now.
    fn enter_next(&mut self) -> Result<bool, InspectError> {
        let view = self.view.as_ref().expect("called in a file");
        let Some(next) = self.next_view(view)? else {
            return Ok(false);
        };
        // The file may have been filled up between the last look and the new list.
        if matches!(view.batch_at(self.position), Found::Batch(_))
            && self.next < next.header.base_offset
        {
            return Ok(true);
        }
        let base = next.header.base_offset;
        self.position = SEGMENT_HEADER_BYTES;
        self.view = Some(next);
        if base > self.next {
            return Err(self.gap(base));
        }
        Ok(true)
    }

    fn pass_damage(&mut self) {
        let view = self.view.as_ref().expect("called in a file");
        match view.search(self.position, self.next) {
            Some(batch) => {
                self.position = batch.position;
                self.next = batch.header.base_offset;
            }
            // Nothing good follows in this file: stand at its end.
            None => self.position = view.limit,
        }
    }
}
