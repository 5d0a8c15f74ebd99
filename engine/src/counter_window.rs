//! Which counters of a session have been accepted: the last one, and a bitmap of the 1,024 before
//! it.
//!
//! A live point needs a counter above the last one. A point from a sender's backlog needs one that
//! lies within the window and has not been seen.

use skein_wire::ids::Counter;

use crate::limits::HISTORY_WINDOW;

const WORDS: usize = (HISTORY_WINDOW / 64) as usize;

/// Bytes of the stored form.
pub const WINDOW_BYTES: usize = 8 + WORDS * 8;

/// The counters seen so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterWindow {
    last: u64,
    /// Bit `counter % HISTORY_WINDOW`; those within `HISTORY_WINDOW` below and with `last` count.
    bits: [u64; WORDS],
}

impl Default for CounterWindow {
    fn default() -> Self {
        Self {
            last: 0,
            bits: [0; WORDS],
        }
    }
}

impl CounterWindow {
    /// The greatest counter accepted; 0 = none.
    pub fn last(&self) -> Counter {
        Counter(self.last)
    }

    /// Takes a live counter: true if it is above all others.
    pub fn accept_live(&mut self, counter: Counter) -> bool {
        if counter.0 <= self.last {
            return false;
        }
        self.advance(counter.0);
        self.set(counter.0);
        true
    }

    /// Takes a counter of the past: true if it is within the window and new.
    pub fn accept_historical(&mut self, counter: Counter) -> bool {
        let in_window =
            counter.0 > 0 && counter.0 < self.last && self.last - counter.0 < HISTORY_WINDOW;
        if !in_window || self.has(counter.0) {
            return false;
        }
        self.set(counter.0);
        true
    }

    /// Joins what another window has seen of the same session.
    pub fn merge(&mut self, other: &Self) {
        let (mut newer, older) = if self.last >= other.last {
            (self.clone(), other)
        } else {
            (other.clone(), &*self)
        };
        for counter in older.last.saturating_sub(HISTORY_WINDOW - 1).max(1)..=older.last {
            if newer.last - counter < HISTORY_WINDOW && older.has(counter) {
                newer.set(counter);
            }
        }
        *self = newer;
    }

    /// The stored form, [`WINDOW_BYTES`] long.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.last.to_le_bytes());
        for word in self.bits {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// The inverse of [`Self::encode`]; `None` for bytes of another length.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (last, rest) = bytes.split_first_chunk::<8>()?;
        if bytes.len() != WINDOW_BYTES {
            return None;
        }
        let mut window = Self {
            last: u64::from_le_bytes(*last),
            bits: [0; WORDS],
        };
        for (word, bytes) in window.bits.iter_mut().zip(rest.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(window)
    }

    /// Moves the window up; what it newly covers is unseen.
    fn advance(&mut self, to: u64) {
        if to - self.last >= HISTORY_WINDOW {
            self.bits = [0; WORDS];
        } else {
            for counter in self.last + 1..=to {
                self.bits[word(counter)] &= !bit(counter);
            }
        }
        self.last = to;
    }

    fn has(&self, counter: u64) -> bool {
        self.bits[word(counter)] & bit(counter) != 0
    }

    fn set(&mut self, counter: u64) {
        self.bits[word(counter)] |= bit(counter);
    }
}

fn word(counter: u64) -> usize {
    ((counter % HISTORY_WINDOW) / 64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Model {
        last: u64,
        seen: HashSet<u64>,
    }

    impl Model {
        fn live(&mut self, counter: u64) -> bool {
            let fresh = counter > self.last;
            if fresh {
                self.last = counter;
                self.seen.insert(counter);
            }
            fresh
        }
        fn historical(&mut self, counter: u64) -> bool {
            counter > 0
                && counter < self.last
                && self.last - counter < HISTORY_WINDOW
                && self.seen.insert(counter)
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..1_500), 1..300)) {
            let mut window = CounterWindow::default();
            let mut model = Model::default();
            for (live, number) in steps {
                // Live counters creep up, with a jump beyond the window now and then.
                let counter = if live { model.last + number % 400 } else { model.last.saturating_sub(number) };
                let (ours, theirs) = if live {
                    (window.accept_live(Counter(counter)), model.live(counter))
                } else {
                    (window.accept_historical(Counter(counter)), model.historical(counter))
                };
                prop_assert_eq!(ours, theirs, "counter {}", counter);
                let mut bytes = Vec::new();
                window.encode(&mut bytes);
                prop_assert_eq!(CounterWindow::decode(&bytes), Some(window.clone()));
            }
        }

        #[test]
        fn merged_windows_know_what_either_saw(a in prop::collection::vec(1u64..3_000, 0..50), b in prop::collection::vec(1u64..3_000, 0..50)) {
            let window = |counters: &[u64]| {
                let mut window = CounterWindow::default();
                for counter in counters {
                    let _ = window.accept_live(Counter(*counter)) || window.accept_historical(Counter(*counter));
                }
                window
            };
            let (first, second) = (window(&a), window(&b));
            let mut merged = first.clone();
            merged.merge(&second);
            prop_assert_eq!(merged.last(), first.last().max(second.last()));
            for one in [&first, &second] {
                for counter in one.last.saturating_sub(1_023).max(1)..=one.last {
                    if one.has(counter) && merged.last - counter < HISTORY_WINDOW {
                        prop_assert!(merged.has(counter));
                    }
                }
            }
        }
    }

    #[test]
    fn window_ends_where_it_says() {
        let mut window = CounterWindow::default();
        assert!(window.accept_live(Counter(2_000)));
        assert!(!window.accept_historical(Counter(976)), "1,024 below");
        assert!(window.accept_historical(Counter(977)), "1,023 below");
        assert!(!window.accept_historical(Counter(977)), "seen");
        assert!(!window.accept_historical(Counter(0)));
    }
}
