//! The numbers that name places in a log: partition, offset, epoch, identity of a directory.
//!
//! An *offset* counts records in a partition, from 1, dense. A *position* counts bytes in a
//! segment and never leaves this crate.

use std::fmt;

/// Number of a record in its partition: dense, from 1, never used twice within an epoch.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{OFFSET_FIRST, Offset};
/// let last: Offset = writer.appended();
/// assert_eq!(last, OFFSET_FIRST, "one record");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Offset = u64;

/// The offset of the first record of a partition.
pub const OFFSET_FIRST: Offset = 1;

/// Number of a partition within a log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}", self.0)
    }
}

/// Random identity of a data directory, made when the directory is. Part of every cursor, so that
/// a cursor of another log is recognised.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let other = Log::open(MemoryStorage::new(), options, 0, 2)?.0;
/// assert_ne!(log.id(), other.id(), "a place in the one is none in the other");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where the writer with this epoch number began.
///
/// An offset read under epoch `e` is still the same record if it lies below the `first_offset` of
/// every later epoch.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::EpochStart;
/// assert_eq!(writer.epochs(), [EpochStart { epoch: 1, first_offset: 1 }]);
/// drop((writer, log));
/// let (mut log, _) = Log::open(storage.kill(), options, 10, 2)?;
/// let writer = log.take_writer(PartitionId(0)).expect("taken once");
/// // Not closed cleanly: what comes now is of another epoch.
/// assert_eq!(writer.epochs()[1], EpochStart { epoch: 2, first_offset: 2 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Number of the epoch, from 1, growing by one.
    pub epoch: u32,
    /// First offset the writer of this epoch gives out.
    pub first_offset: Offset,
}
