//! What the writer, the followers and the janitor of one partition share.
//!
//! The two watermarks have a cache line each: `appended` is stored by the writer per batch,
//! `durable` by whoever syncs. The list of segments changes at rolls and when segments are
//! dropped; its lock is held for a few instructions, never over a system call.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::directory_names::DirectoryChange;
use crate::limits::{LARGE_PIECES_FLUSH_BYTES, LOST_RANGES_MAX};
use crate::meta::{Checkpoint, PartitionState};
use crate::position::{EpochStart, Offset, PartitionId};
use crate::segment::Segment;
use crate::storage::CachePieces;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, Thread, fence};
use crate::watermark::Watermark;

/// What is known about the durability of a record.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::Durability;
/// assert_eq!(writer.durability(1), Durability::Pending);
/// writer.sync_now()?;
/// assert_eq!(writer.durability(1), Durability::Durable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is there after a power failure.
    Durable,
    /// Not yet.
    Pending,
    /// It will not become durable: the disk failed or was full. It is readable until the process
    /// ends.
    Lost,
}

/// Offsets from `from` to before `end` that never became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostRange {
    pub from: Offset,
    pub end: Offset,
}

/// What is to be done before the first record of a start, and whether it is.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// The epoch of the writer.
    pub epoch: Option<EpochStart>,
    /// The start was not provably clean: what recovery left is synced before the first append.
    pub tail_unsynced: bool,
    pub done: bool,
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub id: PartitionId,
    appended: CachePadded<Watermark>,
    durable: CachePadded<Watermark>,
    segments: Mutex<Vec<Arc<Segment>>>,
    /// Held while syncing: the janitor and `sync_now` never sync at the same time.
    pub flush: Mutex<()>,
    /// Held while a segment is taken out of the list for good, or replaced in it.
    pub dropping: Mutex<()>,
    /// Held while segments are rewritten: two rewrites would write the same new file.
    /// What the last one that failed has changed and nobody knows to be durable.
    pub rewriting: Mutex<Option<DirectoryChange>>,
    /// The state file's content; held while it is written.
    pub state: Mutex<PartitionState>,
    /// First offset that a failed sync left behind; 0: none, or the writer has moved on.
    poisoned_from: AtomicU64,
    /// The epoch of what is read now: it moves when nothing of before can be read any more.
    reading_epoch: AtomicU32,
    /// What the writer's first record waits for; held while it is done.
    pub beginning: Mutex<Beginning>,
    /// That is done.
    pub begun: AtomicBool,
    /// A writer that does not wait for the disk wants it done.
    pub begin_wanted: AtomicBool,
    /// The disk has refused it, and nothing can be appended before it does not.
    pub begin_refused: AtomicBool,
    /// Such a writer has found that something is missing, and wants to hear when it is there.
    pub ready_wanted: AtomicBool,
    /// The disk did not take the file that the writer needs next.
    pub space_refused: AtomicBool,
    /// Bytes of the segment the writer needs next; 0: none.
    pub spare_wanted: AtomicU64,
    /// A spare is there for a writer that runs in memory.
    pub spare_ready: AtomicBool,
    pub sync_wanted: AtomicBool,
    pub degraded: AtomicBool,
    pub writer_alive: AtomicBool,
    /// Somebody is in `waiters`.
    waiting: AtomicBool,
    waiters: Mutex<Vec<Thread>>,
    checkpoint_begin: AtomicU64,
    checkpoint_wanted: Mutex<Option<Checkpoint>>,
    floor: AtomicU64,
    lost: Mutex<Vec<LostRange>>,
    /// After the newest lost record; 0: none since the start.
    lost_end: AtomicU64,
    /// Losses of segments that are gone before anybody was told.
    losses_untold: Mutex<Vec<LostRange>>,
    /// Append time (ms) of the newest record; the next one is not earlier.
    pub last_time: AtomicU64,
    pub sequence: AtomicU64,
    /// The newest change of the names of its files, until it is durable.
    named_by: Mutex<Option<DirectoryChange>>,
    pub next_segment_bytes: AtomicU64,
    /// Bytes that a sync has flushed of late, smoothed.
    flush_bytes: AtomicU64,
}

/// What recovery knows of a partition.
#[derive(Debug)]
pub(crate) struct PartitionStart {
    pub state: PartitionState,
    pub segments: Vec<Arc<Segment>>,
    pub next_offset: Offset,
    pub durable: Offset,
    pub last_time: u64,
    pub sequence: u64,
    pub next_segment_bytes: u64,
}

impl Partition {
    pub(crate) fn new(start: PartitionStart) -> Partition {
        let checkpoint = start
            .state
            .checkpoint
            .map_or(0, |checkpoint| checkpoint.begin);
        Partition {
            id: start.state.partition,
            appended: CachePadded::new(Watermark::new(start.next_offset - 1)),
            durable: CachePadded::new(Watermark::new(start.durable)),
            segments: Mutex::new(start.segments),
            flush: Mutex::new(()),
            dropping: Mutex::new(()),
            rewriting: Mutex::new(None),
            floor: AtomicU64::new(start.state.floor),
            reading_epoch: AtomicU32::new(start.state.epoch()),
            state: Mutex::new(start.state),
            poisoned_from: AtomicU64::new(0),
            beginning: Mutex::default(),
            begun: AtomicBool::new(false),
            begin_wanted: AtomicBool::new(false),
            begin_refused: AtomicBool::new(false),
            ready_wanted: AtomicBool::new(false),
            space_refused: AtomicBool::new(false),
            spare_wanted: AtomicU64::new(0),
            spare_ready: AtomicBool::new(false),
            sync_wanted: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            writer_alive: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
            checkpoint_begin: AtomicU64::new(checkpoint),
            checkpoint_wanted: Mutex::new(None),
            lost: Mutex::new(Vec::new()),
            lost_end: AtomicU64::new(0),
            losses_untold: Mutex::new(Vec::new()),
            last_time: AtomicU64::new(start.last_time),
            sequence: AtomicU64::new(start.sequence),
            named_by: Mutex::new(Some(DirectoryChange::BY_RECOVERY)),
            next_segment_bytes: AtomicU64::new(start.next_segment_bytes),
            flush_bytes: AtomicU64::new(0),
        }
    }

    /// Offset of the last record that followers may read, with its bytes.
    #[inline]
    pub(crate) fn appended(&self) -> Offset {
        self.appended.reached()
    }

    /// Makes everything up to `offset` readable. The bytes were published before.
    #[inline]
    pub(crate) fn publish_appended(&self, offset: Offset) {
        self.appended.publish(offset);
    }

    /// Has a thread woken by the next `wake_waiters`, once. It looks again before it waits: what was
    /// published before is seen then, and whoever publishes later sees the waiter.
    pub(crate) fn add_waiter(&self, thread: Thread) {
        let mut waiters = self.waiters.lock().expect("waiters");
        if waiters.iter().all(|other| other.id() != thread.id()) {
            waiters.push(thread);
        }
        self.waiting.store(true, Ordering::Relaxed);
        // Pairs with the one in `wake_waiters`.
        fence(Ordering::SeqCst);
    }

    /// The thread waits no longer.
    pub(crate) fn remove_waiter(&self, thread: &Thread) {
        let mut waiters = self.waiters.lock().expect("waiters");
        waiters.retain(|other| other.id() != thread.id());
    }

    /// Wakes those who wait for records, after the mark was moved. Costs a fence while nobody does.
    ///
    /// The mark is stored and `waiting` loaded; the waiter does it the other way round. Without a
    /// fence on both sides each may miss the other's store, and the waiter would sleep beside a
    /// record that is there.
    #[inline]
    pub(crate) fn wake_waiters(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) {
            self.waiting.store(false, Ordering::Relaxed);
            for thread in self.waiters.lock().expect("waiters").drain(..) {
                thread.unpark();
            }
        }
    }

    /// Offset up to which everything is durable or was reported lost.
    #[inline]
    pub(crate) fn durable(&self) -> Offset {
        self.durable.reached()
    }

    /// Moves the durable mark. Only whoever holds `flush` calls it.
    pub(crate) fn publish_durable(&self, offset: Offset) {
        self.durable.publish(offset);
    }

    /// Learns of a change of the names of its files. Only whoever holds `flush`, or alone has the partition,
    /// calls it.
    pub(crate) fn note_named(&self, change: DirectoryChange) {
        let mut named_by = self.named_by.lock().expect("names");
        *named_by = Some(match *named_by {
            Some(before) => change.since(before),
            None => change,
        });
    }

    /// Changes of the names of its files that are not known to be durable.
    pub(crate) fn unsynced_names(&self) -> Option<DirectoryChange> {
        *self.named_by.lock().expect("names")
    }

    /// They are durable, or what they stand for never will be. Only whoever holds `flush` calls it.
    pub(crate) fn forget_unsynced_names(&self) {
        *self.named_by.lock().expect("names") = None;
    }

    /// Learns how many bytes a sync has flushed. Only whoever holds `flush` calls it.
    pub(crate) fn note_flush(&self, bytes: u64) {
        let smoothed = (self.flush_bytes.load(Ordering::Relaxed) * 3 + bytes) / 4;
        self.flush_bytes.store(smoothed, Ordering::Relaxed);
    }

    /// In what pieces its files are best held: by what the last syncs have flushed, and by what the next one
    /// will find. Before anything is known: what harms least.
    pub(crate) fn cache_pieces(&self) -> CachePieces {
        let flushed = self.flush_bytes.load(Ordering::Relaxed);
        if flushed.max(self.unflushed_bytes()) < LARGE_PIECES_FLUSH_BYTES {
            CachePieces::Pages
        } else {
            CachePieces::Large
        }
    }

    /// Bytes that no sync has found yet, or so many that it matters no more.
    fn unflushed_bytes(&self) -> u64 {
        self.with_segments(|segments| {
            let mut bytes = 0;
            for (age, segment) in segments.iter().rev().enumerate() {
                let unflushed = segment.unflushed();
                // What lies before a segment that a sync has seen was seen as well.
                if (age > 0 && unflushed == 0) || bytes >= LARGE_PIECES_FLUSH_BYTES {
                    break;
                }
                bytes += unflushed;
            }
            bytes
        })
    }

    pub(crate) fn poisoned_from(&self) -> Option<Offset> {
        let from = self.poisoned_from.load(Ordering::Acquire);
        (from > 0).then_some(from)
    }

    /// Nothing from `from` on can become durable before the writer has moved to another file.
    pub(crate) fn poison(&self, from: Offset) {
        for segment in self.segments.lock().expect("segments").iter() {
            if segment.end() > from {
                segment.set_lost_from(from);
            }
        }
        self.poisoned_from.store(from, Ordering::Release);
    }

    /// Whether nothing that is appended now can become durable, or nothing can be appended.
    pub(crate) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Acquire)
            || self.begin_refused.load(Ordering::Acquire)
            || self.poisoned_from().is_some()
    }

    pub(crate) fn clear_poison(&self) {
        self.poisoned_from.store(0, Ordering::Release);
    }

    /// The segments now, oldest first.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.lock().expect("segments").clone()
    }

    /// Calls `visit` with the segments under the lock; it must not block.
    pub(crate) fn with_segments<T>(&self, visit: impl FnOnce(&mut Vec<Arc<Segment>>) -> T) -> T {
        visit(&mut self.segments.lock().expect("segments"))
    }

    /// The segment that holds `offset`, or the first one behind it.
    pub(crate) fn segment_at(&self, offset: Offset) -> Option<Arc<Segment>> {
        self.with_segments(|segments| {
            let index = segments.partition_point(|segment| segment.end() <= offset);
            segments.get(index).cloned()
        })
    }

    /// First offset that is held. The next one if nothing is.
    pub(crate) fn first_offset(&self) -> Offset {
        let first = self.with_segments(|segments| {
            let held = segments.iter().find(|segment| !segment.is_empty());
            held.map(|segment| segment.first_offset)
        });
        first.unwrap_or(self.appended() + 1).max(self.floor())
    }

    /// The epoch of what is read from now on, at least: who asks before a read never calls a record
    /// younger than it is.
    pub(crate) fn reading_epoch(&self) -> u32 {
        self.reading_epoch.load(Ordering::Acquire)
    }

    /// Records of this epoch follow, and those that it takes the place of are gone.
    pub(crate) fn set_reading_epoch(&self, epoch: u32) {
        self.reading_epoch.store(epoch, Ordering::Release);
    }

    pub(crate) fn floor(&self) -> Offset {
        self.floor.load(Ordering::Acquire)
    }

    pub(crate) fn set_floor(&self, floor: Offset) {
        self.floor.fetch_max(floor, Ordering::AcqRel);
    }

    /// Where replay of the newest durable checkpoint starts.
    pub(crate) fn checkpoint_begin(&self) -> Option<Offset> {
        let begin = self.checkpoint_begin.load(Ordering::Acquire);
        (begin > 0).then_some(begin)
    }

    pub(crate) fn set_checkpoint_begin(&self, begin: Offset) {
        self.checkpoint_begin.store(begin, Ordering::Release);
    }

    /// Forgets checkpoints that reach beyond `offset`.
    pub(crate) fn reset_checkpoint(&self, offset: Offset) {
        self.want_checkpoint(None);
        let durable = self.state.lock().expect("partition state").checkpoint;
        let begin = durable
            .filter(|span| span.end <= offset)
            .map_or(0, |span| span.begin);
        self.set_checkpoint_begin(begin);
    }

    pub(crate) fn want_checkpoint(&self, checkpoint: Option<Checkpoint>) {
        *self.checkpoint_wanted.lock().expect("checkpoint") = checkpoint;
    }

    pub(crate) fn wanted_checkpoint(&self) -> Option<Checkpoint> {
        *self.checkpoint_wanted.lock().expect("checkpoint")
    }

    /// Remembers a range that will not become durable.
    pub(crate) fn note_lost(&self, range: LostRange) {
        self.lost_end.fetch_max(range.end, Ordering::AcqRel);
        let mut lost = self.lost.lock().expect("lost ranges");
        let mut merged = range;
        lost.retain(|other| {
            let apart = other.end < merged.from || merged.end < other.from;
            if !apart {
                merged.from = merged.from.min(other.from);
                merged.end = merged.end.max(other.end);
            }
            apart
        });
        let index = lost.partition_point(|other| other.from < merged.from);
        lost.insert(index, merged);
        if lost.len() > LOST_RANGES_MAX {
            let second = lost.remove(1);
            lost[0].end = second.end;
        }
    }

    /// Keeps what was lost in a segment that leaves for whoever tells the listeners next.
    pub(crate) fn leave_loss(&self, segment: &Segment) {
        let end = segment.end();
        let from = segment.first_offset.max(segment.loss_reported(end));
        if from < end {
            let mut untold = self.losses_untold.lock().expect("losses");
            match untold.last_mut() {
                Some(last) if last.end == from => last.end = end,
                _ => untold.push(LostRange { from, end }),
            }
        }
    }

    /// After the newest record since the start that will not become durable.
    pub(crate) fn lost_end(&self) -> Option<Offset> {
        let end = self.lost_end.load(Ordering::Acquire);
        (end > 0).then_some(end)
    }

    /// Where the newest checkpoint begins that is durable or is to be.
    pub(crate) fn newest_checkpoint_begin(&self) -> Option<Offset> {
        let wanted = self.wanted_checkpoint().map(|span| span.begin);
        wanted.max(self.checkpoint_begin())
    }

    pub(crate) fn take_untold_losses(&self) -> Vec<LostRange> {
        std::mem::take(&mut *self.losses_untold.lock().expect("losses"))
    }

    /// What is known about a record. Offsets that were never given out are pending.
    pub(crate) fn durability(&self, offset: Offset) -> Durability {
        self.durability_within(offset, offset)
    }

    /// What is known about the records from `first` to `last`: durable if all of them are, lost if
    /// one of them is.
    ///
    /// The mark is read before the losses: a loss is noted before the mark passes it, so who sees the
    /// mark sees the loss. The other way round both could come in between, and a lost record would be
    /// called durable.
    pub(crate) fn durability_within(&self, first: Offset, last: Offset) -> Durability {
        let durable = self.durable();
        let lost = self.lost.lock().expect("lost ranges");
        let is_hit = |range: &LostRange| range.from <= last && range.end > first;
        if lost.iter().any(is_hit) {
            Durability::Lost
        } else if last <= durable {
            Durability::Durable
        } else {
            Durability::Pending
        }
    }
}
