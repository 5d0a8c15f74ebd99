//! The files of a partition as they lie, seen from outside: which count, what is in them.
//!
//! A running process may be writing what is read here, so bytes are copied out and checked before
//! they mean anything. The end of a live segment is where the length word is still 0; the writer
//! stores it last.

use std::sync::Arc;

use crate::batch::{BatchHeader, BatchKind};
use crate::error::{InspectError, OpenError, ReadError, StorageError};
use crate::header::{Footer, HEADER_BYTES, HeaderFound, SegmentHeader};
use crate::layout::batch_limit;
use crate::limits::{
    ALIGNMENT, BATCH_BYTES_CEILING, BATCH_HEADER_BYTES, FORMAT_VERSION, SEGMENT_HEADER_BYTES,
};
use crate::mapping::Memory;
use crate::meta::Identity;
use crate::names::{self, FileKind};
use crate::position::{LogId, Offset, PartitionId};
use crate::record::Records;
use crate::storage::{DirectoryEntry, FileHandle, Storage};

/// Looks at a directory that changes under them, before what is missing is believed.
pub(crate) const LOOKS_MAX: usize = 8;

/// Bytes of a file that are checked before the owner hears of it: who bounds the rate rests that often.
const OBSERVE_BYTES: usize = 1 << 20;

/// A directory that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Looker {
    pub storage: Arc<dyn Storage>,
    pub identity: Identity,
}

/// A segment file.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{Inspector, SegmentStat};
/// let segments: Vec<SegmentStat> = Inspector::of(storage)?.stat()?.partitions.remove(0).segments;
/// assert_eq!((segments[0].base_offset, segments[0].end_offset), (1, 2));
/// assert!(!segments[0].closed, "it is being written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
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
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let report = skein_log::Inspector::of(storage)?.verify(PartitionId(0))?;
/// assert_eq!((report.batches, report.records), (1, 1));
/// assert!(report.problems.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
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
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let mut tail = skein_log::Inspector::of(storage)?.tail(PartitionId(0), 1)?;
/// let batch = tail.next_batch()?.expect("a batch");
/// let (offset, record) = batch.records().next().expect("a record");
/// assert_eq!((offset, record.key, record.payload), (1, 7, &b"here"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileBatch {
    pub(crate) file: Arc<str>,
    pub(crate) position: usize,
    pub(crate) header: BatchHeader,
    pub(crate) body: Vec<u8>,
    pub(crate) from: Offset,
    pub(crate) end: Offset,
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
pub(crate) struct View {
    pub file: Arc<str>,
    pub bytes: u64,
    pub header: SegmentHeader,
    pub header_valid: bool,
    pub memory: Arc<Memory>,
    pub handle: Arc<dyn FileHandle>,
    pub limit: usize,
    /// A later file claims offsets from here on.
    pub cut: Offset,
}

/// The files of a partition at one look.
struct Look {
    views: Vec<View>,
    /// No file came, went or was renamed meanwhile.
    complete: bool,
}

/// What lies at a position of a file.
pub(crate) enum Found {
    Nothing,
    Batch(FileBatch),
    Damaged(&'static str),
}

impl Looker {
    /// The files that count, oldest first. A spare that is in use counts; a file whose offsets a
    /// later one claims does not.
    pub(crate) fn views(&self, partition: PartitionId) -> Result<Vec<View>, InspectError> {
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
                let refused = StorageError::during(format!("opening {}", entry.name))(error);
                return Err(refused.into());
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
            handle: stored.handle,
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

pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<DirectoryEntry>, OpenError> {
    let action = StorageError::during(format!("listing {}", storage.describe()));
    Ok(storage.list().map_err(action)?)
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
    pub(crate) fn batch_at(&self, position: usize) -> Found {
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
    pub(crate) fn search(&self, position: usize, from: Offset) -> Option<FileBatch> {
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

    pub(crate) fn damaged(&self, position: usize, offset: Offset, problem: &str) -> ReadError {
        ReadError::Damaged {
            file: self.file.to_string(),
            offset,
            position: position as u64,
            problem: problem.to_owned(),
        }
    }

    pub(crate) fn footer(&self) -> Option<Footer> {
        let bytes = self.memory.copy_out(self.limit..self.memory.len());
        Footer::decode(&bytes, self.header.generation, self.header.capacity)
    }

    pub(crate) fn stat(&self) -> SegmentStat {
        let footer = self.footer();
        let (mut position, mut end) = (SEGMENT_HEADER_BYTES, self.header.base_offset);
        if let Some(footer) = &footer {
            (position, end) = (footer.end_position, footer.last_offset.saturating_add(1));
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
    pub(crate) fn verify(
        &self,
        report: &mut VerifyReport,
        observe: &mut impl FnMut(&VerifyReport),
    ) -> Offset {
        report.segments += 1;
        let mut observed = SEGMENT_HEADER_BYTES;
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
            if position - observed >= OBSERVE_BYTES {
                self.handle.release(observed..position);
                observed = position;
                observe(report);
            }
        }
        self.handle.release(observed..position);
        if let Some(footer) = self
            .footer()
            .filter(|footer| footer.last_offset.saturating_add(1) != expected)
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
