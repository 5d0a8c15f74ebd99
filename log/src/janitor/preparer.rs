//! Keeps ready what writers will need next: files for their next segments, and writable pages in
//! front of their tails. Whatever is late here is done by a writer, which waits meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::janitor::part::{Part, active, page_floor};
use crate::limits::{LARGE_PIECES_WINDOW_BYTES, SPACE_RETRY_MS};
use crate::options::WriterBackend;
use crate::partition::Partition;
use crate::segment::Segment;
use crate::shared::{Counters, Shared, Spare, Worker};
use crate::storage::CachePieces;
use crate::work_report::WorkReport;

/// Files of the first size kept ready while some partition has no segment yet.
const FIRST_SPARES: usize = 2;

#[derive(Debug)]
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    /// The disk takes nothing, and is not asked again before (ms). 0: it did.
    space_retry_at: u64,
    /// Rounds in which the keeper has made what space it could.
    rounds: Arc<AtomicU64>,
    /// It has been asked for that, after so many of them.
    asked_after: Option<u64>,
}

impl Part for Preparer {
    fn step(&mut self, now_ms: u64, report: &mut WorkReport) {
        let answered = self.is_answered();
        if now_ms >= self.space_retry_at {
            self.space_retry_at = 0;
        }
        self.look_at_tails();
        self.prepare_spares(now_ms, answered, report);
        if self.shared.rolled.load(Ordering::Acquire) {
            self.shared.wake(Worker::Keeper);
        }
    }

    fn due_ms(&self) -> u64 {
        match self.space_retry_at {
            0 => u64::MAX,
            retry_at => retry_at,
        }
    }
}

impl Preparer {
    /// `rounds`: those of the keeper.
    pub(crate) fn new(shared: Arc<Shared>, rounds: Arc<AtomicU64>) -> Preparer {
        Preparer {
            shared,
            space_retry_at: 0,
            rounds,
            asked_after: None,
        }
    }

    /// Whether the keeper has made what space it could since it was asked: once.
    fn is_answered(&mut self) -> bool {
        let rounds = self.rounds.load(Ordering::Acquire);
        self.asked_after.take_if(|asked| rounds > *asked).is_some()
    }

    /// Makes the pages in front of each tail writable, and calls for write-back behind it.
    fn look_at_tails(&self) {
        for partition in &self.shared.partitions {
            let Some(segment) = active(partition) else {
                continue;
            };
            self.touch_ahead(partition, &segment);
            if self.shared.writes_back() && segment.is_write_back_due() {
                self.shared.wake(Worker::Keeper);
            }
        }
    }

    fn touch_ahead(&self, partition: &Partition, segment: &Segment) {
        let pieces = partition.cache_pieces();
        let window = window_bytes(&self.shared, pieces, segment.mapping.reserved_from());
        let published = segment.mapping.published();
        let touched = segment.pretouched.load(Ordering::Relaxed).max(published);
        let wanted = (published + window).min(segment.mapping.reserved_from());
        let at_the_end = wanted == segment.mapping.reserved_from();
        if touched >= wanted || (touched + window / 4 > wanted && !at_the_end) {
            return;
        }
        if let Some(file) = &segment.file {
            file.handle.populate(page_floor(touched)..wanted, pieces);
        }
        segment.pretouched.store(wanted, Ordering::Relaxed);
    }

    /// Makes the files that writers will need, and finds out whether a full disk has space again.
    fn prepare_spares(&mut self, now_ms: u64, answered: bool, report: &mut WorkReport) {
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
        let mut refused = Vec::new();
        for (bytes, count) in wanted {
            for _ in self.shared.spares_of(bytes)..count {
                if now_ms < self.space_retry_at {
                    refused.push(bytes);
                    break;
                }
                let Err(error) = self.prepare_spare(bytes, report) else {
                    continue;
                };
                if answered {
                    self.space_retry_at = now_ms + SPACE_RETRY_MS;
                    refused.push(bytes);
                    let refusal = format!("preparing a segment of {bytes} bytes: {error}");
                    report.refusals.push(refusal);
                } else {
                    self.ask_for_space();
                }
                break;
            }
        }
        for partition in &self.shared.partitions {
            self.tell_of_spare(partition, &refused);
        }
    }

    /// Tells a writer that waits for a file that there is one, or that there will be none.
    /// `refused`: sizes that the disk did not take. What was asked for since is in neither list.
    fn tell_of_spare(&self, partition: &Partition, refused: &[usize]) {
        let bytes = partition.spare_wanted.load(Ordering::Acquire) as usize;
        let ready = self.shared.spares_of(bytes) > 0;
        if partition.degraded.load(Ordering::Acquire) {
            partition.spare_ready.store(ready, Ordering::Release);
        }
        if bytes > 0 {
            let refused = !ready && refused.contains(&bytes);
            partition.space_refused.store(refused, Ordering::Release);
            self.shared.tell_ready(partition);
        }
    }

    fn prepare_spare(&self, bytes: usize, report: &mut WorkReport) -> io::Result<()> {
        put_spare(&self.shared, self.shared.create_spare(bytes)?);
        Counters::add(&self.shared.counters.spares_prepared, 1);
        report.spares_prepared += 1;
        Ok(())
    }

    /// Old segments may make the space, or be the file. Only when the keeper has done what it can and
    /// the disk still takes nothing are writers told so, who go on in memory then.
    fn ask_for_space(&mut self) {
        if self.asked_after.is_none() {
            self.asked_after = Some(self.rounds.load(Ordering::Acquire));
            self.shared.space_short.store(true, Ordering::Release);
            self.shared.wake(Worker::Keeper);
        }
    }
}

/// Bytes of mapping, of `bytes` in all, to make writable ahead; none where nobody stores into it.
///
/// A writer must not overtake it: where syncs flush megabytes it is longer than asked for.
fn window_bytes(shared: &Shared, pieces: CachePieces, bytes: usize) -> usize {
    let asked = shared.options.pretouch_window_bytes;
    match (shared.options.writer, pieces) {
        (WriterBackend::Pwrite, _) => 0,
        (WriterBackend::Mapped, CachePieces::Large) if asked > 0 => {
            asked.max(LARGE_PIECES_WINDOW_BYTES.min(bytes / 4))
        }
        (WriterBackend::Mapped, _) => asked,
    }
}

/// Makes the start of a prepared file writable and keeps it ready.
pub(super) fn put_spare(shared: &Shared, spare: Spare) {
    let takes = |partition: &&Arc<Partition>| {
        partition.next_segment_bytes.load(Ordering::Relaxed) == spare.bytes as u64
    };
    let takers = shared.partitions.iter().filter(takes);
    // Nobody knows who will; the one that syncs little at a time suffers most of a wrong choice.
    let wanted = takers.map(|partition| partition.cache_pieces()).min();
    let pieces = wanted.unwrap_or(CachePieces::Pages);
    let window = window_bytes(shared, pieces, spare.bytes);
    let range = 0..window.min(spare.bytes);
    spare.stored.handle.populate(range, pieces);
    shared.put_spare(spare);
}
