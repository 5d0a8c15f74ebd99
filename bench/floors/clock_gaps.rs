//! Floor of a writer's worst stall: the same thread, between its passes, does nothing but look at
//! the clock; the longest time between two looks is what the machine itself takes away.
//!
//! There is no range to expect: a timer's interrupt costs 2 us, a neighbour on the host
//! milliseconds.

use std::time::{Duration, Instant};

/// Looks at the clock until `end`; the longest time between two looks.
pub fn longest_until(end: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    while last < end {
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    longest
}
