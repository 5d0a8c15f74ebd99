//! Which segments may go. Pure decisions over a snapshot; the janitor carries them out.
//!
//! Retention drops whole closed segments, oldest first, and never waits for a reader. It never
//! drops what the newest durable checkpoint needs, so nobody's last position is lost with it.

use std::sync::Arc;

use crate::options::Options;
use crate::partition::Partition;
use crate::position::{Offset, PartitionId};
use crate::segment::Segment;

/// The oldest segment of a partition, if it may go.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub partition: PartitionId,
    pub segment: Arc<Segment>,
    /// When (ms) its newest record was appended, at the latest.
    pub newest: u64,
}

impl Candidate {
    /// The oldest segment of a partition; `None` where none may go.
    pub(crate) fn of(partition: &Partition, options: &Options) -> Option<Candidate> {
        let segments = partition.segments();
        let may_go = droppable(partition, &segments, options) > 0;
        may_go.then(|| Candidate {
            partition: partition.id,
            segment: Arc::clone(&segments[0]),
            newest: newest_times(&segments)[0],
        })
    }
}

/// How many of the oldest segments may go at all: closed, and wholly before what is needed.
pub(crate) fn droppable(
    partition: &Partition,
    segments: &[Arc<Segment>],
    options: &Options,
) -> usize {
    let floor = partition.floor();
    let needed_from = match partition.checkpoint_begin() {
        Some(begin) => begin,
        None if options.retention_needs_checkpoint => floor,
        None => Offset::MAX,
    };
    let durable = partition.durable();
    let may_go = |segment: &&Arc<Segment>| {
        let wanted = segment.end() <= needed_from.max(floor);
        segment.is_sealed() && wanted && segment.end() <= durable + 1
    };
    segments.iter().take_while(may_go).count()
}

/// How many of the oldest `droppable` segments are too old or purged.
pub(crate) fn aged(
    partition: &Partition,
    segments: &[Arc<Segment>],
    droppable: usize,
    options: &Options,
    now_ms: u64,
) -> usize {
    let floor = partition.floor();
    let horizon = options
        .retention_age_ms
        .and_then(|age| now_ms.checked_sub(age));
    let newest = newest_times(segments);
    let is_due = |(segment, newest): &(&Arc<Segment>, u64)| {
        let old = horizon.is_some_and(|horizon| *newest < horizon);
        old || segment.end() <= floor
    };
    let oldest = segments[..droppable].iter().zip(newest);
    oldest.take_while(is_due).count()
}

/// When the newest record of each segment was appended, at the latest.
///
/// Times in the log never go back. A clock that was years ahead for a moment therefore leaves them
/// there, and what they say would keep everything for years. When a later file was made is the
/// clock's word at that moment, and what is in an earlier one came before.
fn newest_times(segments: &[Arc<Segment>]) -> Vec<u64> {
    let mut made_later = u64::MAX;
    let newest = segments.iter().rev().map(|segment| {
        let newest = segment.last_time().min(made_later);
        made_later = made_later.min(segment.header.created_at);
        newest
    });
    let mut newest: Vec<u64> = newest.collect();
    newest.reverse();
    newest
}

/// The segment to drop next to save space: of all partitions' oldest ones, the one whose newest
/// record is the oldest.
pub(crate) fn oldest(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates
        .into_iter()
        .min_by_key(|candidate| candidate.newest)
}
