//! Wall-clock milliseconds that never go back, for the states without I/O.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock as it was once, and a monotone one since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base_ms: u64,
    since: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Set by the wall clock now.
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            base_ms: wall.map_or(0, |wall| wall.as_millis() as u64),
            since: Instant::now(),
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.base_ms + self.since.elapsed().as_millis() as u64
    }

    /// When the clock shows that; never earlier than asked for.
    pub fn instant(&self, at_ms: u64) -> Instant {
        // A millisecond that has begun is not over: round up, or a sleeper wakes too early and spins.
        self.since + Duration::from_millis(at_ms.saturating_sub(self.base_ms) + 1)
    }
}
