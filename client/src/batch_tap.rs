//! Batches as a relay takes them: whole, in order, none twice, with exact counters.
//!
//! A relay is a viewer that shows nothing: it hands on what was applied. The apply rule is that of
//! every viewer; what differs is that the batch itself is the result, and that its counters are written
//! out, so that whoever takes it need not know what came before.

use std::collections::{BTreeMap, VecDeque};

use skein_wire::batch::{Batch, WireCounter};
use skein_wire::ids::Counter;

/// The batches that one view has applied.
#[derive(Debug, Default)]
pub(crate) struct BatchTap {
    /// What the applied batches last said of each slot: low bytes are widened from it.
    said: BTreeMap<u32, Counter>,
    applied: VecDeque<Batch>,
}

impl BatchTap {
    /// Takes a batch that the rule has let through.
    pub fn take(&mut self, mut batch: Batch) {
        if batch.header.from == 0 {
            self.said.clear();
        }
        for entry in &mut batch.entries {
            let said = self.said.entry(entry.slot.0).or_default();
            if let Some(descriptor) = &entry.descriptor {
                *said = descriptor.counter;
            }
            if let Some(point) = &mut entry.point {
                *said = point.counter.widen(*said);
                point.counter = WireCounter::Whole(*said);
            }
        }
        self.applied.push_back(batch);
    }

    /// The next batch that was applied.
    pub fn next(&mut self) -> Option<Batch> {
        self.applied.pop_front()
    }
}
