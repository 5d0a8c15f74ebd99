//! The log's directory on a file system of Linux.
//!
//! The directory has mode 0700, its files 0600. Space is allocated before it is mapped, so a full
//! disk is an error of `create` and never a SIGBUS.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use crate::mapping::{Mapping, Memory};
use crate::storage::{CachePieces, DirectoryEntry, FileHandle, LockError, Storage, StoredFile};

const LOCK_NAME: &str = "lock";
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Bytes written at a time where a file system can't allocate or zero.
const ZEROS_BYTES: usize = 64 << 10;

/// Bytes made writable at a time: the lock of the process' memory is held meanwhile, and a thread
/// that maps anything waits for it. 64 pages take some tens of microseconds.
const POPULATE_BYTES: usize = 256 << 10;

/// Bytes read at a time to bring them into the page cache.
const READ_BYTES: usize = 64 << 10;

/// A directory on disk.
///
/// ```
/// use skein_log::{DiskStorage, Log, Options};
/// # let directory = std::env::temp_dir().join(format!("skein-disk-{}", std::process::id()));
/// let options = Options { partitions: 1, disk_reserve_bytes: 0, ..Options::default() };
/// let (log, _) = Log::open(DiskStorage::new(&directory)?, options, 0, 42)?;
/// # drop(log);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DiskStorage {
    path: PathBuf,
    directory: File,
    lock: Mutex<Option<File>>,
    writable: bool,
}

impl DiskStorage {
    /// Opens a directory for writing and makes it (and its parents) where it does not exist.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Arc<DiskStorage>> {
        let path = path.into();
        DiskStorage::make_directory(&path)?;
        DiskStorage::with(path, true)
    }

    /// Makes a directory for its owner's eyes only, and its parents, where they do not exist. Each that it
    /// makes survives a power failure.
    ///
    /// ```
    /// # let root = std::env::temp_dir().join(format!("skein-made-{}", std::process::id()));
    /// skein_log::DiskStorage::make_directory(&root.join("data/log"))?;
    /// assert!(root.join("data/log").is_dir());
    /// # std::fs::remove_dir_all(&root)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn make_directory(path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        DiskStorage::make_directory(parent)?;
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            // By somebody else meanwhile, who may not sync it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
        File::open(parent)?.sync_all()
    }

    /// Opens an existing directory to look at it, without lock and without changing anything.
    pub fn read_only(path: impl Into<PathBuf>) -> io::Result<Arc<DiskStorage>> {
        DiskStorage::with(path.into(), false)
    }

    fn with(path: PathBuf, writable: bool) -> io::Result<Arc<DiskStorage>> {
        let directory = File::open(&path)?;
        if !directory.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Arc::new(DiskStorage {
            path,
            directory,
            lock: Mutex::new(None),
            writable,
        }))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn create_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE);
        options.open(self.file(name))
    }
}

impl Storage for DiskStorage {
    fn lock(&self) -> Result<(), LockError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let mut file = options
            .open(self.file(LOCK_NAME))
            .map_err(LockError::Storage)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held(holder(&mut file))),
            Err(error) => return Err(LockError::Storage(error.into())),
        }
        // In its place, before it is shortened: a full disk takes no new block.
        let holder = format!("{}\n", std::process::id());
        file.write_all_at(holder.as_bytes(), 0)
            .and_then(|()| file.set_len(holder.len() as u64))
            .map_err(LockError::Storage)?;
        *self.lock.lock().expect("lock file") = Some(file);
        Ok(())
    }

    fn unlock(&self) {
        // Closing the descriptor gives the lock back.
        *self.lock.lock().expect("lock file") = None;
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == LOCK_NAME {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => entries.push(DirectoryEntry {
                    name,
                    bytes: metadata.len(),
                }),
                // Removed meanwhile by the process that owns the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(name))?
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is too long",
            ));
        }
        Ok(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE);
        let mut file = options.open(self.file(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn create(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let file = self.create_file(name)?;
        let mapped = allocate(&file, bytes).and_then(|()| Memory::of_file(&file, bytes, true));
        match mapped {
            Ok(memory) => {
                memory.expect_single_pages();
                Ok(stored(file, memory, reserved_from))
            }
            Err(error) => {
                let _ = fs::remove_file(self.file(name));
                Err(error)
            }
        }
    }

    fn open(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let file = OpenOptions::new()
            .read(true)
            .write(self.writable)
            .open(self.file(name))?;
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file was shortened",
            ));
        }
        let memory = Memory::of_file(&file, bytes, self.writable)?;
        Ok(stored(file, memory, reserved_from))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn bytes_free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}

fn stored(file: File, memory: Arc<Memory>, reserved_from: usize) -> StoredFile {
    let handle = Arc::new(DiskFile {
        file,
        memory: Arc::clone(&memory),
    });
    StoredFile {
        mapping: Mapping::new(memory, reserved_from),
        handle,
    }
}

/// Gives a new file its length with all blocks allocated.
fn allocate(file: &File, bytes: usize) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes as u64) {
        Ok(()) => Ok(()),
        // Blocks that were written are allocated as well.
        Err(Errno::OPNOTSUPP) => write_zeros(file, 0..bytes),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(file: &File, range: Range<usize>) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut position = range.start;
    while position < range.end {
        let bytes = ZEROS_BYTES.min(range.end - position);
        position += rustix::io::pwrite(file, &zeros[..bytes], position as u64)?;
    }
    Ok(())
}

/// An open segment file.
#[derive(Debug)]
struct DiskFile {
    file: File,
    memory: Arc<Memory>,
}

impl DiskFile {
    /// Chooses the pieces for a range that is to be made writable, and brings it into the page cache
    /// where that is not better done by the faults that follow. It takes no lock of the process'
    /// memory, and whether it works shows in the time of what follows and in nothing else.
    fn choose_pieces(&self, range: Range<usize>, pieces: CachePieces) {
        match pieces {
            // What is prefetched comes in single pages, whatever the mapping is told. What is read
            // in order comes in pieces that grow to 2 MiB: a store of one byte then has all of that
            // written by the next sync.
            CachePieces::Pages => {
                self.memory.expect_no_large_pages();
                self.advise(range, Advice::WillNeed);
            }
            CachePieces::Large if self.memory.expect_large_pages() => {}
            CachePieces::Large => self.read_through(range),
        }
    }

    fn read_through(&self, range: Range<usize>) {
        let mut bytes = vec![0; READ_BYTES];
        for start in range.step_by(READ_BYTES) {
            let _ = self.file.read_at(&mut bytes, start as u64);
        }
    }

    fn advise(&self, range: Range<usize>, advice: Advice) {
        if let Some(bytes) = NonZeroU64::new(range.len() as u64) {
            let _ = rustix::fs::fadvise(&self.file, range.start as u64, Some(bytes), advice);
        }
    }
}

impl FileHandle for DiskFile {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// `msync` of a part of the mapping is `fdatasync` of that part of the file, through the same descriptor:
    /// what cannot be written is reported here or there, once.
    fn sync_before(&self, end: usize) -> io::Result<()> {
        self.memory.sync(0..end)
    }

    fn write_back(&self, range: Range<usize>) {
        // SAFETY: the descriptor is open as long as `self`; the call reads no memory of ours. Its
        // result is of no use: the sync that follows is checked.
        unsafe {
            libc::sync_file_range(
                self.file.as_raw_fd(),
                range.start as libc::off64_t,
                range.len() as libc::off64_t,
                libc::SYNC_FILE_RANGE_WRITE,
            );
        }
    }

    fn populate(&self, range: Range<usize>, pieces: CachePieces) {
        self.choose_pieces(range.clone(), pieces);
        for start in range.clone().step_by(POPULATE_BYTES) {
            self.memory
                .populate(start..range.end.min(start + POPULATE_BYTES));
        }
    }

    fn release(&self, range: Range<usize>) {
        self.memory.release(range.clone());
        self.advise(range, Advice::DontNeed);
    }

    fn write_at(&self, position: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, position as u64)
    }

    fn zero(&self, range: Range<usize>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (start, bytes) = (range.start as u64, range.len() as u64);
        match rustix::fs::fallocate(&self.file, FallocateFlags::ZERO_RANGE, start, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => write_zeros(&self.file, range),
            Err(error) => Err(error.into()),
        }
    }
}
