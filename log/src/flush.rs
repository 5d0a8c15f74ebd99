//! Group commit of one partition: everything appended so far becomes durable, or is known not to.
//!
//! The order is what makes the acknowledgement true: name the files, sync their contents, sync the
//! directory, and only then move the durable mark and tell the listeners.
//!
//! A failed sync is final. The kernel may count the pages as written although they are not, so
//! the file is never synced again: what it holds behind the durable mark is lost, listeners are
//! told so, and the writer moves to another file behind a gap.

use std::io;
use std::sync::Arc;

use crate::error::SyncError;
use crate::limits::LARGE_PIECES_FLUSH_BYTES;
use crate::partition::{LostRange, Partition};
use crate::position::Offset;
use crate::segment::Segment;
use crate::shared::{Counters, Shared};

/// Makes everything appended so far durable and returns the durable mark.
pub(crate) fn flush(shared: &Shared, partition: &Partition) -> Result<Offset, SyncError> {
    let _flushing = partition.flush.lock().expect("flush");
    let target = partition.appended();
    let durable = partition.durable();
    let mut segments = partition.segments();
    segments.retain(|segment| segment.end() > durable + 1);
    report_losses(shared, partition, &segments, target);
    if let Some(from) = partition.poisoned_from() {
        let source = io::Error::other("a sync failed before and is not repeated");
        return Err(failed(partition, "its file".to_owned(), from, source));
    }
    let outcome = sync_segments(shared, partition, &segments, target);
    let reached = match outcome {
        Ok(reached) => reached.max(durable),
        Err((file, source)) => {
            Counters::add(&shared.counters.sync_failures, 1);
            partition.poison(durable + 1);
            report_losses(shared, partition, &segments, target);
            return Err(failed(partition, file, durable + 1, source));
        }
    };
    if reached > durable {
        partition.publish_durable(reached);
        shared.tell_durable(partition.id, reached);
    }
    if reached < target {
        return Err(SyncError::Degraded {
            partition: partition.id,
            from: reached + 1,
        });
    }
    Ok(reached)
}

fn failed(partition: &Partition, file: String, from: Offset, source: io::Error) -> SyncError {
    SyncError::Failed {
        partition: partition.id,
        file,
        from,
        source,
    }
}

/// Syncs the files of the given segments; how far that makes the partition durable.
fn sync_segments(
    shared: &Shared,
    partition: &Partition,
    segments: &[Arc<Segment>],
    target: Offset,
) -> Result<Offset, (String, io::Error)> {
    let mut reached = 0;
    let mut bytes = 0;
    for segment in segments
        .iter()
        .filter(|segment| segment.lost_from().is_none())
    {
        let flushed = segment.note_flush();
        bytes += flushed;
        sync_segment(shared, partition, segment, flushed)
            .map_err(|error| (segment.name(), error))?;
        reached = target.min(segment.end() - 1);
    }
    if let Some(change) = partition.unsynced_names() {
        let synced = shared.sync_directory(change);
        // If not, what the names stand for is given up.
        partition.forget_unsynced_names();
        synced.map_err(|error| ("the directory".to_owned(), error))?;
    }
    partition.note_flush(bytes);
    Ok(reached)
}

/// `flushed`: bytes that were in no sync before.
fn sync_segment(
    shared: &Shared,
    partition: &Partition,
    segment: &Segment,
    flushed: u64,
) -> io::Result<()> {
    let Some(file) = &segment.file else {
        return Ok(());
    };
    shared.name_segment(partition, segment)?;
    Counters::add(&shared.counters.syncs, 1);
    if segment.is_sealed() {
        segment.write_footer();
    } else if flushed >= LARGE_PIECES_FLUSH_BYTES {
        // A long window is writable ahead of the tail: it would be written twice, and the writer
        // would wait at its tail for all of it.
        return file.handle.sync_before(segment.mapping.published());
    }
    file.handle.sync()
}

/// Tells the listeners what will not become durable, before the durable mark can pass it.
fn report_losses(
    shared: &Shared,
    partition: &Partition,
    segments: &[Arc<Segment>],
    target: Offset,
) {
    for range in partition.take_untold_losses() {
        tell_loss(shared, partition, range);
    }
    for segment in segments {
        let Some(lost_from) = segment.lost_from() else {
            continue;
        };
        let end = segment.end().min(target + 1);
        let range = LostRange {
            from: lost_from.max(segment.loss_reported(end)),
            end,
        };
        if range.from < range.end {
            tell_loss(shared, partition, range);
        }
    }
}

fn tell_loss(shared: &Shared, partition: &Partition, range: LostRange) {
    partition.note_lost(range);
    shared.tell_lost(partition.id, range);
}
