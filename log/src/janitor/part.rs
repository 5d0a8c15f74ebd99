//! What the parts of the janitor have in common.

use std::sync::Arc;

use crate::partition::Partition;
use crate::segment::Segment;
use crate::work_report::WorkReport;

/// A part of the janitor: does what is due, and says when it is due again.
pub(crate) trait Part {
    /// Everything that is due at `now_ms`, most urgent first.
    fn step(&mut self, now_ms: u64, report: &mut WorkReport);

    /// When (ms) it has something to do next, if nobody wakes it before.
    fn due_ms(&self) -> u64;
}

/// The segment that is being written, if it has a file.
pub(crate) fn active(partition: &Partition) -> Option<Arc<Segment>> {
    let last = partition.with_segments(|segments| segments.last().cloned())?;
    (!last.is_sealed() && last.file.is_some()).then_some(last)
}

/// The start of the page of a position.
pub(crate) fn page_floor(position: usize) -> usize {
    const PAGE_BYTES: usize = 4096;
    position / PAGE_BYTES * PAGE_BYTES
}
