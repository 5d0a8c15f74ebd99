//! A rate limit in one number: the generic cell rate algorithm.
//!
//! Instead of a bucket that must be refilled it keeps the moment at which the bucket would be full
//! again; idle sessions cost nothing.

use crate::time::Timestamp;

/// Microseconds in a millisecond: whole milliseconds are too coarse for 300 a second.
const MICROS: u64 = 1_000;

/// How much may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval_us: u64,
    tolerance_us: u64,
}

impl RateLimit {
    /// `per_second` sustained, `burst` at once after a pause. Zeros count as one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = 1_000_000 / u64::from(per_second.max(1));
        Self {
            interval_us,
            tolerance_us: interval_us * u64::from(burst.max(1) - 1),
        }
    }
}

/// State of one limited source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    full_at_us: u64,
}

impl Rate {
    /// Takes one: true if it is within the limit. A refused one costs nothing.
    pub fn take(&mut self, now: Timestamp, limit: RateLimit) -> bool {
        let now_us = now.0.saturating_mul(MICROS);
        let full_at_us = self.full_at_us.max(now_us);
        if full_at_us - now_us > limit.tolerance_us {
            return false;
        }
        self.full_at_us = full_at_us.saturating_add(limit.interval_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &mut Rate, now_ms: u64, tries: u32) -> usize {
        let limit = RateLimit::new(100, 200);
        (0..tries)
            .filter(|_| rate.take(Timestamp(now_ms), limit))
            .count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut rate = Rate::default();
        assert_eq!(taken(&mut rate, 1_000, 1_000), 200);
        assert_eq!(taken(&mut rate, 1_100, 1_000), 10);
        assert_eq!(taken(&mut rate, 2_100, 1_000), 100);
        assert_eq!(taken(&mut rate, 60_000, 1_000), 200, "a pause fills it");
    }

    #[test]
    fn a_clock_that_stands_or_steps_back_only_refuses() {
        let mut rate = Rate::default();
        assert_eq!(taken(&mut rate, 1_000, 200), 200);
        assert_eq!(taken(&mut rate, 0, 10), 0);
    }
}
