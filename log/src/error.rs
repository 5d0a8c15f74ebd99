//! One error enum per question a caller asks. Each message says whose fault it is and what to do.
//!
//! Ordinary outcomes are no errors: the end of the log is `None`, a torn tail is a line in the
//! recovery report.

use std::io;

use crate::position::{Offset, PartitionId};

/// Why options were refused. The caller's fault; nothing was touched.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let error = Options { partitions: 0, ..options }.validate().expect_err("one at least");
/// assert_eq!(error.option, "partitions");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log option `{option}`: {problem}")]
#[non_exhaustive]
pub struct OptionsError {
    /// Name of the field of `Options`.
    pub option: &'static str,
    /// What is wrong and which values are right.
    pub problem: String,
}

/// What the file system refused. The words around it, in the error that has it, say what now.
///
/// ```
/// use skein_log::{Log, OpenError, Options};
/// let error = Log::open_dir("/proc/no/such/folder", Options::default(), 0, 1).expect_err("refused");
/// let OpenError::Storage(refused) = error else { panic!("{error}") };
/// assert_eq!(refused.action, "opening /proc/no/such/folder");
/// assert!(refused.to_string().starts_with("opening /proc/no/such/folder failed: "));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{action} failed: {source}")]
#[non_exhaustive]
pub struct StorageError {
    /// What was tried, with the file.
    pub action: String,
    /// What the system said.
    pub source: io::Error,
}

impl StorageError {
    /// For `map_err` of what was tried.
    pub(crate) fn during(action: impl Into<String>) -> impl FnOnce(io::Error) -> StorageError {
        let action = action.into();
        move |source| StorageError { action, source }
    }
}

/// Why a log could not be opened.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::OpenError;
/// let options = Options { partitions: 2, ..options };
/// let error = Log::open(storage.kill(), options, 10, 2).expect_err("it was made with one");
/// assert!(matches!(error, OpenError::PartitionsMismatch { found: 1, wanted: 2, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option is out of its range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Another process has the directory open.
    #[error("{directory} is in use by {holder}; stop it, or choose another data directory")]
    Locked {
        /// The data directory.
        directory: String,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The directory holds something else.
    #[error(
        "{directory} holds files that are not a skein log (for example `{example}`); \
         choose an empty directory"
    )]
    ForeignDirectory {
        /// The data directory.
        directory: String,
        /// One of the foreign files.
        example: String,
    },
    /// The directory was written by a newer format.
    #[error(
        "{file} has format version {found}, this program reads up to {supported}; \
         use a newer program"
    )]
    UnsupportedVersion {
        /// The file that says so.
        file: String,
        /// Version found.
        found: u16,
        /// Newest version this crate reads.
        supported: u16,
    },
    /// The number of partitions is fixed when a directory is made.
    #[error(
        "{directory} was made with {found} partitions and can't be opened with {wanted}; \
         set `partitions = {found}`"
    )]
    PartitionsMismatch {
        /// The data directory.
        directory: String,
        /// Partitions of the directory.
        found: u16,
        /// Partitions asked for.
        wanted: u16,
    },
    /// The file that names the log is damaged. Without it nothing can be trusted.
    #[error("{file} is damaged ({problem}); restore it from a backup of the directory")]
    DamagedIdentity {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system refused something.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a batch was not appended. Nothing of it is in the log.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::AppendError;
/// assert!(matches!(writer.append(6, &[]), Err(AppendError::Empty)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A batch has at least one record.
    #[error("a batch needs at least one record")]
    Empty,
    /// More records than a batch can count; the caller splits.
    #[error("{records} records in a batch, at most {records_max} fit; split the batch")]
    TooManyRecords {
        /// Records given.
        records: usize,
        /// Most a batch holds.
        records_max: usize,
    },
    /// One payload is too long.
    #[error("record {index} has {bytes} bytes of payload, at most {bytes_max} fit")]
    PayloadTooLarge {
        /// Index of the record in the batch.
        index: usize,
        /// Its payload in bytes.
        bytes: usize,
        /// Largest payload in bytes.
        bytes_max: usize,
    },
    /// Together the records are too long; the caller splits.
    #[error("a batch of {bytes} bytes, at most {bytes_max} fit; split the batch")]
    BatchTooLarge {
        /// Bytes the batch would take.
        bytes: usize,
        /// `Writer::batch_bytes_max`.
        bytes_max: usize,
    },
    /// The writer could not make its epoch durable, so it must not append. Nothing is lost; the
    /// next append tries again.
    #[error("{partition} can't begin its epoch ({action}): {source}; free space and try again")]
    NotBegun {
        /// The partition.
        partition: PartitionId,
        /// What failed.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is neither a disk to write to nor memory to stand in for it.
    #[error("{partition} has neither disk space nor memory for a segment: {source}")]
    NoMemory {
        /// The partition.
        partition: PartitionId,
        /// What the system said.
        source: io::Error,
    },
}

/// Why records are not durable.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{Operation, SyncError};
/// storage.fail_call(Operation::Sync, 0);
/// let error = writer.sync_now().expect_err("the disk fails");
/// assert!(matches!(error, SyncError::Failed { from: 1, .. }), "from there on nothing is durable");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The disk refused a sync. The records from `from` on stay readable in this process and are
    /// not promised to be there after a restart. The log goes on in another file.
    #[error("{partition}: sync of {file} failed, records from {from} on are not durable: {source}")]
    Failed {
        /// The partition.
        partition: PartitionId,
        /// The file.
        file: String,
        /// First record that is not durable.
        from: Offset,
        /// What the system said.
        source: io::Error,
    },
    /// There is no file to sync: the partition runs in memory (full disk or a failed one).
    #[error(
        "{partition} runs in memory, records from {from} on are not durable; \
         free space on the disk"
    )]
    Degraded {
        /// The partition.
        partition: PartitionId,
        /// First record that is not durable.
        from: Offset,
    },
}

/// Why a reader got no batch although there is one to get.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::ReadError;
/// writer.append(6, &[Record::default()])?;
/// writer.purge_before(2)?;
/// let mut reader = log.reader(PartitionId(0));
/// // The reader stands behind the gap and goes on.
/// let gap = reader.next_batch().expect_err("the first record was dropped");
/// assert!(matches!(gap, ReadError::Gap { from: 1, next: 2, .. }));
/// assert!(reader.next_batch()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Records from the reader's offset up to `next` are not in the log: retention dropped them,
    /// or they were lost and the log says so. The reader stands at `next`; go on from a newer
    /// state (a checkpoint, say).
    #[error("{partition}: records {from} to {last} are not in the log any more", last = .next - 1)]
    Gap {
        /// The partition.
        partition: PartitionId,
        /// The offset the reader wanted.
        from: Offset,
        /// The next offset there is, or will be.
        next: Offset,
    },
    /// The log was cut behind the reader. It stands at `next`.
    #[error("{partition} was truncated; the reader goes on at {next}")]
    Truncated {
        /// The partition.
        partition: PartitionId,
        /// Where the reader stands now.
        next: Offset,
    },
    /// A batch does not match its checksum. The reader stands behind it.
    #[error("{file}: batch of offset {offset} at position {position} is damaged: {problem}")]
    Damaged {
        /// The file.
        file: String,
        /// Offset of the first record of the batch.
        offset: Offset,
        /// Byte position in the file.
        position: u64,
        /// What does not fit.
        problem: String,
    },
}

/// Why a log could not be closed cleanly. The next start recovers as after a crash.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::CloseError;
/// let error = log.close().expect_err("its writer is alive");
/// assert!(matches!(error, CloseError::InUse { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// A writer or the janitor was not given back.
    #[error("{what} is still in use; drop it before closing the log")]
    InUse {
        /// What is in use.
        what: String,
    },
    /// Some records are not durable, so the stop is not clean.
    #[error(transparent)]
    NotDurable(#[from] SyncError),
    /// The file system refused something.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a log was not truncated or purged.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::TruncateError;
/// let error = writer.truncate_after(6, 9).expect_err("there is one record");
/// assert!(matches!(error, TruncateError::OutOfRange { first: 1, last: 1, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The offset lies outside of what the partition holds.
    #[error("{partition} holds {first} to {last}; it can't be cut at {offset}")]
    OutOfRange {
        /// The partition.
        partition: PartitionId,
        /// Offset asked for.
        offset: Offset,
        /// First record held.
        first: Offset,
        /// Last record held.
        last: Offset,
    },
    /// The file system refused something. The log goes on uncut; after a restart it may be cut or
    /// not. Try again.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why metadata was not set. What was there before is still there.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::MetaError;
/// let error = writer.set_meta(&[0; 5_000]).expect_err("it is too long");
/// assert!(matches!(error, MetaError::TooLarge { bytes: 5_000, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// It is too long.
    #[error("metadata of {bytes} bytes, at most {bytes_max} fit")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Most bytes.
        bytes_max: usize,
    },
    /// The records before it can't be made durable.
    #[error(transparent)]
    NotDurable(#[from] SyncError),
    /// The file system refused something; after a restart the old or the new metadata is there.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why segments were not rewritten.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{Operation, RewriteError};
/// writer.close_segment();
/// writer.sync_now()?;
/// storage.fail_call(Operation::Create, 0);
/// let error = log.rewriter().erase(PartitionId(0), |_, _| true).expect_err("no file can be made");
/// let RewriteError::Storage(refused) = error else { panic!("{error}") };
/// assert_eq!(refused.action, "rewriting p00000-00000000000000000001.seg");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The file system refused something. Nothing is lost; try again.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a consumer could not be opened, or its places not be kept.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::ConsumerError;
/// let error = log.consumer("a/b").expect_err("part of a file name");
/// assert!(matches!(error, ConsumerError::BadName { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The name can't be part of a file name.
    #[error(
        "`{name}` is no name of a consumer: 1 to {bytes_max} lower case letters, digits, `-`, `_`"
    )]
    BadName {
        /// The name.
        name: String,
        /// Longest name in bytes.
        bytes_max: usize,
    },
    /// There is a consumer of that name in use.
    #[error("consumer `{name}` is in use; drop it first, or choose another name")]
    InUse {
        /// The name.
        name: String,
    },
    /// There is no room for another consumer.
    #[error("the log has {consumers_max} consumers already; remove one that is not needed")]
    TooMany {
        /// Most consumers of a log.
        consumers_max: usize,
    },
    /// The file with the places is damaged.
    #[error("{file} is damaged ({problem}); remove it, and the consumer begins at the start")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system refused something. Try again.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a directory could not be inspected.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{InspectError, Inspector};
/// let error = Inspector::of(MemoryStorage::new()).expect_err("an empty directory");
/// assert!(matches!(error, InspectError::NoLog { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no log here.
    #[error("{directory} holds no skein log")]
    NoLog {
        /// The directory.
        directory: String,
    },
    /// The directory can't be read as a log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The partition does not exist.
    #[error("{partition} does not exist, the log has partitions 0 to {last}", last = .partitions - 1)]
    NoPartition {
        /// Partition asked for.
        partition: PartitionId,
        /// Partitions there are.
        partitions: u16,
    },
    /// Something about the records. The tail can go on behind it.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<StorageError> for InspectError {
    fn from(refused: StorageError) -> InspectError {
        InspectError::Open(refused.into())
    }
}
