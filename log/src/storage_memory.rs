//! A directory in memory that can crash: for tests and for deterministic simulation.
//!
//! It keeps two images. The *live* one is what the log sees. The *durable* one is what a power cut
//! leaves, and it follows the live one only where the log asked for it: file contents by `sync`,
//! names by `sync_directory`. [`MemoryStorage::crash`] makes the directory that the next start
//! finds: of each page and each name that was not made durable, a random choice survives, in
//! any order. Everything follows from the seed.
//!
//! [`SyncMode::Lie`] replaces every sync by nothing. A crash test that still passes with it tests
//! nothing.
//!
//! Syncs copy what the one writer may be writing; use it from one thread at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::mapping::{Mapping, Memory};
use crate::random::Random;
use crate::storage::{CachePieces, DirectoryEntry, FileHandle, LockError, Storage, StoredFile};

/// Unit in which content survives a crash or not.
const PAGE_BYTES: usize = 4096;

/// What a sync does.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::SyncMode;
/// storage.set_sync_mode(SyncMode::Lie);
/// writer.sync_now()?;
/// // The power fails, and a disk that lies has nothing.
/// let (log, _) = Log::open(storage.crash(3), options, 10, 2)?;
/// assert!(log.reader(PartitionId(0)).appended() <= 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncMode {
    /// Makes durable what was stored.
    Honest,
    /// Reports success and does nothing.
    Lie,
}

/// Calls that can be made to fail by number.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::Operation;
/// storage.fail_call(Operation::Sync, 0);
/// assert!(writer.sync_now().is_err(), "the next sync fails");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// `FileHandle::sync`, fails with EIO. As on Linux the pages count as clean afterwards: a
    /// later sync succeeds and does not make them durable.
    Sync,
    /// `Storage::sync_directory`, fails with EIO. What was changed before counts as written afterwards,
    /// too, and never will be.
    SyncDirectory,
    /// `Storage::create`, fails with ENOSPC.
    Create,
    /// `Storage::write`, fails with ENOSPC.
    Write,
    /// `FileHandle::write_at`, fails with ENOSPC before a byte is stored.
    WriteAt,
}

/// A directory in memory, see the module.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let storage = MemoryStorage::new();
/// let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1).unwrap();
/// let mut writer = log.take_writer(PartitionId(0)).unwrap();
/// writer.append(0, &[Record { payload: b"promise", ..Record::default() }]).unwrap();
/// writer.sync_now().unwrap();
/// writer.append(0, &[Record { payload: b"movement", ..Record::default() }]).unwrap();
///
/// for seed in 0..10 {
///     let (log, _) = Log::open(storage.crash(seed), options.clone(), 0, 2).unwrap();
///     let survived = log.reader(PartitionId(0)).appended();
///     assert!(survived == 1 || survived == 2, "the promise is there, movement may be");
/// }
/// ```
#[derive(Debug)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

struct State {
    sync_mode: SyncMode,
    capacity_bytes: Option<u64>,
    locked: bool,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    names_durable: BTreeMap<String, u64>,
    changes: Vec<Change>,
    calls: BTreeMap<Operation, u64>,
    failures: BTreeSet<(Operation, u64)>,
    observer: Option<Observer>,
}

/// Sees the storage at every moment at which a crash could make a difference.
type Observer = Arc<dyn Fn(&MemoryStorage) + Send + Sync>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// A change of names that is not durable yet.
#[derive(Clone)]
enum Change {
    Put { name: String, file: u64 },
    Rename { from: String, to: String, file: u64 },
    Remove { name: String },
}

/// One file.
struct Content {
    live: Arc<Memory>,
    /// What the kernel believes to be written: pages equal to it are not written again.
    clean: Vec<u8>,
    durable: Vec<u8>,
    /// The length is durable only after the first sync.
    length_durable: bool,
    bytes: usize,
}

impl Content {
    fn zeroed(bytes: usize) -> io::Result<Content> {
        // A mapping can't be empty; `bytes` remembers the true length.
        let live = Memory::anonymous(bytes.max(1).next_multiple_of(PAGE_BYTES))?;
        let clean = vec![0; bytes];
        Ok(Content {
            live,
            durable: clean.clone(),
            clean,
            length_durable: false,
            bytes,
        })
    }

    /// Copies dirty pages that `choose` picks to what is taken for written, and on to the durable
    /// image if the disk `works`.
    fn write_pages(&mut self, works: bool, mut choose: impl FnMut() -> bool) {
        let live = self.live.copy_out(0..self.bytes);
        for start in (0..self.bytes).step_by(PAGE_BYTES) {
            let page = start..(start + PAGE_BYTES).min(self.bytes);
            if live[page.clone()] == self.clean[page.clone()] || !choose() {
                continue;
            }
            self.clean[page.clone()].copy_from_slice(&live[page.clone()]);
            if works {
                self.durable[page.clone()].copy_from_slice(&live[page]);
            }
        }
    }

    /// What a crash leaves of it.
    fn after_crash(&mut self, random: &mut Random) -> io::Result<Content> {
        let keep = [0, 1, 2, 4][random.below(4) as usize];
        self.write_pages(true, || keep > 0 && random.below(4) < keep);
        let gone = !self.length_durable && random.below(4) == 0;
        let bytes = if gone { 0 } else { self.bytes };
        let mut content = Content::zeroed(bytes)?;
        content.live.copy_in(0, &self.durable[..bytes]);
        content.clean.copy_from_slice(&self.durable[..bytes]);
        content.durable.copy_from_slice(&self.durable[..bytes]);
        content.length_durable = true;
        Ok(content)
    }
}

impl State {
    fn empty() -> State {
        State {
            sync_mode: SyncMode::Honest,
            capacity_bytes: None,
            locked: false,
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            changes: Vec::new(),
            calls: BTreeMap::new(),
            failures: BTreeSet::new(),
            observer: None,
        }
    }

    /// Counts a call; an error if it is one of those to fail.
    fn call(&mut self, operation: Operation) -> io::Result<()> {
        let count = self.calls.entry(operation).or_insert(0);
        *count += 1;
        if !self.failures.contains(&(operation, *count)) {
            return Ok(());
        }
        match operation {
            Operation::Sync | Operation::SyncDirectory => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Operation::Create | Operation::Write | Operation::WriteAt => Err(no_space()),
        }
    }

    fn bytes_used(&self) -> u64 {
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        live.iter().map(|file| self.files[file].bytes as u64).sum()
    }

    fn bytes_free(&self) -> u64 {
        self.capacity_bytes.map_or(1 << 40, |capacity| {
            capacity.saturating_sub(self.bytes_used())
        })
    }

    fn add(&mut self, name: &str, content: Content) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, content);
        self.names.insert(name.to_owned(), file);
        self.changes.push(Change::Put {
            name: name.to_owned(),
            file,
        });
        file
    }

    fn content(&self, name: &str) -> io::Result<(u64, &Content)> {
        let file = *self.names.get(name).ok_or_else(not_found)?;
        Ok((file, &self.files[&file]))
    }

    /// The names a crash leaves: all changes, a prefix of them, or any subset.
    fn names_after_crash(&self, random: &mut Random) -> BTreeMap<String, u64> {
        let mut names = self.names_durable.clone();
        let style = random.below(3);
        let prefix = random.below(self.changes.len() as u64 + 1) as usize;
        for (index, change) in self.changes.iter().enumerate() {
            let happens = match style {
                0 => true,
                1 => index < prefix,
                _ => random.below(2) == 0,
            };
            if happens {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Put { name, file } => {
                names.insert(name.clone(), *file);
            }
            Change::Rename { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Change::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl MemoryStorage {
    /// An empty directory.
    #[allow(
        clippy::new_ret_no_self,
        reason = "a storage is always shared with its log"
    )]
    pub fn new() -> Arc<MemoryStorage> {
        Arc::new(MemoryStorage {
            state: Arc::new(Mutex::new(State::empty())),
        })
    }

    /// The directory that the next start finds if the power fails now. The running log is not
    /// disturbed, so one run can be crashed in many ways.
    pub fn crash(&self, seed: u64) -> Arc<MemoryStorage> {
        let mut random = Random::new(seed);
        let state = self.state();
        let mut after = State::empty();
        after.sync_mode = state.sync_mode;
        after.capacity_bytes = state.capacity_bytes;
        after.next_file = state.next_file;
        after.names = state.names_after_crash(&mut random);
        after.names_durable = after.names.clone();
        for file in after.names.values() {
            let content = &state.files[file];
            let mut copy = Content {
                live: Arc::clone(&content.live),
                clean: content.clean.clone(),
                durable: content.durable.clone(),
                ..*content
            };
            let content = copy.after_crash(&mut random).expect("memory for the copy");
            after.files.insert(*file, content);
        }
        Arc::new(MemoryStorage {
            state: Arc::new(Mutex::new(after)),
        })
    }

    /// The directory as it is now, as after `kill -9`: everything written is there.
    pub fn kill(&self) -> Arc<MemoryStorage> {
        let state = self.state();
        let mut after = State::empty();
        after.sync_mode = state.sync_mode;
        after.capacity_bytes = state.capacity_bytes;
        after.next_file = state.next_file;
        after.names = state.names.clone();
        after.names_durable = state.names_durable.clone();
        after.changes = state.changes.clone();
        // All of them: a name change that is not durable yet may bring an unnamed one back.
        for (file, content) in &state.files {
            let live = content.live.copy_out(0..content.bytes);
            let mut copy = Content::zeroed(content.bytes).expect("memory for the copy");
            copy.live.copy_in(0, &live);
            copy.clean.copy_from_slice(&content.clean);
            copy.durable.copy_from_slice(&content.durable);
            copy.length_durable = content.length_durable;
            after.files.insert(*file, copy);
        }
        Arc::new(MemoryStorage {
            state: Arc::new(Mutex::new(after)),
        })
    }

    /// What syncs do from now on.
    pub fn set_sync_mode(&self, mode: SyncMode) {
        self.state().sync_mode = mode;
    }

    /// Size of the medium; `create` and `write` beyond it fail with ENOSPC.
    pub fn set_capacity_bytes(&self, capacity: Option<u64>) {
        self.state().capacity_bytes = capacity;
    }

    /// Makes one call fail: `after` = 0 is the next call of that operation.
    pub fn fail_call(&self, operation: Operation, after: u64) {
        let mut state = self.state();
        let done = state.calls.get(&operation).copied().unwrap_or(0);
        state.failures.insert((operation, done + 1 + after));
    }

    /// Calls `observer` before and after every call that syncs, writes or changes a name, on the
    /// thread that makes it: a test crashes the storage at each of these moments.
    pub fn observe(&self, observer: impl Fn(&MemoryStorage) + Send + Sync + 'static) {
        self.state().observer = Some(Arc::new(observer));
    }

    fn moment(&self) {
        let observer = self.state().observer.clone();
        if let Some(observer) = observer {
            observer(self);
        }
    }

    /// A call with a moment before and after it.
    fn observed<T>(&self, call: impl FnOnce() -> T) -> T {
        self.moment();
        let outcome = call();
        self.moment();
        outcome
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state().calls.get(&operation).copied().unwrap_or(0)
    }

    /// Lets the kernel write some dirty pages by itself, as it may at any time.
    pub fn write_back_some(&self, seed: u64) {
        let mut random = Random::new(seed);
        let mut state = self.state();
        let works = state.sync_mode == SyncMode::Honest;
        for content in state.files.values_mut() {
            content.write_pages(works, || random.below(2) == 0);
        }
    }

    /// Flips one bit of a file, live and durable.
    ///
    /// # Panics
    ///
    /// If there is no such file or it is shorter.
    pub fn flip_bit(&self, name: &str, byte: usize, bit: u8) {
        self.change_byte(name, byte, |value| value ^ (1 << (bit % 8)));
    }

    /// Replaces one byte of a file, live and durable.
    ///
    /// # Panics
    ///
    /// If there is no such file or it is shorter.
    pub fn change_byte(&self, name: &str, byte: usize, change: impl Fn(u8) -> u8) {
        let mut state = self.state();
        let file = *state.names.get(name).expect("the file exists");
        let content = state.files.get_mut(&file).expect("names have contents");
        assert!(byte < content.bytes, "{name} has {} bytes", content.bytes);
        let word = byte / 8 * 8;
        let mut live = content.live.copy_out(word..word + 8);
        live[byte % 8] = change(live[byte % 8]);
        content.live.copy_in(word, &live);
        content.clean[byte] = live[byte % 8];
        content.durable[byte] = live[byte % 8];
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the state is held")
    }

    fn stored(&self, file: u64, memory: Arc<Memory>, reserved_from: usize) -> StoredFile {
        let handle = Arc::new(MemoryFile {
            state: Arc::clone(&self.state),
            file,
            memory: Arc::clone(&memory),
        });
        StoredFile {
            mapping: Mapping::new(memory, reserved_from),
            handle,
        }
    }
}

impl MemoryStorage {
    fn write_now(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.call(Operation::Write)?;
        if bytes.len() as u64 > state.bytes_free() {
            return Err(no_space());
        }
        let mut content = Content::zeroed(bytes.len())?;
        content.live.copy_in(0, bytes);
        if state.sync_mode == SyncMode::Honest {
            content.write_pages(true, || true);
            content.length_durable = true;
        }
        state.add(name, content);
        Ok(())
    }

    fn create_now(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let mut state = self.state();
        state.call(Operation::Create)?;
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        if bytes as u64 > state.bytes_free() {
            return Err(no_space());
        }
        let content = Content::zeroed(bytes)?;
        let memory = Arc::clone(&content.live);
        let file = state.add(name, content);
        Ok(self.stored(file, memory, reserved_from))
    }

    fn rename_now(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.to_owned(), file);
        state.changes.push(Change::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            file,
        });
        Ok(())
    }

    fn remove_now(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.names.remove(name).ok_or_else(not_found)?;
        state.changes.push(Change::Remove {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync_directory_now(&self) -> io::Result<()> {
        let mut state = self.state();
        if let Err(error) = state.call(Operation::SyncDirectory) {
            state.changes.clear();
            return Err(error);
        }
        if state.sync_mode == SyncMode::Honest {
            let State {
                names,
                names_durable,
                changes,
                files,
                ..
            } = &mut *state;
            for change in changes.drain(..) {
                change.apply(names_durable);
            }
            let named = names.values().chain(names_durable.values());
            let named: BTreeSet<u64> = named.copied().collect();
            files.retain(|file, _| named.contains(file));
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn lock(&self) -> Result<(), LockError> {
        let mut state = self.state();
        if state.locked {
            return Err(LockError::Held("this process".to_owned()));
        }
        state.locked = true;
        Ok(())
    }

    fn unlock(&self) {
        self.state().locked = false;
    }

    fn describe(&self) -> String {
        "the directory in memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let state = self.state();
        let entry = |(name, file): (&String, &u64)| DirectoryEntry {
            name: name.clone(),
            bytes: state.files[file].bytes as u64,
        };
        Ok(state.names.iter().map(entry).collect())
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        let (_, content) = state.content(name)?;
        if content.bytes > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is too long",
            ));
        }
        Ok(content.live.copy_out(0..content.bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.observed(|| self.write_now(name, bytes))
    }

    fn create(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        self.observed(|| self.create_now(name, bytes, reserved_from))
    }

    fn open(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let state = self.state();
        let (file, content) = state.content(name)?;
        if content.bytes < bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file was shortened",
            ));
        }
        Ok(self.stored(file, Arc::clone(&content.live), reserved_from))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.observed(|| self.rename_now(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.observed(|| self.remove_now(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.observed(|| self.sync_directory_now())
    }

    fn bytes_free(&self) -> io::Result<u64> {
        Ok(self.state().bytes_free())
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

/// An open file of the directory.
#[derive(Debug)]
struct MemoryFile {
    state: Arc<Mutex<State>>,
    file: u64,
    memory: Arc<Memory>,
}

impl MemoryFile {
    fn sync_now(&self) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic while the state is held");
        let outcome = state.call(Operation::Sync);
        let honest = state.sync_mode == SyncMode::Honest;
        // A file without a name is gone already; syncing it changes nothing.
        if let Some(content) = state.files.get_mut(&self.file)
            && honest
        {
            content.write_pages(outcome.is_ok(), || true);
            content.length_durable |= outcome.is_ok();
        }
        outcome
    }
}

impl FileHandle for MemoryFile {
    fn sync(&self) -> io::Result<()> {
        let storage = MemoryStorage {
            state: Arc::clone(&self.state),
        };
        storage.observed(|| self.sync_now())
    }

    fn write_back(&self, _range: Range<usize>) {}

    fn populate(&self, _range: Range<usize>, _pieces: CachePieces) {}

    fn release(&self, _range: Range<usize>) {}

    fn write_at(&self, position: usize, bytes: &[u8]) -> io::Result<()> {
        self.state
            .lock()
            .expect("no panic while the state is held")
            .call(Operation::WriteAt)?;
        self.memory.copy_in_at(position, bytes);
        Ok(())
    }

    fn zero(&self, range: Range<usize>) -> io::Result<()> {
        self.memory.copy_in_at(range.start, &vec![0; range.len()]);
        Ok(())
    }
}
