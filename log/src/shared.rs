//! What all partitions of an open log share: storage, spares, clean mark, directory syncs,
//! listeners, counters. Dropping the last reference gives the directory back.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::Thread;

use crate::ballast::Ballast;
use crate::directory_names::{DirectoryChange, DirectoryNames};
use crate::layout::batch_limit;
use crate::limits::{SEGMENT_HEADER_BYTES, WRITE_BACK_SYNC_INTERVAL_MS_MAX};
use crate::mapping::Mapping;
use crate::meta::PartitionState;
use crate::names;
use crate::options::Options;
use crate::partition::{LostRange, Partition};
use crate::position::{EpochStart, LogId, Offset, PartitionId};
use crate::random::Random;
use crate::segment::Segment;
use crate::storage::{Storage, StoredFile, put};

/// Told an offset up to which a partition is durable.
pub type DurableListener = Box<dyn Fn(PartitionId, Offset) + Send + Sync>;

/// Told a partition whose writer has been waiting for something that is there now.
pub type ReadyListener = Box<dyn Fn(PartitionId) + Send + Sync>;

/// Told the first and the last record of a range that will not become durable.
pub type LossListener = Box<dyn Fn(PartitionId, Offset, Offset) + Send + Sync>;

/// A file prepared for the next segment of some partition.
#[derive(Debug)]
pub(crate) struct Spare {
    pub name: String,
    pub bytes: usize,
    pub stored: StoredFile,
}

/// Whether the clean mark lies in the directory.
#[derive(Debug)]
struct CleanMarkPlace {
    is_there: bool,
    /// The change with which it went, or what recovery did, until it is durable.
    removed_by: Option<DirectoryChange>,
}

/// Counters, never reset.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub spares_prepared: AtomicU64,
    pub segments_prepared_inline: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_failures: AtomicU64,
    pub write_failures: AtomicU64,
    pub segments_in_memory: AtomicU64,
    pub spares_recycled: AtomicU64,
    pub segments_dropped: AtomicU64,
    pub bytes_dropped: AtomicU64,
    pub mapped_deleted_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Shared by the parts of an open log.
pub(crate) struct Shared {
    pub storage: Arc<dyn Storage>,
    pub options: Options,
    pub id: LogId,
    pub partitions: Vec<Arc<Partition>>,
    pub counters: Counters,
    pub janitor_alive: AtomicBool,
    /// The janitor runs in threads: what is asked of it is done without anybody's doing.
    pub janitor_runs: AtomicBool,
    spares: Mutex<Vec<Spare>>,
    /// Segments that left their partition; the janitor removes their files and unmaps them.
    discarded: Mutex<Vec<Arc<Segment>>>,
    /// Names of consumers in use.
    consumers: Mutex<BTreeSet<String>>,
    random: Mutex<Random>,
    clean_mark: Mutex<CleanMarkPlace>,
    names: DirectoryNames,
    ballast: Ballast,
    durable_listeners: RwLock<Vec<DurableListener>>,
    loss_listeners: RwLock<Vec<LossListener>>,
    ready_listeners: RwLock<Vec<ReadyListener>>,
    /// A writer has gone on to another segment: there may be more bytes than may be held.
    pub rolled: AtomicBool,
    /// The disk took no new file: old segments are to make the space.
    pub space_short: AtomicBool,
    workers: [OnceLock<Thread>; Worker::ALL.len()],
}

/// A thread of the janitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Syncer,
    Preparer,
    Keeper,
}

impl Worker {
    pub(crate) const ALL: [Worker; 3] = [Worker::Syncer, Worker::Preparer, Worker::Keeper];

    pub(crate) fn thread_name(self) -> &'static str {
        match self {
            Worker::Syncer => "skein-syncer",
            Worker::Preparer => "skein-preparer",
            Worker::Keeper => "skein-keeper",
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.storage.unlock();
    }
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        options: Options,
        id: LogId,
        partitions: Vec<Arc<Partition>>,
        clean_mark: bool,
        random: Random,
        ballast: Ballast,
    ) -> Shared {
        ballast.take(&*storage);
        Shared {
            ballast,
            storage,
            options,
            id,
            partitions,
            counters: Counters::default(),
            janitor_alive: AtomicBool::new(false),
            janitor_runs: AtomicBool::new(false),
            spares: Mutex::new(Vec::new()),
            discarded: Mutex::new(Vec::new()),
            consumers: Mutex::new(BTreeSet::new()),
            random: Mutex::new(random),
            clean_mark: Mutex::new(CleanMarkPlace {
                is_there: clean_mark,
                removed_by: Some(DirectoryChange::BY_RECOVERY),
            }),
            names: DirectoryNames::default(),
            durable_listeners: RwLock::new(Vec::new()),
            loss_listeners: RwLock::new(Vec::new()),
            ready_listeners: RwLock::new(Vec::new()),
            rolled: AtomicBool::new(false),
            space_short: AtomicBool::new(false),
            workers: [const { OnceLock::new() }; Worker::ALL.len()],
        }
    }

    /// Whether write-back is started ahead of syncs.
    pub(crate) fn writes_back(&self) -> bool {
        self.options.sync_interval_ms <= WRITE_BACK_SYNC_INTERVAL_MS_MAX
    }

    /// Holds space back for small files again, if it was needed and there is some.
    pub(crate) fn take_ballast(&self) {
        self.ballast.take(&*self.storage);
    }

    pub(crate) fn generation(&self) -> u32 {
        self.random.lock().expect("random").generation()
    }

    /// Up to an eighth of `span`.
    pub(crate) fn jitter(&self, span: u64) -> u64 {
        self.random.lock().expect("random").below(span / 8 + 1)
    }

    /// Whether a new file of so many bytes leaves the reserve to others.
    ///
    /// # Errors
    /// `StorageFull`: it does not; or the file system does not say.
    pub(crate) fn leave_reserve(&self, bytes: usize) -> io::Result<()> {
        let free = self.storage.bytes_free()?;
        if free < self.options.disk_reserve_bytes.saturating_add(bytes as u64) {
            let reserve = "the rest of the disk is reserved for others";
            return Err(io::Error::new(io::ErrorKind::StorageFull, reserve));
        }
        Ok(())
    }

    /// Makes a file with its space allocated, leaving the reserve to others.
    pub(crate) fn create_spare(&self, bytes: usize) -> io::Result<Spare> {
        self.leave_reserve(bytes)?;
        let name = names::spare(self.random.lock().expect("random").next());
        let stored = self.storage.create(&name, bytes, batch_limit(bytes))?;
        Ok(Spare {
            name,
            bytes,
            stored,
        })
    }

    /// Makes a spare of the file of a segment that nobody holds any more: its blocks stay, so that it
    /// works on a full disk as well. The file as it is, if it can't be used again.
    ///
    /// The name goes first, durably, then the header: at no moment does a file lie there that a
    /// start would take for a segment with a hole in it.
    pub(crate) fn recycle(&self, segment: Segment) -> io::Result<Spare> {
        let file = segment.file.expect("the segment has a file");
        let name = names::spare(self.random.lock().expect("random").next());
        let renamed = self.change_names(|storage| storage.rename(&file.name(), &name))?;
        let emptied = self.sync_directory(renamed).and_then(|()| {
            let bytes = segment.mapping.len();
            file.handle.zero(0..SEGMENT_HEADER_BYTES)?;
            file.handle.sync()?;
            file.handle.zero(SEGMENT_HEADER_BYTES..bytes)
        });
        if let Err(error) = emptied {
            remove_if_there(&*self.storage, &name)?;
            return Err(error);
        }
        let memory = Arc::clone(segment.mapping.memory());
        memory.expect_single_pages();
        let bytes = memory.len();
        Counters::add(&self.counters.spares_recycled, 1);
        Ok(Spare {
            name,
            bytes,
            stored: StoredFile {
                mapping: Mapping::new(memory, batch_limit(bytes)),
                handle: file.handle,
            },
        })
    }

    pub(crate) fn put_spare(&self, spare: Spare) {
        self.spares.lock().expect("spares").push(spare);
    }

    /// A prepared file of this size.
    pub(crate) fn take_spare(&self, bytes: usize) -> Option<Spare> {
        let mut spares = self.spares.lock().expect("spares");
        let index = spares.iter().position(|spare| spare.bytes == bytes)?;
        Some(spares.swap_remove(index))
    }

    pub(crate) fn take_all_spares(&self) -> Vec<Spare> {
        std::mem::take(&mut self.spares.lock().expect("spares"))
    }

    pub(crate) fn spares_of(&self, bytes: usize) -> usize {
        self.spares
            .lock()
            .expect("spares")
            .iter()
            .filter(|spare| spare.bytes == bytes)
            .count()
    }

    /// Takes the name of a consumer. False: it is in use.
    pub(crate) fn take_consumer(&self, name: &str) -> bool {
        self.consumers
            .lock()
            .expect("consumers")
            .insert(name.to_owned())
    }

    pub(crate) fn give_consumer_back(&self, name: &str) {
        self.consumers.lock().expect("consumers").remove(name);
    }

    /// Hands a segment that is in no partition any more to the janitor.
    pub(crate) fn discard(&self, segment: Arc<Segment>) {
        self.discarded
            .lock()
            .expect("discarded segments")
            .push(segment);
    }

    pub(crate) fn take_discarded(&self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.discarded.lock().expect("discarded segments"))
    }

    /// Says that the directory is not provably clean any more, before the first append. What recovery has
    /// removed must not come back beside new records either.
    pub(crate) fn leave_clean_state(&self) -> io::Result<()> {
        let mut mark = self.clean_mark.lock().expect("clean mark");
        if mark.is_there {
            let remove = |storage: &dyn Storage| remove_if_there(storage, names::CLEAN_MARK);
            mark.removed_by = Some(self.change_names(remove)?);
            mark.is_there = false;
        }
        if let Some(change) = mark.removed_by {
            self.sync_directory(change)?;
            mark.removed_by = None;
        }
        Ok(())
    }

    /// Changes names in the directory.
    pub(crate) fn change_names(
        &self,
        change: impl FnOnce(&dyn Storage) -> io::Result<()>,
    ) -> io::Result<DirectoryChange> {
        self.names.change(|| change(&*self.storage))
    }

    /// Takes all that follows and is over when it is synced for one change.
    pub(crate) fn begin_changes(&self) -> DirectoryChange {
        self.names.begin()
    }

    /// Makes all changes of names so far durable that were made since `begun`.
    pub(crate) fn sync_directory_since(&self, begun: DirectoryChange) -> io::Result<()> {
        self.sync_directory(self.names.begin().since(begun))
    }

    /// Makes a change of names durable, as [`DirectoryNames::sync`] does.
    pub(crate) fn sync_directory(&self, change: DirectoryChange) -> io::Result<()> {
        self.names.sync(change, || self.storage.sync_directory())
    }

    pub(crate) fn add_durable_listener(&self, listener: DurableListener) {
        self.durable_listeners
            .write()
            .expect("listeners")
            .push(listener);
    }

    pub(crate) fn add_loss_listener(&self, listener: LossListener) {
        self.loss_listeners
            .write()
            .expect("listeners")
            .push(listener);
    }

    pub(crate) fn add_ready_listener(&self, listener: ReadyListener) {
        self.ready_listeners
            .write()
            .expect("listeners")
            .push(listener);
    }

    /// Tells that a writer may find now what it missed, if it asked for that.
    pub(crate) fn tell_ready(&self, partition: &Partition) {
        if partition.ready_wanted.swap(false, Ordering::AcqRel) {
            for listener in self.ready_listeners.read().expect("listeners").iter() {
                listener(partition.id);
            }
        }
    }

    pub(crate) fn tell_durable(&self, partition: PartitionId, offset: Offset) {
        for listener in self.durable_listeners.read().expect("listeners").iter() {
            listener(partition, offset);
        }
    }

    pub(crate) fn tell_lost(&self, partition: PartitionId, range: LostRange) {
        for listener in self.loss_listeners.read().expect("listeners").iter() {
            listener(partition, range.from, range.end - 1);
        }
    }

    /// Names a thread of the janitor, to wake it.
    pub(crate) fn set_worker_thread(&self, worker: Worker, thread: Thread) {
        // A second one can't exist: the janitor is taken once.
        let _ = self.workers[worker as usize].set(thread);
    }

    /// Wakes a part of the janitor if a thread runs it.
    #[inline]
    pub(crate) fn wake(&self, worker: Worker) {
        if let Some(thread) = self.workers[worker as usize].get() {
            thread.unpark();
        }
    }

    /// Replaces a small file as a whole, durably, as [`crate::storage::replace`] does.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let write = || self.change_names(|storage| put(storage, name, bytes));
        let put = self.ballast.lend(&*self.storage, write)?;
        self.sync_directory(put)
    }

    /// Changes the state file of a partition, durably; the state in memory follows only then.
    pub(crate) fn update_state(
        &self,
        partition: &Partition,
        change: impl FnOnce(&mut PartitionState),
    ) -> io::Result<()> {
        let mut state = partition.state.lock().expect("partition state");
        let mut next = state.clone();
        change(&mut next);
        if next != *state {
            self.replace(&names::state(partition.id), &next.encode(self.id))?;
            *state = next;
        }
        Ok(())
    }

    /// Makes durable that nothing before `floor` is held.
    pub(crate) fn raise_floor(&self, partition: &Partition, floor: Offset) -> io::Result<()> {
        self.update_state(partition, |state| state.floor = state.floor.max(floor))?;
        partition.set_floor(floor);
        Ok(())
    }

    /// Makes an epoch durable, unless it is already.
    pub(crate) fn begin_epoch(&self, partition: &Partition, start: EpochStart) -> io::Result<()> {
        self.update_state(partition, |state| {
            if state.epoch() < start.epoch {
                state.push_epoch(start);
            }
        })
    }

    /// Gives the file of a segment its proper name, and takes the names of those files away whose
    /// records it takes away, once its own is durable: what is left of them after a crash must not
    /// claim offsets. The caller syncs the directory.
    pub(crate) fn name_segment(&self, partition: &Partition, segment: &Segment) -> io::Result<()> {
        let Some(file) = segment.file.as_ref().filter(|file| !file.is_named()) else {
            return Ok(());
        };
        let name = names::segment(partition.id, segment.header.base_offset);
        let superseded: Vec<Arc<Segment>> = partition
            .segments()
            .into_iter()
            .filter(|other| other.is_superseded_by(segment))
            .collect();
        for other in superseded.iter().filter_map(|other| other.file.as_ref()) {
            if other.name() == name {
                other.set_gone(); // The rename replaces it.
            }
        }
        let mut change = self.change_names(|storage| storage.rename(&file.name(), &name))?;
        partition.note_named(change);
        file.set_named(name);
        if superseded.iter().any(|other| !is_gone(other)) {
            // Else a crash could leave neither, and what the removed one had cut off would be back.
            self.sync_directory(change)?;
        }
        for other in superseded.iter().filter_map(|other| other.file.as_ref()) {
            if !other.is_gone() {
                other.set_gone();
                let remove = |storage: &dyn Storage| remove_if_there(storage, &other.name());
                change = self.change_names(remove)?;
                partition.note_named(change);
            }
        }
        Ok(())
    }
}

fn is_gone(segment: &Segment) -> bool {
    segment.file.as_ref().is_none_or(|file| file.is_gone())
}

/// Removes a file; that it is gone already is fine.
pub(crate) fn remove_if_there(storage: &dyn Storage, name: &str) -> io::Result<()> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
