//! What a step of the janitor did, for whoever runs it.

use crate::error::SyncError;

/// What one step of the janitor did.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let mut janitor = log.take_janitor().expect("taken once");
/// let report = janitor.work(10);
/// assert_eq!((report.synced, report.failures.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct WorkReport {
    /// Partitions whose durable mark moved.
    pub synced: u32,
    /// What could not be made durable.
    pub failures: Vec<SyncError>,
    /// Files prepared.
    pub spares_prepared: u32,
    /// Segments dropped.
    pub segments_dropped: u32,
    /// Their size in bytes.
    pub bytes_dropped: u64,
    /// Other refusals of the file system, each with what was tried. Tried again later.
    pub refusals: Vec<String>,
    /// When (ms) the janitor has something to do next, if nobody wakes it before.
    pub next_due_ms: u64,
}
