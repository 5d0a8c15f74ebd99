//! Opening a data directory: who is it, what is in it, what was left half done.
//!
//! Order: lock, identity, left-overs (temporary files, interrupted repairs, spares that were in
//! use), clean mark, then each partition by `recovery`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ballast::Ballast;
use crate::error::{OpenError, StorageError};
use crate::header::HeaderFound;
use crate::limits::{FORMAT_VERSION, SMALL_FILE_BYTES_MAX};
use crate::meta::{CleanMark, DurableMarks, Fault, Identity, PartitionState};
use crate::names::{self, FileKind};
use crate::options::Options;
use crate::parallel;
use crate::partition::{Partition, PartitionStart};
use crate::position::{EpochStart, OFFSET_FIRST, PartitionId};
use crate::random::Random;
use crate::recovery::{Recovered, Recovery, SegmentCandidate, Survey, peek_header};
use crate::report::{PartitionReport, RecoveryReport};
use crate::shared::{Shared, remove_if_there};
use crate::storage::{DirectoryEntry, LockError, Storage, replace};

/// Epochs that are skipped when the state file is lost: more than there can have been since the
/// newest segment was made.
const EPOCHS_SKIPPED: u32 = 1024;

/// How the writer of a partition starts.
#[derive(Clone, Debug)]
pub(crate) struct WriterStart {
    /// Ends with the coming writer's epoch.
    pub epochs: Vec<EpochStart>,
    pub tail_unsynced: bool,
}

/// An opened directory.
pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub starts: Vec<WriterStart>,
    pub report: RecoveryReport,
}

/// Locks and opens; gives the lock back if that fails.
pub(crate) fn open(
    storage: Arc<dyn Storage>,
    options: Options,
    now_ms: u64,
    random: u64,
) -> Result<Opened, OpenError> {
    options.validate()?;
    lock(&*storage)?;
    let directory = Directory {
        storage: &*storage,
        options: &options,
    };
    match directory.open(now_ms, Random::new(random)) {
        Ok(parts) => {
            let (identity, random, clean, partitions, starts, report) = parts;
            // A directory that can't be listed now was a moment ago; then one more is made in vain.
            let ballast = Ballast::new(&options, &storage.list().unwrap_or_default());
            let (id, storage) = (identity.log_id, Arc::clone(&storage));
            let shared = Shared::new(storage, options, id, partitions, clean, random, ballast);
            Ok(Opened {
                shared: Arc::new(shared),
                starts,
                report,
            })
        }
        Err(error) => {
            storage.unlock();
            Err(error)
        }
    }
}

fn lock(storage: &dyn Storage) -> Result<(), OpenError> {
    storage.lock().map_err(|error| match error {
        LockError::Held(holder) => OpenError::Locked {
            directory: storage.describe(),
            holder,
        },
        LockError::Storage(source) => {
            StorageError::during(format!("locking {}", storage.describe()))(source).into()
        }
    })
}

/// What the last run left word of.
struct Marks {
    clean: Option<CleanMark>,
    durable: DurableMarks,
}

impl Marks {
    /// Where the clean mark says the partition ends.
    fn clean_next(&self, partition: PartitionId) -> Option<u64> {
        let clean = self.clean.as_ref()?;
        Some(clean.next_offsets[usize::from(partition.0)])
    }
}

struct Directory<'a> {
    storage: &'a dyn Storage,
    options: &'a Options,
}

type Parts = (
    Identity,
    Random,
    bool,
    Vec<Arc<Partition>>,
    Vec<WriterStart>,
    RecoveryReport,
);

impl Directory<'_> {
    fn open(&self, now_ms: u64, mut random: Random) -> Result<Parts, OpenError> {
        let entries = self.list()?;
        let known = read_identity(self.storage, &entries)?;
        let created = known.is_none();
        let identity = match known {
            Some(identity) => identity,
            None => self.create(now_ms, &mut random)?,
        };
        if identity.partitions != self.options.partitions {
            return Err(OpenError::PartitionsMismatch {
                directory: self.storage.describe(),
                found: identity.partitions,
                wanted: self.options.partitions,
            });
        }
        self.finish_interrupted(&entries)?;
        self.adopt_spares(&identity)?;
        let entries = self.list()?;
        let marks = Marks {
            clean: self.read_clean_mark(&entries, &identity),
            durable: read_durable_marks(self.storage, &entries, &identity),
        };
        let mut segments = segments(&entries, identity.partitions);
        let mut opened = Vec::new();
        for number in 0..identity.partitions {
            let partition = PartitionId(number);
            let candidates = segments.remove(&partition).unwrap_or_default();
            let stamp = random.next();
            opened.push(
                self.open_partition(&identity, partition, &entries, candidates, &marks, stamp)?,
            );
        }
        parallel::for_each(&mut opened, |it| it.recovery.read(&mut it.survey));
        let mut partitions = Vec::new();
        let mut starts = Vec::new();
        let mut report = RecoveryReport {
            created,
            clean: created || marks.clean.is_some(),
            log_id: identity.log_id,
            partitions: Vec::new(),
        };
        for opened in opened {
            let (start, writer, found) = opened.finish()?;
            report.clean &= created || !writer.tail_unsynced;
            report.partitions.extend(found);
            partitions.push(Arc::new(Partition::new(start)));
            starts.push(writer);
        }
        Ok((
            identity,
            random,
            marks.clean.is_some(),
            partitions,
            starts,
            report,
        ))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>, OpenError> {
        let action = format!("listing {}", self.storage.describe());
        Ok(self.storage.list().map_err(StorageError::during(action))?)
    }

    fn create(&self, now_ms: u64, random: &mut Random) -> Result<Identity, OpenError> {
        let identity = Identity {
            log_id: crate::position::LogId(random.next()),
            partitions: self.options.partitions,
            created_at: now_ms,
        };
        replace(self.storage, names::IDENTITY, &identity.encode())
            .map_err(StorageError::during(format!("making {}", names::IDENTITY)))?;
        Ok(identity)
    }

    /// Temporary files go. A rebuilt segment takes its place if the damaged one had left it.
    fn finish_interrupted(&self, entries: &[DirectoryEntry]) -> Result<(), OpenError> {
        let mut changed = false;
        for entry in entries {
            let action = StorageError::during(format!("finishing with {}", entry.name));
            let outcome = match names::kind(&entry.name) {
                FileKind::Temporary => remove_if_there(self.storage, &entry.name),
                FileKind::Salvage(partition, base) => {
                    let name = names::segment(partition, base);
                    if entries.iter().any(|other| other.name == name) {
                        remove_if_there(self.storage, &entry.name)
                    } else {
                        self.storage.rename(&entry.name, &name)
                    }
                }
                _ => continue,
            };
            outcome.map_err(action)?;
            changed = true;
        }
        if changed {
            let action = StorageError::during("syncing the directory");
            self.storage.sync_directory().map_err(action)?;
        }
        Ok(())
    }

    /// A spare that a writer had begun to use when the process ended gets its name; others go.
    fn adopt_spares(&self, identity: &Identity) -> Result<(), OpenError> {
        for entry in self.list()? {
            if names::kind(&entry.name) != FileKind::Spare {
                continue;
            }
            let action = || StorageError::during(format!("adopting {}", entry.name));
            let header = peek_header(self.storage, &entry.name, entry.bytes).map_err(action())?;
            let header = match header {
                HeaderFound::Valid(header)
                    if header.log_id == identity.log_id
                        && header.partition.0 < identity.partitions =>
                {
                    header
                }
                _ => {
                    remove_if_there(self.storage, &entry.name).map_err(action())?;
                    continue;
                }
            };
            let name = names::segment(header.partition, header.base_offset);
            let there = self.list()?.into_iter().find(|other| other.name == name);
            let newer = match there {
                None => true,
                Some(other) => {
                    match peek_header(self.storage, &name, other.bytes).map_err(action())? {
                        HeaderFound::Valid(other) => other.sequence < header.sequence,
                        _ => true,
                    }
                }
            };
            let outcome = if newer {
                self.storage.rename(&entry.name, &name)
            } else {
                remove_if_there(self.storage, &entry.name)
            };
            outcome.map_err(action())?;
        }
        Ok(())
    }

    /// A mark that can't be read is no mark.
    fn read_clean_mark(
        &self,
        entries: &[DirectoryEntry],
        identity: &Identity,
    ) -> Option<CleanMark> {
        entries
            .iter()
            .find(|entry| entry.name == names::CLEAN_MARK)?;
        let bytes = self
            .storage
            .read(names::CLEAN_MARK, SMALL_FILE_BYTES_MAX)
            .ok()?;
        let mark = CleanMark::decode(&bytes, identity.log_id).ok()?;
        (mark.next_offsets.len() == usize::from(identity.partitions)).then_some(mark)
    }

    fn open_partition(
        &self,
        identity: &Identity,
        partition: PartitionId,
        entries: &[DirectoryEntry],
        candidates: Vec<SegmentCandidate>,
        marks: &Marks,
        stamp: u64,
    ) -> Result<OpenedPartition<'_>, OpenError> {
        let state = read_state(self.storage, identity, partition, entries)?;
        let state_lost = state.is_none() && !candidates.is_empty();
        let state = state.unwrap_or_else(|| PartitionState::new(partition));
        let recovery = Recovery {
            storage: self.storage,
            options: self.options,
            log_id: identity.log_id,
            partition,
            floor: state.floor,
            durable: state.durable().max(marks.durable.of(&state)),
            clean_next: marks.clean_next(partition).filter(|_| !state_lost),
            verify_from: self.options.verify_from_checkpoint.then(|| {
                let checkpoint = state.checkpoint.as_ref();
                checkpoint.map_or(OFFSET_FIRST, |span| span.begin)
            }),
            stamp,
        };
        Ok(OpenedPartition {
            survey: recovery.open_files(candidates)?,
            recovery,
            state,
            state_lost,
        })
    }
}

/// A partition whose files are open.
struct OpenedPartition<'a> {
    recovery: Recovery<'a>,
    survey: Survey,
    state: PartitionState,
    state_lost: bool,
}

impl OpenedPartition<'_> {
    fn finish(self) -> Result<(PartitionStart, WriterStart, Option<PartitionReport>), OpenError> {
        let OpenedPartition {
            recovery,
            survey,
            mut state,
            state_lost,
        } = self;
        let mut found = recovery.repair(survey)?;
        if state_lost {
            found
                .notes
                .push("the state file is lost, all earlier epochs are invalid".to_owned());
        }
        let writer = writer_start(&state, &found, state_lost);
        // A checkpoint whose records are damaged or cut is none.
        let damaged = !found.corruption.is_empty();
        state.checkpoint = state
            .checkpoint
            .filter(|span| span.end < found.next_offset)
            .filter(|span| !(damaged && touches(&found, span.begin, span.end)));
        let report = report(recovery.partition, &found, &writer);
        let start = PartitionStart {
            state,
            next_offset: found.next_offset,
            durable: found.durable,
            last_time: found.last_time,
            sequence: found.sequence,
            next_segment_bytes: found.next_segment_bytes,
            segments: found.segments,
        };
        Ok((start, writer, report))
    }
}

fn touches(found: &Recovered, begin: u64, end: u64) -> bool {
    let lost = found
        .corruption
        .iter()
        .flat_map(|corruption| &corruption.lost);
    lost.into_iter()
        .any(|(first, last)| *first <= end && *last >= begin)
}

fn writer_start(state: &PartitionState, found: &Recovered, state_lost: bool) -> WriterStart {
    let mut epochs = state.epochs.clone();
    let begins = !found.clean || epochs.is_empty();
    if begins {
        let before = if state_lost {
            found.epoch_seen + EPOCHS_SKIPPED
        } else {
            state.epoch()
        };
        epochs.push(EpochStart {
            epoch: before + 1,
            first_offset: found.next_offset,
        });
    }
    WriterStart {
        epochs,
        tail_unsynced: !found.clean,
    }
}

fn report(
    partition: PartitionId,
    found: &Recovered,
    writer: &WriterStart,
) -> Option<PartitionReport> {
    let nothing = found.next_offset == OFFSET_FIRST
        && found.segments.is_empty()
        && found.corruption.is_empty()
        && found.notes.is_empty()
        && found.torn_bytes == 0;
    let first = found.segments.iter().find(|segment| !segment.is_empty());
    (!nothing).then(|| PartitionReport {
        partition,
        first_offset: first.map_or(found.next_offset, |segment| segment.first_offset),
        next_offset: found.next_offset,
        epoch: writer.epochs.last().map_or(0, |last| last.epoch),
        segments: found.segments.len(),
        torn_bytes: found.torn_bytes,
        corruption: found.corruption.clone(),
        notes: found.notes.clone(),
    })
}

/// The identity of a directory. `None`: it is empty, and a log may be made in it.
pub(crate) fn read_identity(
    storage: &dyn Storage,
    entries: &[DirectoryEntry],
) -> Result<Option<Identity>, OpenError> {
    if !entries.iter().any(|entry| entry.name == names::IDENTITY) {
        let other = entries
            .iter()
            .find(|entry| !matches!(names::kind(&entry.name), FileKind::Temporary));
        return match other {
            None => Ok(None),
            Some(entry) if names::kind(&entry.name) == FileKind::Foreign => {
                Err(OpenError::ForeignDirectory {
                    directory: storage.describe(),
                    example: entry.name.clone(),
                })
            }
            Some(_) => Err(damaged_identity(storage, "it is missing")),
        };
    }
    let action = format!("reading {}", names::IDENTITY);
    let bytes = storage
        .read(names::IDENTITY, SMALL_FILE_BYTES_MAX)
        .map_err(StorageError::during(action))?;
    match Identity::decode(&bytes) {
        Ok(identity) => Ok(Some(identity)),
        Err(Fault::Damaged(problem)) => Err(damaged_identity(storage, problem)),
        Err(Fault::Newer(version)) => Err(newer(names::IDENTITY, version)),
    }
}

fn damaged_identity(storage: &dyn Storage, problem: &str) -> OpenError {
    OpenError::DamagedIdentity {
        file: format!("{}/{}", storage.describe(), names::IDENTITY),
        problem: problem.to_owned(),
    }
}

fn newer(file: &str, version: u16) -> OpenError {
    OpenError::UnsupportedVersion {
        file: file.to_owned(),
        found: version,
        supported: FORMAT_VERSION,
    }
}

/// The state file of a partition. `None`: there is none, or it is damaged.
pub(crate) fn read_state(
    storage: &dyn Storage,
    identity: &Identity,
    partition: PartitionId,
    entries: &[DirectoryEntry],
) -> Result<Option<PartitionState>, OpenError> {
    let name = names::state(partition);
    if !entries.iter().any(|entry| entry.name == name) {
        return Ok(None);
    }
    let action = StorageError::during(format!("reading {name}"));
    let bytes = storage.read(&name, SMALL_FILE_BYTES_MAX).map_err(action)?;
    match PartitionState::decode(&bytes, identity.log_id) {
        Ok(state) if state.partition == partition => Ok(Some(state)),
        Ok(_) | Err(Fault::Damaged(_)) => Ok(None),
        Err(Fault::Newer(version)) => Err(newer(&name, version)),
    }
}

/// The durable marks. A file that is not there or can't be read says nothing.
pub(crate) fn read_durable_marks(
    storage: &dyn Storage,
    entries: &[DirectoryEntry],
    identity: &Identity,
) -> DurableMarks {
    let there = entries
        .iter()
        .any(|entry| entry.name == names::DURABLE_MARKS);
    let read = || {
        let bytes = storage
            .read(names::DURABLE_MARKS, SMALL_FILE_BYTES_MAX)
            .ok()?;
        DurableMarks::decode(&bytes, identity.log_id).ok()
    };
    let none = DurableMarks { marks: Vec::new() };
    if there { read().unwrap_or(none) } else { none }
}

/// The segment files by partition.
pub(crate) fn segments(
    entries: &[DirectoryEntry],
    partitions: u16,
) -> BTreeMap<PartitionId, Vec<SegmentCandidate>> {
    let mut segments: BTreeMap<PartitionId, Vec<SegmentCandidate>> = BTreeMap::new();
    for entry in entries {
        if let FileKind::Segment(partition, base) = names::kind(&entry.name)
            && partition.0 < partitions
        {
            let candidate = SegmentCandidate {
                name: entry.name.clone(),
                bytes: entry.bytes,
                base,
            };
            segments.entry(partition).or_default().push(candidate);
        }
    }
    segments
}
