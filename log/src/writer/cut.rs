//! Taking records away, at the end or at the start: what a replicated log needs of its storage.

use std::io;
use std::sync::Arc;

use crate::begin::sync_recovered_tail;
use crate::error::{MetaError, StorageError, TruncateError};
use crate::flush::flush;
use crate::limits::META_BYTES_MAX;
use crate::meta::PartitionState;
use crate::position::{EpochStart, Offset};
use crate::segment::Segment;
use crate::writer::{Active, Writer};

impl Writer {
    /// Takes away every record behind `offset` and starts a new epoch there. For replication: the
    /// new owner's log differs from here on. Durable when it returns; readers that were beyond
    /// get `Truncated`.
    pub fn truncate_after(&mut self, now_ms: u64, offset: Offset) -> Result<(), TruncateError> {
        let first = self.partition.first_offset();
        if offset + 1 < first || offset >= self.next_offset {
            return Err(TruncateError::OutOfRange {
                partition: self.partition.id,
                offset,
                first,
                last: self.next_offset - 1,
            });
        }
        let action = StorageError::during(format!("truncating {}", self.partition.id));
        Ok(self.cut(now_ms, offset).map_err(action)?)
    }

    /// A file that begins at `offset + 1` and was made later is what takes records away: where two
    /// files claim an offset the later one is right. No byte that a follower may hold is changed.
    fn cut(&mut self, now_ms: u64, offset: Offset) -> io::Result<()> {
        let partition = Arc::clone(&self.partition);
        // A cut begins the partition, in an epoch of its own.
        let mut beginning = partition.beginning.lock().expect("beginning");
        self.shared.leave_clean_state()?;
        sync_recovered_tail(&mut beginning, &self.shared, &partition);
        // What stays has to be durable. Where that fails, the new file begins with a gap.
        let _ = flush(&self.shared, &self.partition);
        self.note_poison();
        let before = (self.next_offset, self.hole_from);
        let persisted = self
            .partition
            .state
            .lock()
            .expect("partition state")
            .epoch();
        let epoch = self.epoch().max(persisted) + 1;
        self.next_offset = offset + 1;
        self.epochs.push(EpochStart {
            epoch,
            first_offset: offset + 1,
        });
        self.hole_from = self.hole_from.filter(|from| *from < self.next_offset);
        let _flushing = partition.flush.lock().expect("flush");
        match self.make_cut(now_ms) {
            Ok(active) => {
                self.adopt_cut(active, offset);
                beginning.done = true;
                Ok(())
            }
            Err(error) => {
                self.epochs.pop();
                (self.next_offset, self.hole_from) = before;
                Err(error)
            }
        }
    }

    /// Makes the cut durable. The state goes first: an epoch too many makes cursors invalid and
    /// harms nothing, an epoch too few would make them wrong.
    fn make_cut(&mut self, now_ms: u64) -> io::Result<Active> {
        let begun = self.shared.begin_changes();
        self.persist_cut_epoch()?;
        let (active, _) = self.file_segment(0, now_ms, false)?;
        let file = active.segment.file.as_ref().expect("made from a file");
        file.handle.sync()?;
        self.shared.name_segment(&self.partition, &active.segment)?;
        self.shared.sync_directory_since(begun)?;
        Ok(active)
    }

    fn persist_cut_epoch(&self) -> io::Result<()> {
        let start = *self.epochs.last().expect("just pushed");
        self.shared.update_state(&self.partition, |state| {
            state.push_epoch(start);
            state.checkpoint = state
                .checkpoint
                .filter(|span| span.end < start.first_offset);
        })
    }

    fn adopt_cut(&mut self, active: Active, offset: Offset) {
        let gone = self.partition.with_segments(|segments| {
            for segment in segments.iter() {
                segment.seal();
                segment.cut(offset + 1);
            }
            let stays = |segment: &Arc<Segment>| segment.first_offset <= offset;
            let (stay, gone) = segments.drain(..).partition(stays);
            *segments = stay;
            let gone: Vec<Arc<Segment>> = gone;
            gone
        });
        self.active = None;
        for segment in gone {
            self.shared.discard(segment);
        }
        self.partition.reset_checkpoint(offset);
        self.partition
            .publish_durable(offset.min(self.partition.durable()));
        self.partition.publish_appended(offset);
        self.partition.set_reading_epoch(self.epoch());
        self.partition.wake_waiters();
        self.install(active);
        self.leave_hole_behind();
        self.begun = true;
    }

    /// Replaces the owner's metadata of the partition (a vote, a term), at most 4 KiB. It is in
    /// order with the records: when this returns, everything appended before is durable, then the
    /// metadata is; what is appended later can't survive without it. Truncations leave it alone.
    ///
    /// Waits for the disk several times: for what changes rarely.
    pub fn set_meta(&mut self, meta: &[u8]) -> Result<(), MetaError> {
        if meta.len() > META_BYTES_MAX {
            return Err(MetaError::TooLarge {
                bytes: meta.len(),
                bytes_max: META_BYTES_MAX,
            });
        }
        if self.partition.durable() < self.partition.appended() {
            flush(&self.shared, &self.partition)?;
        }
        let partition = &self.partition;
        let action = StorageError::during(format!("writing the state file of {}", partition.id));
        let set = |state: &mut PartitionState| state.meta = meta.to_vec();
        Ok(self.shared.update_state(partition, set).map_err(action)?)
    }

    /// The owner's metadata, empty if none was set.
    pub fn meta(&self) -> Vec<u8> {
        let state = self.partition.state.lock().expect("partition state");
        state.meta.clone()
    }

    /// Says that no record before `offset` is needed any more: readers there get a gap, and the
    /// janitor drops the segments that lie wholly before it. Durable when it returns.
    pub fn purge_before(&mut self, offset: Offset) -> Result<(), TruncateError> {
        if offset > self.next_offset {
            return Err(TruncateError::OutOfRange {
                partition: self.partition.id,
                offset,
                first: self.partition.first_offset(),
                last: self.next_offset - 1,
            });
        }
        let action = StorageError::during(format!("purging {}", self.partition.id));
        let raised = self.shared.raise_floor(&self.partition, offset);
        Ok(raised.map_err(action)?)
    }
}
