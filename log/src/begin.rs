//! What a start owes a partition before its first record: the clean mark is gone, what recovery left
//! is synced, the new epoch is durable.
//!
//! It waits for the disk several times. The syncer does it for a writer that asks beforehand
//! ([`crate::Writer::is_ready_for`]); else the first append does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::AppendError;
use crate::flush::flush;
use crate::partition::{Beginning, Partition};
use crate::segment::Segment;
use crate::shared::{Counters, Shared, Worker};

/// Makes the epoch durable, and what lies before it, once. While that is refused the partition takes no
/// records, and says that it is degraded.
pub(crate) fn begin(shared: &Shared, partition: &Partition) -> Result<(), AppendError> {
    let begun = try_begin(shared, partition);
    partition
        .begin_refused
        .store(begun.is_err(), Ordering::Release);
    if begun.is_err() {
        // Where space is what is missing, old segments may make it.
        shared.space_short.store(true, Ordering::Release);
        shared.wake(Worker::Keeper);
    }
    begun
}

fn try_begin(shared: &Shared, partition: &Partition) -> Result<(), AppendError> {
    let mut beginning = partition.beginning.lock().expect("beginning");
    if beginning.done {
        return Ok(());
    }
    let not_begun = |action: &str| {
        let (partition, action) = (partition.id, action.to_owned());
        move |source| AppendError::NotBegun {
            partition,
            action,
            source,
        }
    };
    shared
        .leave_clean_state()
        .map_err(not_begun("removing the clean mark"))?;
    sync_recovered_tail(&mut beginning, shared, partition);
    if let Some(start) = beginning.epoch {
        shared
            .begin_epoch(partition, start)
            .map_err(not_begun("writing the state file"))?;
    }
    if let Some(segment) = open_segment(partition) {
        let cleared = segment.clear_footer();
        cleared.map_err(not_begun("clearing a footer"))?;
    }
    if let Some(start) = beginning.epoch {
        partition.set_reading_epoch(start.epoch);
    }
    beginning.done = true;
    partition.begun.store(true, Ordering::Release);
    Ok(())
}

/// Syncs what recovery found and zeroed, so that nothing zeroed comes back behind new records.
pub(crate) fn sync_recovered_tail(
    beginning: &mut Beginning,
    shared: &Shared,
    partition: &Partition,
) {
    if !std::mem::take(&mut beginning.tail_unsynced) {
        return;
    }
    if sync_open_segment(partition).is_err() {
        Counters::add(&shared.counters.sync_failures, 1);
        partition.poison(partition.durable() + 1);
        return;
    }
    // A failure poisons the file; the append that follows moves on behind a gap.
    let _ = flush(shared, partition);
}

fn sync_open_segment(partition: &Partition) -> io::Result<()> {
    match open_segment(partition).as_ref().map(|it| &it.file) {
        Some(Some(file)) => file.handle.sync(),
        _ => Ok(()),
    }
}

/// The segment in which the writer goes on.
fn open_segment(partition: &Partition) -> Option<Arc<Segment>> {
    let last = partition.with_segments(|segments| segments.last().cloned())?;
    (!last.is_sealed() && last.file.is_some()).then_some(last)
}
