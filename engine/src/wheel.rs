//! A hierarchical timer wheel: millions of timers, each set and fired in constant time.
//!
//! Eleven levels of 64 slots cover every millisecond of a `u64`. A timer lies at the level of the
//! highest bit in which its time differs from the wheel's; when the wheel reaches its slot it moves
//! to a lower level or fires. There is no cancelling: what a timer means is checked when it fires,
//! and its owner may have moved on.

use std::collections::VecDeque;

use crate::time::Timestamp;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 11 x 6 bits cover 64.
const LEVELS: usize = 11;

/// Timers that carry a `T`.
#[derive(Debug)]
pub struct Wheel<T> {
    now: u64,
    /// A bit per slot that holds something.
    filled: [u64; LEVELS],
    slots: Vec<Vec<(u64, T)>>,
    /// Timers that lie ahead.
    ahead: usize,
    /// Timers whose time has come, in order.
    due: VecDeque<(u64, T)>,
}

impl<T> Wheel<T> {
    /// An empty wheel.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: now.0,
            filled: [0; LEVELS],
            slots: (0..LEVELS * SLOTS).map(|_| Vec::new()).collect(),
            ahead: 0,
            due: VecDeque::new(),
        }
    }

    /// Timers that are set and have not fired.
    pub fn len(&self) -> usize {
        self.ahead + self.due.len()
    }

    /// Sets a timer. One in the past fires at the next [`Self::pop_due`].
    pub fn set(&mut self, at: Timestamp, what: T) {
        if at.0 <= self.now {
            self.due.push_back((at.0, what));
        } else {
            self.place(at.0, what);
        }
    }

    /// The next timer whose time has come by `now`, earliest first to the millisecond, and the time it
    /// was set to.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, T)> {
        while self.due.is_empty() {
            let (level, slot, start) = self.first()?;
            if start > now.0 {
                // No timer can lie before `start`.
                self.now = self.now.max(now.0);
                return None;
            }
            self.enter(level, slot, start);
        }
        let (at, what) = self.due.pop_front()?;
        Some((Timestamp(at), what))
    }

    /// When [`Self::pop_due`] has something to do: the time of the next timer, or a little earlier
    /// when that is far away.
    pub fn next_due(&self) -> Option<Timestamp> {
        if !self.due.is_empty() {
            return Some(Timestamp(self.now));
        }
        self.first().map(|(_, _, start)| Timestamp(start))
    }

    /// The first filled slot: level, slot, and the earliest time in it.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let level = self.filled.iter().position(|filled| *filled != 0)?;
        let slot = self.filled[level].trailing_zeros() as usize;
        let shift = SLOT_BITS * level as u32;
        let above = shift + SLOT_BITS;
        let high = if above >= u64::BITS {
            0
        } else {
            self.now >> above << above
        };
        Some((level, slot, high | (slot as u64) << shift))
    }

    /// Moves the wheel to `start` and spreads the slot that begins there.
    fn enter(&mut self, level: usize, slot: usize, start: u64) {
        self.now = self.now.max(start);
        self.filled[level] &= !(1 << slot);
        let timers = std::mem::take(&mut self.slots[level * SLOTS + slot]);
        self.ahead -= timers.len();
        for (at, what) in timers {
            if at <= self.now {
                self.due.push_back((at, what));
            } else {
                self.place(at, what);
            }
        }
    }

    /// Puts a timer that lies ahead into its slot.
    fn place(&mut self, at: u64, what: T) {
        let level = ((u64::BITS - 1 - (at ^ self.now).leading_zeros()) / SLOT_BITS) as usize;
        let slot = (at >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        self.filled[level] |= 1 << slot;
        self.slots[level * SLOTS + slot].push((at, what));
        self.ahead += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![0u64..5, 0u64..200, 0u64..100_000, 0u64..100_000_000];
        prop_oneof![
            span.clone().prop_map(Step::Set),
            span.prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn fires_what_a_sorted_map_fires(start in 0u64..2_000_000_000_000, steps in prop::collection::vec(step(), 1..200)) {
            let mut now = start;
            let mut wheel = Wheel::new(Timestamp(now));
            let mut model: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set(after) => {
                        wheel.set(Timestamp(now + after), number);
                        model.entry(now + after).or_default().push(number);
                    }
                    Step::Advance(by) => {
                        now += by;
                        let later = model.split_off(&(now + 1));
                        let due = std::mem::replace(&mut model, later).into_iter();
                        let mut expected: Vec<(u64, usize)> = due.flat_map(|(at, all)| all.into_iter().map(move |number| (at, number))).collect();
                        let mut fired = Vec::new();
                        while let Some((at, number)) = wheel.pop_due(Timestamp(now)) {
                            prop_assert!(at.0 <= now);
                            fired.push((at.0, number));
                        }
                        fired.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(fired, expected);
                    }
                }
                prop_assert_eq!(wheel.len(), model.values().map(Vec::len).sum::<usize>());
                let first = model.keys().next().copied();
                let next = wheel.next_due().map(|at| at.0);
                prop_assert_eq!(first.is_some(), next.is_some());
                if let (Some(first), Some(next)) = (first, next) {
                    prop_assert!(next <= first.max(now));
                }
            }
        }
    }

    #[test]
    fn waits_without_ticking() {
        let mut wheel = Wheel::new(Timestamp(1_700_000_000_000));
        wheel.set(Timestamp(1_700_000_000_000 + 8 * 3_600_000), ());
        let mut wakes = 0;
        while let Some(next) = wheel.next_due() {
            wheel.pop_due(next);
            wakes += 1;
        }
        assert!(wakes <= LEVELS, "{wakes} wakes");
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let mut wheel = Wheel::new(Timestamp(5));
        wheel.set(Timestamp::NEVER, ());
        assert_eq!(wheel.pop_due(Timestamp(u64::MAX - 1)), None);
        let fired = wheel.pop_due(Timestamp::NEVER);
        assert_eq!(fired, Some((Timestamp::NEVER, ())));
    }
}
