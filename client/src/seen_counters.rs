//! Which of a session's counters a viewer has already: the last one, and for `every` a bitmap below
//! it, because historical points come late and shared batches may begin before the viewer's cursor.

use crate::limits::SEEN_WINDOW;

const WORDS: usize = (SEEN_WINDOW / 64) as usize;

/// The counters seen so far.
#[derive(Clone, Debug)]
pub(crate) struct SeenCounters {
    last: u64,
    /// Bit `counter % SEEN_WINDOW` for the counters within the window. `None` for `latest`, which
    /// shows ascending counters only and must be cheap.
    window: Option<Box<[u64; WORDS]>>,
}

impl SeenCounters {
    /// Nothing seen; `every` says whether late ones can be told from known ones.
    pub fn new(every: bool) -> Self {
        Self {
            last: 0,
            window: every.then(|| Box::new([0; WORDS])),
        }
    }

    /// Notes a counter; false if it was there before or is too old to know.
    pub fn insert(&mut self, counter: u64) -> bool {
        if counter > self.last {
            self.advance(counter);
            return true;
        }
        let below = self.last - counter;
        let Some(window) = self.window.as_deref_mut() else {
            return false;
        };
        let (word, bit) = place(counter);
        if below >= SEEN_WINDOW || window[word] & bit != 0 {
            return false;
        }
        window[word] |= bit;
        true
    }

    fn advance(&mut self, counter: u64) {
        if let Some(window) = self.window.as_deref_mut() {
            if counter - self.last >= SEEN_WINDOW {
                window.fill(0);
            } else {
                for passed in self.last + 1..counter {
                    let (word, bit) = place(passed);
                    window[word] &= !bit;
                }
            }
            let (word, bit) = place(counter);
            window[word] |= bit;
        }
        self.last = counter;
    }
}

fn place(counter: u64) -> (usize, u64) {
    let index = counter % SEEN_WINDOW;
    ((index / 64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use crate::limits::SEEN_WINDOW;
    use crate::seen_counters::SeenCounters;

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(counters in prop::collection::vec(1u64..4_000, 0..400)) {
            let mut seen = SeenCounters::new(true);
            let (mut set, mut last) = (HashSet::new(), 0);
            for counter in counters {
                let known = counter + SEEN_WINDOW <= last || set.contains(&counter);
                prop_assert_eq!(seen.insert(counter), !known, "{}", counter);
                set.insert(counter);
                last = last.max(counter);
            }
        }
    }

    #[test]
    fn latest_shows_ascending_counters_only() {
        let mut seen = SeenCounters::new(false);
        assert_eq!(
            [3, 2, 3, 4].map(|counter| seen.insert(counter)),
            [true, false, false, true]
        );
    }
}
