//! How often the changes of a chat go out.
//!
//! A quiet chat's change goes out at once. The next walk of that chat comes not before its floor
//! interval: none for a small chat, and growing with viewers times rows up to a ceiling, so that
//! one send carries many rows where a send is what costs.

use crate::time::Timestamp;

/// Viewer-rows per millisecond of floor interval: 10,000 viewers of 1,000 rows reach the ceiling
/// of a second, where a send carries a second's worth of 1 Hz senders; 300 viewers of one walker
/// have no floor at all.
const VIEWER_ROWS_PER_MS: u64 = 10_000;

/// A send of one row costs about as much as one of this many: 512 bytes go for the price of 48.
const ROWS_FREE: u64 = 32;

/// Rows encoded per millisecond at a tenth of a core: keeps a chat of very many rows and few
/// viewers from being encoded in every pass.
const ROWS_ENCODED_PER_MS: u64 = 1_000;

/// Settings of the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Longest floor interval, milliseconds.
    pub floor_interval_ms_max: u64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            floor_interval_ms_max: 1_000,
        }
    }
}

impl Pacing {
    /// Shortest time between two walks of a chat, milliseconds.
    pub fn floor_interval_ms(&self, viewers: usize, rows: usize) -> u64 {
        let (viewers, rows) = (viewers as u64, rows as u64);
        let sends = viewers.saturating_mul(rows + ROWS_FREE) / VIEWER_ROWS_PER_MS;
        let encoding = rows / ROWS_ENCODED_PER_MS;
        (sends + encoding).min(self.floor_interval_ms_max)
    }
}

/// When a chat's next walk may begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    due: Timestamp,
    floor_ms: u64,
}

impl Pacer {
    /// When the next walk may begin.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// Floor interval in force, milliseconds.
    pub(crate) fn floor_ms(&self) -> u64 {
        self.floor_ms
    }

    /// A walk begins.
    pub(crate) fn begin(&mut self, now: Timestamp, floor_ms: u64) {
        self.floor_ms = floor_ms;
        self.due = now.plus_ms(floor_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_chats_have_no_floor_and_large_ones_a_ceiling() {
        let pacing = Pacing::default();
        let check = |viewers, rows, expected| {
            assert_eq!(
                pacing.floor_interval_ms(viewers, rows),
                expected,
                "{viewers} viewers, {rows} rows"
            );
        };
        check(0, 0, 0);
        check(1, 1, 0);
        check(300, 1, 0);
        check(1_000, 1, 3);
        check(10_000, 1_000, 1_000);
        check(1, 10_000, 11);
        check(usize::MAX, usize::MAX / 2, 1_000);
    }
}
