//! Everything slow, away from the writers: syncing, preparing the next files, touching pages ahead
//! of the tails, starting write-back, dropping what is old, unmapping.
//!
//! [`Janitor::work`] is one step without waiting and without a clock of its own, so a simulation
//! runs it like everything else; [`JanitorThread`] runs it in a thread that writers wake.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::SyncError;
use crate::flush::flush;
use crate::limits::{
    DURABLE_MARKS_INTERVAL_MS, HOUSEKEEPING_INTERVAL_MS, LARGE_PIECES_RANGE_BYTES, SPACE_RETRY_MS,
    WRITE_BACK_BYTES,
};
use crate::marks::MarkKeeper;
use crate::meta::Checkpoint;
use crate::options::WriterBackend;
use crate::partition::Partition;
use crate::position::Offset;
use crate::retention::{Candidate, aged, droppable, oldest};
use crate::segment::Segment;
use crate::shared::{Counters, Shared, Spare, remove_if_there};
use crate::storage::CachePieces;

/// Files of the first size kept ready while some partition has no segment yet.
const FIRST_SPARES: usize = 2;

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

/// Does the slow work of a log, step by step.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, sync_interval_ms: 1_000, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
/// let mut janitor = log.take_janitor().expect("taken once");
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
///
/// writer.append(0, &[Record::default()]).unwrap();
/// let report = janitor.work(1_000);
/// assert_eq!((report.synced, writer.durable()), (1, 1));
/// assert_eq!(report.next_due_ms, 2_000);
/// ```
#[derive(Debug)]
pub struct Janitor {
    shared: Arc<Shared>,
    sync_due: u64,
    housekeeping_due: u64,
    marks_due: u64,
    space_retry_at: u64,
    marks: MarkKeeper,
    /// Dropped segments whose mapping somebody may still hold.
    leaving: Vec<Arc<Segment>>,
}

impl Janitor {
    pub(crate) fn new(shared: Arc<Shared>) -> Janitor {
        shared.janitor_alive.store(true, Ordering::Release);
        Janitor {
            marks: MarkKeeper::new(shared.partitions.len()),
            shared,
            sync_due: 0,
            housekeeping_due: 0,
            marks_due: 0,
            space_retry_at: 0,
            leaving: Vec::new(),
        }
    }

    /// One step: everything that is due at `now_ms`, most urgent first.
    pub fn work(&mut self, now_ms: u64) -> WorkReport {
        let mut report = WorkReport::default();
        self.sync(now_ms, &mut report);
        self.touch_ahead();
        self.prepare_spares(now_ms, &mut report);
        self.write_back();
        self.persist_checkpoints(&mut report);
        if now_ms >= self.marks_due {
            self.marks_due = now_ms + DURABLE_MARKS_INTERVAL_MS;
            if let Err(error) = self.marks.round(&self.shared) {
                report
                    .refusals
                    .push(format!("writing the durable marks: {error}"));
            }
        }
        if now_ms >= self.housekeeping_due {
            self.housekeeping_due = now_ms + HOUSEKEEPING_INTERVAL_MS;
            self.write_footers();
            self.retain(now_ms, &mut report);
        }
        self.let_go(&mut report);
        let quiet_due = self.housekeeping_due.min(self.marks_due);
        report.next_due_ms = self.sync_due.min(quiet_due);
        report
    }

    fn sync(&mut self, now_ms: u64, report: &mut WorkReport) {
        let all = now_ms >= self.sync_due;
        if all {
            self.sync_due = now_ms + self.shared.options.sync_interval_ms;
        }
        for partition in &self.shared.partitions {
            let wanted = partition.sync_wanted.swap(false, Ordering::AcqRel);
            if !(wanted || all) || partition.appended() == partition.durable() {
                continue;
            }
            let before = partition.durable();
            match flush(&self.shared, partition) {
                Ok(_) => {}
                Err(error) => report.failures.push(error),
            }
            report.synced += u32::from(partition.durable() > before);
        }
    }

    /// Bytes of mapping to make writable ahead; none where nobody stores into it.
    fn window_bytes(&self) -> usize {
        match self.shared.options.writer {
            WriterBackend::Mapped => self.shared.options.pretouch_window_bytes,
            WriterBackend::Pwrite => 0,
        }
    }

    /// Makes the pages in front of each tail writable.
    fn touch_ahead(&self) {
        let window = self.window_bytes();
        if window == 0 {
            return;
        }
        for partition in &self.shared.partitions {
            let Some(segment) = active(partition) else {
                continue;
            };
            let published = segment.mapping.published();
            let touched = segment.pretouched.load(Ordering::Relaxed).max(published);
            let wanted = (published + window).min(segment.mapping.reserved_from());
            if touched + window / 4 > wanted && wanted < segment.mapping.reserved_from() {
                continue;
            }
            if touched < wanted {
                if let Some(file) = &segment.file {
                    let range = page_floor(touched)..wanted;
                    let pieces = pieces(&range, partition.cache_pieces());
                    file.handle.populate(range, pieces);
                }
                segment.pretouched.store(wanted, Ordering::Relaxed);
            }
        }
    }

    /// Makes the files that writers will need, and finds out whether a full disk has space again.
    fn prepare_spares(&mut self, now_ms: u64, report: &mut WorkReport) {
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        let mut want =
            |bytes: usize, most: usize| match wanted.iter_mut().find(|(size, _)| *size == bytes) {
                Some((_, count)) => *count = (*count + 1).min(most),
                None => wanted.push((bytes, 1)),
            };
        for partition in &self.shared.partitions {
            let bytes = partition.spare_wanted.load(Ordering::Acquire) as usize;
            if bytes > 0 {
                want(bytes, usize::MAX);
            } else if partition.appended() == 0 {
                want(self.shared.options.segment_bytes_min as usize, FIRST_SPARES);
            }
        }
        for (bytes, count) in wanted {
            for _ in self.shared.spares_of(bytes)..count {
                if now_ms < self.space_retry_at || !self.prepare_spare(bytes, now_ms, report) {
                    return;
                }
            }
        }
        for partition in &self.shared.partitions {
            if partition.degraded.load(Ordering::Acquire) {
                let bytes = partition.spare_wanted.load(Ordering::Acquire) as usize;
                let ready = self.shared.spares_of(bytes) > 0;
                partition.spare_ready.store(ready, Ordering::Release);
            }
        }
    }

    /// False: the disk takes nothing; tried again after a while.
    fn prepare_spare(&mut self, bytes: usize, now_ms: u64, report: &mut WorkReport) -> bool {
        match self.shared.create_spare(bytes) {
            Ok(spare) => {
                self.put_spare(spare);
                Counters::add(&self.shared.counters.spares_prepared, 1);
                report.spares_prepared += 1;
                true
            }
            Err(error) => {
                self.space_retry_at = now_ms + SPACE_RETRY_MS;
                // Old segments may make the space.
                self.housekeeping_due = now_ms;
                report
                    .refusals
                    .push(format!("preparing a segment of {bytes} bytes: {error}"));
                false
            }
        }
    }

    /// Makes the start of a prepared file writable and keeps it ready.
    fn put_spare(&self, spare: Spare) {
        let range = 0..self.window_bytes().min(spare.bytes);
        let takes = |partition: &&Arc<Partition>| {
            partition.next_segment_bytes.load(Ordering::Relaxed) == spare.bytes as u64
        };
        let takers = self.shared.partitions.iter().filter(takes);
        // Nobody knows who will; the one that syncs little at a time suffers most of a wrong choice.
        let wanted = takers.map(|partition| partition.cache_pieces()).min();
        let pieces = pieces(&range, wanted.unwrap_or(CachePieces::Pages));
        spare.stored.handle.populate(range, pieces);
        self.shared.put_spare(spare);
    }

    /// Starts write-back behind each tail, so that a sync finds little to do.
    fn write_back(&self) {
        for partition in &self.shared.partitions {
            let Some(segment) = active(partition) else {
                continue;
            };
            let end = page_floor(segment.mapping.published());
            let start = segment.written_back.load(Ordering::Relaxed);
            if end < start + WRITE_BACK_BYTES {
                continue;
            }
            if let Some(file) = segment
                .file
                .as_ref()
                .filter(|_| segment.lost_from().is_none())
            {
                file.handle.write_back(page_floor(start)..end);
            }
            segment.written_back.store(end, Ordering::Relaxed);
        }
    }

    /// Makes checkpoint hints durable whose checkpoints are.
    fn persist_checkpoints(&self, report: &mut WorkReport) {
        for partition in &self.shared.partitions {
            let Some(span) = partition.wanted_checkpoint() else {
                continue;
            };
            if partition.lost_within(span.begin, span.end) {
                partition.want_checkpoint(None);
                report.refusals.push(format!(
                    "{}: checkpoint {} to {} is not durable and never will be; write another",
                    partition.id, span.begin, span.end
                ));
            } else if partition.durable() >= span.end {
                match self.persist_checkpoint(partition, span.begin, span.end) {
                    Ok(()) => partition.want_checkpoint(None),
                    Err(error) => report
                        .refusals
                        .push(format!("{}: writing its state file: {error}", partition.id)),
                }
            }
        }
    }

    fn persist_checkpoint(
        &self,
        partition: &Partition,
        begin: Offset,
        end: Offset,
    ) -> io::Result<()> {
        let checkpoint = Checkpoint { begin, end };
        self.shared
            .update_state(partition, |state| state.checkpoint = Some(checkpoint))?;
        partition.set_checkpoint_begin(begin);
        Ok(())
    }

    fn write_footers(&self) {
        for partition in &self.shared.partitions {
            for segment in partition.segments() {
                if segment.is_sealed() {
                    segment.write_footer();
                }
            }
        }
    }

    fn retain(&mut self, now_ms: u64, report: &mut WorkReport) {
        let options = self.shared.options.clone();
        for partition in self.shared.partitions.clone() {
            let segments = partition.segments();
            let may_go = droppable(&partition, &segments, &options);
            let go = aged(&partition, &segments, may_go, &options, now_ms);
            for segment in &segments[..go] {
                self.drop_segment(&partition, segment, report);
            }
        }
        if let Some(bytes_max) = options.retention_bytes {
            self.drop_oldest(self.bytes().saturating_sub(bytes_max), report);
        }
        self.drop_oldest(self.bytes_short(), report);
    }

    fn bytes(&self) -> u64 {
        let size = |partition: &Arc<Partition>| -> u64 {
            partition.with_segments(|segments| {
                let on_disk = segments.iter().filter(|segment| segment.file.is_some());
                on_disk.map(|segment| segment.mapping.len() as u64).sum()
            })
        };
        self.shared.partitions.iter().map(size).sum()
    }

    /// Bytes that the file system lacks for the reserve and for partitions that run in memory.
    fn bytes_short(&self) -> u64 {
        let wanted = self.shared.partitions.iter().map(|partition| {
            let degraded = partition.degraded.load(Ordering::Acquire);
            let wanted = partition.spare_wanted.load(Ordering::Acquire);
            if degraded && self.shared.spares_of(wanted as usize) == 0 {
                wanted
            } else {
                0
            }
        });
        let wanted = self
            .shared
            .options
            .disk_reserve_bytes
            .saturating_add(wanted.sum());
        // A file system that does not answer is not known to be short of anything.
        let free = self.shared.storage.bytes_free().unwrap_or(wanted);
        wanted.saturating_sub(free)
    }

    /// Drops the oldest segments of all partitions until `bytes` are given back, or none may go.
    /// Counted here: the file system knows only when the files are removed.
    fn drop_oldest(&mut self, mut bytes: u64, report: &mut WorkReport) {
        while bytes > 0 {
            let candidates = self.candidates();
            let Some(Candidate { partition, segment }) = oldest(candidates) else {
                return;
            };
            let partition = Arc::clone(&self.shared.partitions[usize::from(partition.0)]);
            if !self.drop_segment(&partition, &segment, report) {
                return;
            }
            bytes = bytes.saturating_sub(segment.mapping.len() as u64);
        }
    }

    /// The oldest segment of each partition that has one that may go.
    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |partition: &Arc<Partition>| {
            let segments = partition.segments();
            let may_go = droppable(partition, &segments, &self.shared.options) > 0;
            may_go.then(|| Candidate {
                partition: partition.id,
                segment: Arc::clone(&segments[0]),
            })
        };
        self.shared
            .partitions
            .iter()
            .filter_map(candidate)
            .collect()
    }

    /// Takes a segment out of its partition. Its file goes in `let_go`.
    fn drop_segment(
        &mut self,
        partition: &Partition,
        segment: &Arc<Segment>,
        report: &mut WorkReport,
    ) -> bool {
        let _dropping = partition.dropping.lock().expect("dropping");
        let held = partition
            .with_segments(|segments| segments.iter().any(|other| Arc::ptr_eq(other, segment)));
        if !held {
            return false; // Rewritten meanwhile; the new one is looked at next time.
        }
        // The state file says so first: names may come back after a crash in any combination, and
        // a segment without its successor would look like damage.
        if let Err(error) = self.shared.raise_floor(partition, segment.end()) {
            report
                .refusals
                .push(format!("{}: writing its state file: {error}", partition.id));
            // A disk too full for that has to be relieved all the same: one file at a time, the
            // oldest first. The last one stays, for it knows which offsets were used.
            let is_last = partition.with_segments(|segments| segments.len() == 1);
            if is_last || self.remove_now(segment).is_err() {
                return false;
            }
        }
        partition.with_segments(|segments| {
            segments.retain(|other| !Arc::ptr_eq(other, segment));
        });
        report.segments_dropped += 1;
        report.bytes_dropped += segment.mapping.len() as u64;
        Counters::add(&self.shared.counters.segments_dropped, 1);
        Counters::add(
            &self.shared.counters.bytes_dropped,
            segment.mapping.len() as u64,
        );
        self.shared.discard(Arc::clone(segment));
        true
    }

    fn remove_now(&self, segment: &Segment) -> io::Result<()> {
        if let Some(file) = segment.file.as_ref().filter(|file| !file.is_gone()) {
            remove_if_there(&*self.shared.storage, &file.name())?;
            self.shared.note_directory_change();
            self.shared.sync_directory()?;
            file.set_gone();
        }
        Ok(())
    }

    /// Uses the file of a discarded segment again, if a partition will need one of that size, none is
    /// ready, and nobody holds this one. Gives the segment back if not.
    fn recycle(&self, segment: Arc<Segment>, report: &mut WorkReport) -> Option<Arc<Segment>> {
        let bytes = segment.mapping.len();
        let waits = |partition: &Arc<Partition>| {
            let next = partition.next_segment_bytes.load(Ordering::Relaxed);
            next == bytes as u64 && partition.appended() > 0
        };
        let wanted = self.shared.spares_of(bytes) == 0 && self.shared.partitions.iter().any(waits);
        let usable = segment.file.as_ref().is_some_and(|file| {
            file.is_named() && !file.is_gone() && segment.lost_from().is_none()
        });
        let whole = segment.header.capacity == bytes;
        if !(wanted && usable && whole) {
            return Some(segment);
        }
        // It is in no list any more: nobody can come to hold it from here on.
        let segment = match Arc::try_unwrap(segment) {
            Ok(segment) => segment,
            Err(held) => return Some(held),
        };
        if Arc::strong_count(&segment.mapping) > 1 {
            return Some(Arc::new(segment)); // Somebody has `Bytes` of it.
        }
        match self.shared.recycle(segment) {
            Ok(spare) => {
                self.put_spare(spare);
            }
            Err(error) => report
                .refusals
                .push(format!("using a file of {bytes} bytes again: {error}")),
        }
        None
    }

    /// Removes the files of discarded segments, and unmaps those that nobody holds any more.
    fn let_go(&mut self, report: &mut WorkReport) {
        for segment in self.shared.take_discarded() {
            let Some(segment) = self.recycle(segment, report) else {
                continue;
            };
            if let Some(file) = segment.file.as_ref().filter(|file| !file.is_gone()) {
                match remove_if_there(&*self.shared.storage, &file.name()) {
                    Ok(()) => {
                        file.set_gone();
                        self.shared.note_directory_change();
                    }
                    Err(error) => {
                        report
                            .refusals
                            .push(format!("removing {}: {error}", file.name()));
                    }
                }
            }
            self.leaving.push(segment);
        }
        // Unmapping happens here and not where the last reader happens to be.
        self.leaving.retain(|segment| {
            Arc::strong_count(segment) > 1 || Arc::strong_count(&segment.mapping) > 1
        });
        let held = self
            .leaving
            .iter()
            .map(|segment| segment.mapping.len() as u64)
            .sum();
        self.shared
            .counters
            .mapped_deleted_bytes
            .store(held, Ordering::Relaxed);
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.shared.janitor_alive.store(false, Ordering::Release);
    }
}

fn active(partition: &Partition) -> Option<Arc<Segment>> {
    let last = partition.with_segments(|segments| segments.last().cloned())?;
    (!last.is_sealed() && last.file.is_some()).then_some(last)
}

/// In what pieces a range is made writable if its partition would best have `wanted`.
fn pieces(range: &Range<usize>, wanted: CachePieces) -> CachePieces {
    if range.len() < LARGE_PIECES_RANGE_BYTES {
        CachePieces::Pages
    } else {
        wanted
    }
}

fn page_floor(position: usize) -> usize {
    const PAGE_BYTES: usize = 4096;
    position / PAGE_BYTES * PAGE_BYTES
}

/// The janitor in a thread of its own.
///
/// ```no_run
/// use std::time::{SystemTime, UNIX_EPOCH};
/// use skein_log::{JanitorThread, Log, Options};
///
/// let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
/// let (mut log, report) = Log::open_dir("/var/lib/skein/log", Options::default(), now(), 42)?;
/// println!("{report}");
/// let janitor = log.take_janitor().expect("taken once");
/// let thread = JanitorThread::spawn(janitor, now, |report| {
///     for failure in &report.failures {
///         eprintln!("{failure}");
///     }
/// })?;
/// // ... writers append ...
/// drop(thread.stop());
/// log.close(now())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JanitorThread {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Janitor>,
}

impl JanitorThread {
    /// Runs the janitor with the caller's clock (ms). `observe` sees each report that says more
    /// than when the next step is due.
    pub fn spawn(
        mut janitor: Janitor,
        clock: impl Fn() -> u64 + Send + 'static,
        observe: impl Fn(&WorkReport) + Send + 'static,
    ) -> io::Result<JanitorThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("skein-janitor".to_owned())
            .spawn(move || {
                janitor.shared.set_janitor_thread(thread::current());
                while !stopped.load(Ordering::Acquire) {
                    let report = janitor.work(clock());
                    let due = report.next_due_ms;
                    observe(&report);
                    let wait = due
                        .saturating_sub(clock())
                        .clamp(1, HOUSEKEEPING_INTERVAL_MS);
                    thread::park_timeout(Duration::from_millis(wait));
                }
                janitor
            })?;
        Ok(JanitorThread { stop, thread })
    }

    /// Ends the thread after its current step and gives the janitor back.
    ///
    /// # Panics
    ///
    /// If the janitor's thread has panicked.
    pub fn stop(self) -> Janitor {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().expect("the janitor does not panic")
    }
}
