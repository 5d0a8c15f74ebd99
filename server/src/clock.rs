//! The server's clock: milliseconds since 1970 that never run backwards.
//!
//! The wall clock is read once, when the server starts; from then on the monotonic clock
//! counts. A wall clock that jumps therefore neither ends sessions early nor revives them, and
//! all shards agree, because they share one anchor. Timers and promises use this clock, wall
//! time is only its origin.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotone clock, cheap to copy; all copies agree.
///
/// ```
/// let clock = skein_server::clock::Clock::start();
/// let copy = clock;
/// assert!(copy.now_ms() <= clock.now_ms());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_ms: u64,
}

impl Clock {
    /// Anchors the clock at the wall clock's time of now. A wall clock before 1970 counts as 1970.
    pub fn start() -> Self {
        Self::anchored(0)
    }

    /// Like [`Clock::start`], but never before `not_before_ms`, the newest time the data
    /// directory has seen: a wall clock set back while the server was down does not bring
    /// back what had ended.
    pub fn anchored(not_before_ms: u64) -> Self {
        Self {
            origin: Instant::now(),
            origin_ms: wall_ms().max(not_before_ms),
        }
    }

    /// By how many milliseconds it is ahead of the wall clock, as that stands now.
    pub fn ahead_ms(&self) -> u64 {
        self.now_ms().saturating_sub(wall_ms())
    }

    /// By how many milliseconds it is behind: the wall clock was set forward, or the machine slept.
    pub fn behind_ms(&self) -> u64 {
        wall_ms().saturating_sub(self.now_ms())
    }

    /// Milliseconds since 1970, never less than an earlier reading of any copy.
    pub fn now_ms(&self) -> u64 {
        let elapsed = self.origin.elapsed().as_millis();
        self.origin_ms
            .saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The moment at which [`Clock::now_ms`] begins to say `at_ms`; the start for what was before.
    pub fn instant(&self, at_ms: u64) -> Instant {
        let since = Duration::from_millis(at_ms.saturating_sub(self.origin_ms));
        self.origin.checked_add(since).unwrap_or(self.origin)
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_wall_clock_set_back_does_not_move_the_server_back() {
        let far = 4_000_000_000_000;
        let clock = Clock::anchored(far);
        assert!(clock.now_ms() >= far);
        assert!(clock.ahead_ms() > 1_000_000, "and it says so");
        assert_eq!(clock.behind_ms(), 0);
        assert_eq!(
            Clock::start().ahead_ms() / 1_000,
            0,
            "of its own it is right"
        );
    }
}
