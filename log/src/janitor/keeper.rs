//! What lies behind the tails: starts write-back, writes footers, drops what is old, gives files and
//! mappings back. Nobody waits for any of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::janitor::part::{Part, active, page_floor};
use crate::janitor::preparer::put_spare;
use crate::limits::HOUSEKEEPING_INTERVAL_MS;
use crate::partition::Partition;
use crate::retention::{Candidate, aged, droppable, oldest};
use crate::segment::Segment;
use crate::shared::{Counters, Shared, Worker, remove_if_there};
use crate::storage::Storage;
use crate::work_report::WorkReport;

#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    housekeeping_due: u64,
    /// Rounds in which it has made what space it could, because it was asked to.
    rounds: Arc<AtomicU64>,
    /// Dropped segments whose mapping somebody may still hold.
    leaving: Vec<Arc<Segment>>,
}

impl Part for Keeper {
    fn step(&mut self, now_ms: u64, report: &mut WorkReport) {
        self.write_back();
        let short = self.shared.space_short.swap(false, Ordering::AcqRel);
        let rolled = self.shared.rolled.swap(false, Ordering::AcqRel);
        if short || now_ms >= self.housekeeping_due {
            self.housekeeping_due = now_ms + HOUSEKEEPING_INTERVAL_MS;
            self.write_footers();
            self.retain(now_ms, report);
            self.shared.take_ballast();
        } else if rolled {
            self.retain_bytes(report);
        }
        self.let_go(report);
        if short {
            self.rounds.fetch_add(1, Ordering::Release);
            self.shared.wake(Worker::Preparer);
        }
    }

    fn due_ms(&self) -> u64 {
        self.housekeeping_due
    }
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, rounds: Arc<AtomicU64>) -> Keeper {
        Keeper {
            shared,
            housekeeping_due: 0,
            rounds,
            leaving: Vec::new(),
        }
    }

    /// Starts write-back behind each tail, so that a sync finds little to do.
    fn write_back(&self) {
        if !self.shared.writes_back() {
            return;
        }
        for partition in &self.shared.partitions {
            let Some(segment) = active(partition).filter(|it| it.is_write_back_due()) else {
                continue;
            };
            let end = page_floor(segment.mapping.published());
            let start = segment.written_back.swap(end, Ordering::Relaxed);
            if let Some(file) = segment
                .file
                .as_ref()
                .filter(|_| segment.lost_from().is_none())
            {
                file.handle.write_back(page_floor(start)..end);
            }
        }
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
        self.retain_bytes(report);
        self.drop_oldest(self.bytes_short(), report);
    }

    fn retain_bytes(&mut self, report: &mut WorkReport) {
        if let Some(bytes_max) = self.shared.options.retention_bytes {
            self.drop_oldest(self.bytes().saturating_sub(bytes_max), report);
        }
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

    /// Bytes that the file system lacks for the reserve and for the files that writers will need:
    /// also of those that are not out of space yet, so that they never are.
    fn bytes_short(&self) -> u64 {
        let wanted = self.shared.partitions.iter().map(|partition| {
            let wanted = partition.spare_wanted.load(Ordering::Acquire);
            if self.shared.spares_of(wanted as usize) == 0 {
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
            let Some(Candidate {
                partition, segment, ..
            }) = oldest(candidates)
            else {
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
        let partitions = self.shared.partitions.iter();
        partitions
            .filter_map(|partition| Candidate::of(partition, &self.shared.options))
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
            let remove = |storage: &dyn Storage| remove_if_there(storage, &file.name());
            let removed = self.shared.change_names(remove)?;
            self.shared.sync_directory(removed)?;
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
                put_spare(&self.shared, spare);
                // A writer that runs in memory may wait for it.
                self.shared.wake(Worker::Preparer);
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
