//! Ranges of the control log that do not count: their sync failed, so their commands were refused.
//!
//! A refused command is in the log all the same, and after a restart it must not come to life. The
//! next group that becomes durable carries a record that voids it; recovery and the readers of
//! events leave out what lies in these ranges. There are as many as there were failures, and
//! ranges that touch become one.

use std::collections::BTreeMap;

/// Ranges of offsets.
///
/// ```
/// use skein_server::control::voids::Voids;
/// let mut voids = Voids::default();
/// voids.add(5, 6);
/// voids.add(7, 9);
/// assert!(voids.contains(8) && !voids.contains(10));
/// assert_eq!(voids.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voids {
    /// First to last.
    ranges: BTreeMap<u64, u64>,
}

impl Voids {
    /// Adds `first` to `last`, both in it. An empty range changes nothing.
    pub fn add(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        let touching: Vec<(u64, u64)> = self
            .ranges
            .range(..=last.saturating_add(1))
            .filter(|&(_, &end)| end.saturating_add(1) >= first)
            .map(|(&start, &end)| (start, end))
            .collect();
        for (start, end) in touching {
            self.ranges.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }

    /// Whether an offset does not count.
    pub fn contains(&self, offset: u64) -> bool {
        let below = self.ranges.range(..=offset).next_back();
        below.is_some_and(|(_, &last)| offset <= last)
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether everything counts.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Forgets ranges wholly below `offset`, which the log does not hold any more.
    pub fn forget_below(&mut self, offset: u64) {
        self.ranges.retain(|_, &mut last| last >= offset);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::control::voids::Voids;

    proptest! {
        #[test]
        fn ranges_hold_what_was_added(
            ranges in prop::collection::vec((0u64..60, 0u64..8), 0..20),
        ) {
            let mut voids = Voids::default();
            let mut model = [false; 80];
            for (first, length) in ranges {
                voids.add(first, first + length);
                model[first as usize..=(first + length) as usize].fill(true);
            }
            for (offset, &expect) in model.iter().enumerate() {
                prop_assert_eq!(voids.contains(offset as u64), expect, "{}", offset);
            }
            let runs = model.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            prop_assert_eq!(voids.len(), runs + usize::from(model[0]));
        }
    }
}
