//! Looks at the log of a directory from outside: no lock, nothing changed, live or stopped.
//!
//! `look` says how that is done, `tail` follows what is written. Everything found names the file, the offset and the position.

use std::path::Path;
use std::sync::Arc;

use crate::directory::{read_durable_marks, read_identity, read_state};
use crate::error::{InspectError, ReadError, StorageError};
use crate::limits::SMALL_FILE_BYTES_MAX;
use crate::look::{Looker, SegmentStat, VerifyReport, View, list};
use crate::meta::{Checkpoint, CleanMark, ConsumerPlaces, DurableMarks, PartitionState};
use crate::names::{self, FileKind};
use crate::position::{EpochStart, LogId, OFFSET_FIRST, Offset, PartitionId};
use crate::storage::{DirectoryEntry, Storage};
use crate::storage_disk::DiskStorage;
use crate::tail::Tail;

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
    looker: Looker,
}

/// What a directory holds.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{DirectoryStat, Inspector};
/// let stat: DirectoryStat = Inspector::of(storage)?.stat()?;
/// assert_eq!((stat.log_id, stat.partitions.len()), (log.id(), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
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
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{Inspector, PartitionStat};
/// let partition: PartitionStat = Inspector::of(storage)?.stat()?.partitions.remove(0);
/// assert_eq!((partition.floor, partition.segments.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
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

/// How far a named consumer has read, as its file says.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// use skein_log::Inspector;
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let storage = MemoryStorage::new();
/// # let (mut log, _) = Log::open(storage.clone(), options, 0, 42)?;
/// # let mut writer = log.take_writer(PartitionId(0)).unwrap();
/// # writer.append(5, &[Record::default()])?;
/// let mut exporter = log.consumer("exporter")?;
/// exporter.commit_at(PartitionId(0), 2);
/// exporter.sync()?;
///
/// let consumers = Inspector::of(storage)?.consumers()?;
/// assert_eq!((consumers[0].name.as_str(), &consumers[0].next[..]), ("exporter", &[2][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStat {
    /// Its name.
    pub name: String,
    /// The next offset that it reads, by partition. After a truncation it may lie beyond the end.
    pub next: Vec<Offset>,
}

impl Inspector {
    /// Opens a directory on disk to look at it.
    pub fn open(path: impl AsRef<Path>) -> Result<Inspector, InspectError> {
        let path = path.as_ref();
        let action = StorageError::during(format!("opening {}", path.display()));
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
        let looker = Looker { storage, identity };
        Ok(Inspector { looker })
    }

    /// Identity of the log.
    pub fn log_id(&self) -> LogId {
        self.looker.identity.log_id
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u16 {
        self.looker.identity.partitions
    }

    /// What the directory holds.
    pub fn stat(&self) -> Result<DirectoryStat, InspectError> {
        let entries = list(&*self.looker.storage)?;
        let of_kind = |kind: FileKind| {
            entries
                .iter()
                .filter(move |entry| names::kind(&entry.name) == kind)
        };
        let mut partitions = Vec::new();
        for number in 0..self.looker.identity.partitions {
            partitions.push(self.partition_stat(PartitionId(number), &entries)?);
        }
        Ok(DirectoryStat {
            log_id: self.looker.identity.log_id,
            created_at: self.looker.identity.created_at,
            clean: of_kind(FileKind::CleanMark).next().is_some(),
            partitions,
            quarantined: of_kind(FileKind::Quarantine)
                .map(|entry| entry.name.clone())
                .collect(),
            spare_bytes: of_kind(FileKind::Spare).map(|entry| entry.bytes).sum(),
        })
    }

    /// The named consumers, by name. A file that is damaged says nothing; see `damaged_small_files`.
    pub fn consumers(&self) -> Result<Vec<ConsumerStat>, InspectError> {
        let mut consumers = Vec::new();
        for entry in list(&*self.looker.storage)? {
            let FileKind::Consumer(name) = names::kind(&entry.name) else {
                continue;
            };
            // It may be gone since it was listed.
            let bytes = self.looker.storage.read(&entry.name, SMALL_FILE_BYTES_MAX);
            let places = bytes
                .ok()
                .and_then(|bytes| ConsumerPlaces::decode(&bytes, self.log_id()).ok());
            if let Some(ConsumerPlaces { places }) = places {
                let next = places.iter().map(|place| place.next).collect();
                let name = name.to_owned();
                consumers.push(ConsumerStat { name, next });
            }
        }
        consumers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(consumers)
    }

    /// Names of small files that are there and damaged: states of partitions, marks, places of
    /// consumers. (A damaged identity is an error of `open`.)
    pub fn damaged_small_files(&self) -> Result<Vec<String>, InspectError> {
        let id = self.looker.identity.log_id;
        let mut damaged = Vec::new();
        for entry in list(&*self.looker.storage)? {
            let kind = names::kind(&entry.name);
            let bytes = match kind {
                FileKind::State(_)
                | FileKind::CleanMark
                | FileKind::DurableMarks
                | FileKind::Consumer(_) => {
                    self.looker.storage.read(&entry.name, SMALL_FILE_BYTES_MAX)
                }
                _ => continue,
            };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                // Replaced or removed since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let refused = StorageError::during(format!("reading {}", entry.name))(error);
                    return Err(refused.into());
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
        let state = read_state(
            &*self.looker.storage,
            &self.looker.identity,
            partition,
            entries,
        )?;
        let span = |span: Checkpoint| (span.begin, span.end);
        let views = self.looker.views(partition)?;
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
        Ok(Tail::new(self.looker.clone(), partition, from))
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
        let mut views = self.looker.views(partition)?.into_iter();
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

    /// As `verify`; `observe` gets the report so far after each MiB and each segment, and may take its time.
    /// What was read of the files is not kept in memory for it.
    pub fn verify_with(
        &self,
        partition: PartitionId,
        mut observe: impl FnMut(&VerifyReport),
    ) -> Result<VerifyReport, InspectError> {
        self.check(partition)?;
        // Before the first look: of what becomes durable later this walk may see nothing.
        let entries = list(&*self.looker.storage)?;
        let marks = read_durable_marks(&*self.looker.storage, &entries, &self.looker.identity);
        let mut report = VerifyReport::default();
        let mut expected = None;
        for view in self.looker.views(partition)? {
            let base = view.header.base_offset;
            if let Some(from) = expected.filter(|from| *from < base) {
                report.problems.push(ReadError::Gap {
                    partition,
                    from,
                    next: base,
                });
            }
            expected = Some(view.verify(&mut report, &mut observe));
            observe(&report);
        }
        self.check_end(partition, expected, &marks, &mut report)?;
        Ok(report)
    }

    /// What was durable when the partition went quiet has to be there; unless it was taken away
    /// since, which its state says by a newer epoch.
    fn check_end(
        &self,
        partition: PartitionId,
        end: Option<Offset>,
        marks: &DurableMarks,
        report: &mut VerifyReport,
    ) -> Result<(), InspectError> {
        let entries = list(&*self.looker.storage)?;
        let state = read_state(
            &*self.looker.storage,
            &self.looker.identity,
            partition,
            &entries,
        )?;
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
        let partitions = self.looker.identity.partitions;
        if partition.0 < partitions {
            Ok(())
        } else {
            Err(InspectError::NoPartition {
                partition,
                partitions,
            })
        }
    }
}
