//! The log of a data directory: opens it, hands out its parts, closes it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::consumer::{self, Consumer};
use crate::directory::{Opened, WriterStart, open};
use crate::error::{CloseError, ConsumerError, OpenError, StorageError, SyncError};
use crate::flush::flush;
use crate::janitor::Janitor;
use crate::meta::{Checkpoint, CleanMark};
use crate::names;
use crate::options::Options;
use crate::partition::{Durability, Partition};
use crate::position::{LogId, OFFSET_FIRST, Offset, PartitionId};
use crate::reader::Reader;
use crate::report::RecoveryReport;
use crate::rewrite::Rewriter;
use crate::segment::FooterState;
use crate::shared::{Shared, remove_if_there};
use crate::storage::Storage;
use crate::storage_disk::DiskStorage;
use crate::writer::Writer;

/// What a log has and has done, for metrics.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// writer.sync_now()?;
/// let stats = log.stats();
/// assert_eq!((stats.segments, stats.sync_failures, stats.partitions_degraded), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Segments held.
    pub segments: u64,
    /// Their size in bytes, those in memory included.
    pub segment_bytes: u64,
    /// Bytes of dropped segments that a reader's `Bytes` still keep mapped.
    pub mapped_deleted_bytes: u64,
    /// Partitions that run in memory, whose file has failed, or which the disk does not let begin.
    pub partitions_degraded: u64,
    /// Files prepared by the janitor since the start.
    pub spares_prepared: u64,
    /// Files of dropped segments that were used again since the start.
    pub spares_recycled: u64,
    /// Files a writer had to prepare itself since the start.
    pub segments_prepared_inline: u64,
    /// Segments that were made in memory since the start.
    pub segments_in_memory: u64,
    /// Files synced since the start.
    pub syncs: u64,
    /// Syncs that failed since the start.
    pub sync_failures: u64,
    /// Writes of a batch that failed since the start; only the `pwrite` backend can see one.
    pub write_failures: u64,
    /// Segments dropped by retention since the start.
    pub segments_dropped: u64,
    /// Their size in bytes.
    pub bytes_dropped: u64,
}

/// A partitioned append-only log.
///
/// ```
/// use skein_log::{Log, Options, PartitionId, Record};
///
/// let directory = std::env::temp_dir().join(format!("skein-log-example-{}", std::process::id()));
/// let options = Options { partitions: 1, disk_reserve_bytes: 0, ..Options::default() };
///
/// let (mut log, report) = Log::open_dir(&directory, options.clone(), 1_000, 42)?;
/// assert!(report.created);
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// writer.append(1_000, &[Record { key: 7, payload: b"hello", ..Record::default() }])?;
/// drop(writer);
/// log.close()?;
///
/// let (log, report) = Log::open_dir(&directory, options, 3_000, 43)?;
/// assert!(report.clean);
/// let batch = log.reader(PartitionId(0)).next_batch()?.expect("one batch");
/// assert_eq!(batch.records().next().expect("one record").1.payload, b"hello");
/// # drop((batch, log));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    starts: Vec<WriterStart>,
    writers_taken: Vec<bool>,
    janitor_taken: bool,
}

impl Log {
    /// Opens the log of a directory, or makes it in an empty one.
    ///
    /// `random` seeds the identity of a new log, the generations of segments and jitter: give a
    /// fresh random number, or a fixed one in a simulation. `now_ms` is the caller's clock: milliseconds
    /// since whenever, the same for all calls.
    pub fn open(
        storage: Arc<dyn Storage>,
        options: Options,
        now_ms: u64,
        random: u64,
    ) -> Result<(Log, RecoveryReport), OpenError> {
        let Opened {
            shared,
            starts,
            report,
        } = open(storage, options, now_ms, random)?;
        let writers_taken = vec![false; starts.len()];
        Ok((
            Log {
                shared,
                starts,
                writers_taken,
                janitor_taken: false,
            },
            report,
        ))
    }

    /// Opens the log of a directory on disk; makes the directory where it does not exist.
    pub fn open_dir(
        path: impl Into<PathBuf>,
        options: Options,
        now_ms: u64,
        random: u64,
    ) -> Result<(Log, RecoveryReport), OpenError> {
        options.validate()?;
        let path = path.into();
        let action = StorageError::during(format!("opening {}", path.display()));
        let storage = DiskStorage::new(path).map_err(action)?;
        Log::open(storage, options, now_ms, random)
    }

    /// Identity of the log.
    pub fn id(&self) -> LogId {
        self.shared.id
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u16 {
        self.shared.options.partitions
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The writer of a partition, once. `None`: taken already, or there is no such partition.
    pub fn take_writer(&mut self, partition: PartitionId) -> Option<Writer> {
        let index = usize::from(partition.0);
        let taken = self.writers_taken.get_mut(index)?;
        if std::mem::replace(taken, true) {
            return None;
        }
        let start = self.starts[index].clone();
        let partition = Arc::clone(&self.shared.partitions[index]);
        Some(Writer::new(
            Arc::clone(&self.shared),
            partition,
            start.epochs,
            start.tail_unsynced,
        ))
    }

    /// A follower of a partition, at its first offset ever.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn reader(&self, partition: PartitionId) -> Reader {
        Reader::new(Arc::clone(
            &self.shared.partitions[usize::from(partition.0)],
        ))
    }

    /// A named consumer: it goes on where it had committed, or begins at the start.
    ///
    /// # Errors
    ///
    /// The name is not possible or in use, or its file can't be read.
    pub fn consumer(&self, name: &str) -> Result<Consumer, ConsumerError> {
        Consumer::open(Arc::clone(&self.shared), name)
    }

    /// Thins and erases. On a thread that may wait for the disk.
    pub fn rewriter(&self) -> Rewriter {
        Rewriter::new(Arc::clone(&self.shared))
    }

    /// The names of the consumers that have committed something durably.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub fn consumers(&self) -> Result<Vec<String>, ConsumerError> {
        consumer::list(&self.shared)
    }

    /// The janitor, once.
    pub fn take_janitor(&mut self) -> Option<Janitor> {
        if std::mem::replace(&mut self.janitor_taken, true) {
            return None;
        }
        Some(Janitor::new(Arc::clone(&self.shared)))
    }

    /// Tells `listener` of each partition whose writer has been told by [`Writer::is_ready_for`] that
    /// something is missing, when there is a reason to ask again. Called on a thread of the janitor;
    /// it must not wait.
    pub fn on_ready(&self, listener: Box<dyn Fn(PartitionId) + Send + Sync>) {
        self.shared.add_ready_listener(listener);
    }

    /// Tells `listener` how far partitions are durable: called by whoever synced (the janitor's
    /// thread, or a writer in `sync_now`), only after checked syncs that cover the offset. It must
    /// not block and must not call back into the log.
    ///
    /// Records that were reported lost lie below a later durable mark: see `on_lost`.
    pub fn on_durable(&self, listener: Box<dyn Fn(PartitionId, Offset) + Send + Sync>) {
        self.shared.add_durable_listener(listener);
    }

    /// Tells `listener` the first and last record of ranges that will not become durable, always
    /// before the durable mark passes them. Whoever waits for one of them has to be told so.
    pub fn on_lost(&self, listener: Box<dyn Fn(PartitionId, Offset, Offset) + Send + Sync>) {
        self.shared.add_loss_listener(listener);
    }

    /// What the log has and has done.
    pub fn stats(&self) -> LogStats {
        let counters = &self.shared.counters;
        let mut stats = LogStats {
            mapped_deleted_bytes: counters.mapped_deleted_bytes.load(Ordering::Relaxed),
            spares_prepared: counters.spares_prepared.load(Ordering::Relaxed),
            spares_recycled: counters.spares_recycled.load(Ordering::Relaxed),
            segments_prepared_inline: counters.segments_prepared_inline.load(Ordering::Relaxed),
            segments_in_memory: counters.segments_in_memory.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            sync_failures: counters.sync_failures.load(Ordering::Relaxed),
            write_failures: counters.write_failures.load(Ordering::Relaxed),
            segments_dropped: counters.segments_dropped.load(Ordering::Relaxed),
            bytes_dropped: counters.bytes_dropped.load(Ordering::Relaxed),
            ..LogStats::default()
        };
        for partition in &self.shared.partitions {
            stats.partitions_degraded += u64::from(partition.is_degraded());
            for segment in partition.segments() {
                stats.segments += 1;
                stats.segment_bytes += segment.mapping.len() as u64;
            }
        }
        stats
    }

    /// Makes everything durable and says so in the directory, so that the next start trusts what
    /// it finds and goes on in the same epochs. All writers and the janitor must have been
    /// dropped.
    ///
    /// After an error, and when a log is dropped without `close`, the next start recovers as after
    /// a crash. Nothing durable is lost either way.
    pub fn close(self) -> Result<(), CloseError> {
        self.check_unused()?;
        let begun = self.shared.begin_changes();
        for (partition, start) in self.shared.partitions.iter().zip(&self.starts) {
            self.close_partition(partition, start)?;
        }
        for spare in self.shared.take_all_spares() {
            self.remove(&spare.name)?;
        }
        for segment in self.shared.take_discarded() {
            if let Some(file) = segment.file.as_ref().filter(|file| !file.is_gone()) {
                self.remove(&file.name())?;
            }
        }
        self.shared
            .sync_directory_since(begun)
            .map_err(StorageError::during("syncing the directory"))?;
        let next_offset = |partition: &Arc<Partition>| partition.appended() + 1;
        let next_offsets = self.shared.partitions.iter().map(next_offset).collect();
        let mark = CleanMark { next_offsets };
        let mark = mark.encode(self.shared.id);
        self.shared
            .replace(names::CLEAN_MARK, &mark)
            .map_err(StorageError::during("writing the clean mark"))?;
        Ok(())
    }

    fn check_unused(&self) -> Result<(), CloseError> {
        if self.shared.janitor_alive.load(Ordering::Acquire) {
            return Err(CloseError::InUse {
                what: "the janitor".to_owned(),
            });
        }
        let mut partitions = self.shared.partitions.iter();
        match partitions.find(|partition| partition.writer_alive.load(Ordering::Acquire)) {
            Some(partition) => Err(CloseError::InUse {
                what: format!("the writer of {}", partition.id),
            }),
            None => Ok(()),
        }
    }

    fn close_partition(
        &self,
        partition: &Partition,
        start: &WriterStart,
    ) -> Result<(), CloseError> {
        if partition.appended() != partition.durable() {
            flush(&self.shared, partition)?;
        }
        if partition.degraded.load(Ordering::Acquire) {
            let from = partition.durable() + 1;
            return Err(SyncError::Degraded {
                partition: partition.id,
                from,
            }
            .into());
        }
        let unused = partition.with_segments(|segments| {
            let last_is_unused = segments.last().is_some_and(|last| last.is_unused());
            if last_is_unused { segments.pop() } else { None }
        });
        if let Some(unused) = unused {
            self.shared.discard(unused);
        }
        for segment in partition.segments() {
            segment.seal();
            segment.write_footer();
            let Some(file) = &segment.file else {
                continue;
            };
            let is_good = segment.lost_from().is_none() && !file.is_gone();
            if is_good {
                self.shared
                    .name_segment(partition, &segment)
                    .map_err(StorageError::during(format!("naming {}", file.name())))?;
            }
            if is_good && (file.footer() == FooterState::Written || start.tail_unsynced) {
                file.handle
                    .sync()
                    .map_err(StorageError::during(format!("syncing {}", file.name())))?;
                file.set_footer(FooterState::Synced);
            }
        }
        self.persist_epoch(partition, start)?;
        self.persist_checkpoint(partition)
    }

    /// The owner's last checkpoint, which the janitor may not have come to.
    fn persist_checkpoint(&self, partition: &Partition) -> Result<(), CloseError> {
        let is_durable = |span: &Checkpoint| {
            partition.durability_within(span.begin, span.end) == Durability::Durable
        };
        let Some(span) = partition.wanted_checkpoint().filter(is_durable) else {
            return Ok(());
        };
        self.shared
            .update_state(partition, |state| state.checkpoint = Some(span))
            .map_err(writing_state(partition))?;
        Ok(())
    }

    /// A partition whose writer never began still has to leave the epoch of the crash before.
    fn persist_epoch(&self, partition: &Partition, start: &WriterStart) -> Result<(), CloseError> {
        let state_epoch = partition.state.lock().expect("partition state").epoch();
        let was_used = state_epoch > 0 || partition.appended() >= OFFSET_FIRST;
        if let Some(epoch) = start.epochs.last().filter(|_| was_used) {
            self.shared
                .begin_epoch(partition, *epoch)
                .map_err(writing_state(partition))?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), CloseError> {
        self.shared
            .change_names(|storage| remove_if_there(storage, name))
            .map_err(StorageError::during(format!("removing {name}")))?;
        Ok(())
    }
}

fn writing_state(partition: &Partition) -> impl FnOnce(io::Error) -> StorageError {
    StorageError::during(format!("writing the state file of {}", partition.id))
}
