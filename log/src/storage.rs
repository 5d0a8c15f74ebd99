//! What the log asks of a medium: one flat directory of files, mapped, synced and renamed.
//!
//! Two implementations exist, `storage_disk` and `storage_memory`; one conformance suite runs over
//! both. Calls happen at rolls and in the janitor, never per append.
//!
//! What the log assumes of a medium, and nothing more:
//! - After a successful `sync` of a file, everything stored in its mapping before is durable.
//!   Before that any 4 KiB page may or may not be, in any order.
//! - After a successful `sync_directory`, creates, renames and removals before it are durable.
//!   Before that each may or may not be. A rename is atomic.
//! - A failed `sync` says nothing about any later one of that file, so there is no later one.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::mapping::Mapping;

/// A file of the directory.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{DirectoryEntry, Storage};
/// let entries: Vec<DirectoryEntry> = storage.list()?;
/// assert!(entries.iter().any(|entry| entry.name == "skein-log"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Another process, or another log of this one, holds the directory.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{LockError, Storage};
/// assert!(matches!(storage.lock(), Err(LockError::Held(_))), "the log has it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum LockError {
    /// Held; the text says by whom as far as known.
    Held(String),
    /// The file system refused something.
    Storage(io::Error),
}

/// A mapped file. The handle is the one descriptor of the file from creation to removal, so that
/// an error of write-back is not missed.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{Storage, StoredFile};
/// let file: StoredFile = storage.create("blank", 8_192, 4_096)?;
/// file.handle.write_at(0, b"bytes")?;
/// file.handle.sync()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredFile {
    /// Its bytes.
    pub mapping: Mapping,
    /// What can be done to it.
    pub handle: Arc<dyn FileHandle>,
}

/// A directory of the log. [`crate::DiskStorage`] and [`crate::MemoryStorage`] are all there are: mapped memory
/// comes from this crate. One of your own can wrap one of them, to watch it or to make it fail.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::Storage;
/// let names = storage.list()?.into_iter().map(|entry| entry.name);
/// assert!(names.into_iter().any(|name| name == "skein-log"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Storage: Debug + Send + Sync {
    /// Takes the directory for this log.
    fn lock(&self) -> Result<(), LockError>;

    /// Gives the directory back.
    fn unlock(&self);

    /// Name of the directory for messages.
    fn describe(&self) -> String;

    /// All files but the lock.
    fn list(&self) -> io::Result<Vec<DirectoryEntry>>;

    /// The content of a small file; longer than `bytes_max` is an error.
    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Makes or overwrites a small file and syncs its content. Its name is durable only after
    /// `sync_directory`.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a zeroed file with all its space allocated, or fails without leaving one. Bytes from
    /// `reserved_from` on are for the footer.
    fn create(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile>;

    /// Opens a file made by `create`, `bytes` long as listed.
    fn open(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile>;

    /// Renames atomically, replacing a file of that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Mappings of the file stay valid.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes the file system has left.
    fn bytes_free(&self) -> io::Result<u64>;
}

/// In what pieces a file is held in memory, where the system lets one choose. The system marks a
/// piece as changed, writes it back and locks it meanwhile as a whole.
///
/// ```
/// use skein_log::{CachePieces, MemoryStorage, Storage};
/// let file = MemoryStorage::new().create("a.seg", 65_536, 65_000)?;
/// // A writer that syncs every few records: what it did not write must not be written with them.
/// file.handle.populate(4_096..8_192, CachePieces::Pages);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CachePieces {
    /// Single pages: a sync writes what was changed and little else.
    Pages,
    /// As large as the system likes, up to megabytes: cheaper to make and to write back, for whoever
    /// changes megabytes between two syncs.
    Large,
}

/// What can be done to a mapped file.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::{FileHandle, Storage};
/// use std::sync::Arc;
/// let handle: Arc<dyn FileHandle> = storage.create("blank", 8_192, 4_096)?.handle;
/// handle.write_at(0, b"bytes")?;
/// handle.zero(0..5)?;
/// handle.sync()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait FileHandle: Debug + Send + Sync {
    /// Makes the content durable. After an error it must not be called again.
    fn sync(&self) -> io::Result<()>;

    /// The same for what lies before `end`. What is made writable behind it counts as changed, and need not
    /// be written in vain. Unless a directory of your own knows better, all is synced.
    fn sync_before(&self, end: usize) -> io::Result<()> {
        let _ = end;
        self.sync()
    }

    /// Starts write-back of a range, without waiting.
    fn write_back(&self, range: Range<usize>);

    /// Makes a range writable without page faults, held in such pieces.
    fn populate(&self, range: Range<usize>, pieces: CachePieces);

    /// Lets go of what reading has brought into memory of a range that nobody has changed; it may
    /// have come in large pieces.
    fn release(&self, range: Range<usize>);

    /// Stores bytes as a write of the file, not through its mapping; readers of the mapping see
    /// them in order. What is written is not published yet. Not durable before `sync`.
    fn write_at(&self, position: usize, bytes: &[u8]) -> io::Result<()>;

    /// Zeroes a range that nobody reads. Not durable before `sync`.
    fn zero(&self, range: Range<usize>) -> io::Result<()>;
}

/// Replaces a small file as a whole: after a crash it has the old content or the new one, and
/// after success the new one.
pub(crate) fn replace(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    put(storage, name, bytes)?;
    storage.sync_directory()
}

/// The same before the directory is synced: only then a crash leaves the new content for certain.
pub(crate) fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    storage.write(&temporary, bytes)?;
    storage.rename(&temporary, name)
}
