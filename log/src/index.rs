//! The sparse index of a segment: an entry about every 32 KiB, a hint where to start looking.
//!
//! The writer adds, readers search, without a lock: slots are allocated when the segment is made
//! and an entry counts once the number of entries says so.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::limits::INDEX_INTERVAL_BYTES;
use crate::position::Offset;

/// A batch that can be found without walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Offset of its first record.
    pub offset: Offset,
    /// Its append time.
    pub time: u64,
    /// Where it starts.
    pub position: usize,
}

#[derive(Debug, Default)]
struct Slot {
    offset: AtomicU64,
    time: AtomicU64,
    position: AtomicUsize,
}

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct SparseIndex {
    slots: Box<[Slot]>,
    count: AtomicUsize,
}

impl SparseIndex {
    pub(crate) fn with_capacity(entries_max: usize) -> SparseIndex {
        let slots = (0..entries_max).map(|_| Slot::default()).collect();
        SparseIndex {
            slots,
            count: AtomicUsize::new(0),
        }
    }

    pub(crate) fn from_entries(entries: &[IndexEntry], entries_max: usize) -> SparseIndex {
        let index = SparseIndex::with_capacity(entries_max);
        for entry in entries {
            index.push(*entry);
        }
        index
    }

    /// Adds the batch if it lies far enough behind the last entry. Called by one writer.
    #[inline]
    pub(crate) fn note(&self, entry: IndexEntry) {
        let count = self.count.load(Ordering::Relaxed);
        let due = match count.checked_sub(1) {
            None => true,
            Some(last) => {
                let last = self.slots[last].position.load(Ordering::Relaxed);
                entry.position >= last + INDEX_INTERVAL_BYTES
            }
        };
        if due {
            self.push(entry);
        }
    }

    fn push(&self, entry: IndexEntry) {
        let count = self.count.load(Ordering::Relaxed);
        let Some(slot) = self.slots.get(count) else {
            return; // A hint less: the walk is longer, nothing is wrong.
        };
        slot.offset.store(entry.offset, Ordering::Relaxed);
        slot.time.store(entry.time, Ordering::Relaxed);
        slot.position.store(entry.position, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
    }

    fn entry(&self, index: usize) -> IndexEntry {
        let slot = &self.slots[index];
        IndexEntry {
            offset: slot.offset.load(Ordering::Relaxed),
            time: slot.time.load(Ordering::Relaxed),
            position: slot.position.load(Ordering::Relaxed),
        }
    }

    /// All entries there are now.
    pub(crate) fn entries(&self) -> Vec<IndexEntry> {
        (0..self.count.load(Ordering::Acquire))
            .map(|index| self.entry(index))
            .collect()
    }

    /// The last entry for which `before` holds; it holds for a prefix of the entries.
    pub(crate) fn last_where(&self, before: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        let (mut low, mut high) = (0, self.count.load(Ordering::Acquire));
        while low < high {
            let middle = low + (high - low) / 2;
            if before(&self.entry(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).map(|index| self.entry(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_noted_every_interval() {
        let index = SparseIndex::with_capacity(8);
        for batch in 0..100 {
            let position = 4096 + batch * 1000;
            index.note(IndexEntry {
                offset: batch as u64 + 1,
                time: 0,
                position,
            });
        }
        let positions: Vec<_> = index.entries().iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [4096, 37_096, 70_096, 103_096]);
        assert_eq!(
            index
                .last_where(|entry| entry.offset <= 50)
                .map(|e| e.offset),
            Some(34)
        );
        assert_eq!(index.last_where(|entry| entry.offset < 1), None);
    }

    #[test]
    fn a_full_index_stays_a_hint() {
        let index = SparseIndex::with_capacity(1);
        index.note(IndexEntry {
            offset: 1,
            time: 0,
            position: 0,
        });
        index.note(IndexEntry {
            offset: 9,
            time: 0,
            position: 1 << 20,
        });
        assert_eq!(index.entries().len(), 1);
    }
}
