//! An estimate of the server's clock from the times in its frames, and ages judged by it.
//!
//! Two device clocks are never compared: an age is server time minus the fix's own time, clamped to
//! what can be true.

use crate::limits::{CAPTURED_AHEAD_MS, CAPTURED_BEFORE_START_MS, CLOCK_JUMP_MS};

/// Server time relative to the local clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock {
    offset_ms: Option<i64>,
}

impl ServerClock {
    /// Takes a server time that has just arrived. The frame with the least delay knows best, so the
    /// greatest offset stands until it is far off (one of the clocks was set).
    pub fn observe(&mut self, now_ms: u64, server_time_ms: u64) {
        let sample = server_time_ms as i64 - now_ms as i64;
        let keep = |offset: i64| sample <= offset && offset - sample < CLOCK_JUMP_MS;
        if !self.offset_ms.is_some_and(keep) {
            self.offset_ms = Some(sample);
        }
    }

    /// Server time now, milliseconds since 1970; the local one until the server has said anything.
    pub fn server_time_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.offset_ms.unwrap_or(0))
    }

    /// Age of a fix, judged by the server's clock.
    pub fn age(&self, now_ms: u64, captured_at_ms: i64, started_at_ms: u64) -> Age {
        let now = self.server_time_ms(now_ms) as i64;
        let earliest = started_at_ms as i64 - CAPTURED_BEFORE_START_MS as i64;
        let latest = (now + CAPTURED_AHEAD_MS as i64).max(earliest);
        let captured = captured_at_ms.clamp(earliest, latest);
        Age {
            ms: (now - captured).max(0) as u64,
            clamped: captured != captured_at_ms,
        }
    }
}

/// How old a fix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Milliseconds.
    pub ms: u64,
    /// The device's own time cannot be true; this is the nearest that can.
    pub clamped: bool,
}

#[cfg(test)]
mod tests {
    use crate::server_clock::{Age, ServerClock};

    #[test]
    fn ages_are_clamped_to_what_can_be_true() {
        let mut clock = ServerClock::default();
        clock.observe(5_000, 1_000_000);
        let age = |captured| clock.age(6_000, captured, 900_000);
        let plain = |ms| Age { ms, clamped: false };
        assert_eq!(age(1_000_500), plain(500));
        assert_eq!(
            age(1_002_500),
            plain(0),
            "1.5 s ahead is a clock, not a lie"
        );
        assert_eq!(
            age(i64::MAX),
            Age {
                ms: 0,
                clamped: true
            }
        );
        assert_eq!(
            age(-2_147_483_647_793),
            Age {
                ms: 401_000,
                clamped: true
            }
        );
    }

    #[test]
    fn the_least_delayed_frame_knows_best() {
        let mut clock = ServerClock::default();
        clock.observe(1_000, 50_900);
        clock.observe(2_000, 52_000);
        clock.observe(3_000, 52_400);
        assert_eq!(clock.server_time_ms(4_000), 54_000);
        clock.observe(4_000, 20_000);
        assert_eq!(clock.server_time_ms(4_000), 20_000, "a clock was set");
    }
}
