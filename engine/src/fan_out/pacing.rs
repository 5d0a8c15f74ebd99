//! How often the changes of a chat go out.
//!
//! A quiet chat's change goes out at once. The next walk of that chat comes not before its interval, which is
//! the greater of two:
//! - a floor, known beforehand: none for a small chat, and growing with viewers times rows, so that one send
//!   carries many rows where a send is what costs;
//! - for a chat that does not fit into one turn, twice what a walk costs, as its last walks have shown: its viewers
//!   leave half of a core to everybody else, whatever the transport, the machine and its neighbours make of a send.
//!
//! Both end at a ceiling, which wins: beyond it a chat is served as fast as the core can, in turn with the others.
//!
//! The engine has no clock. What was spent is told by the caller after a pass, see [`crate::fan_out::FanOut::note_cost`];
//! without a word of it the floor is all there is.

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

/// Viewers of one chat looked at before another chat has its turn: about a millisecond of sends,
/// so that a very large chat never delays the others of a core. A chat with no more of them is not paced by its cost: a walk is
/// over within its turn, and what a pass cost beside it would only be noise.
pub(crate) const VIEWERS_PER_SLICE: usize = 256;

/// A walk takes at most one part in so many of the core's time, as far as the ceiling lets it.
const CORE_PARTS: u64 = 2;

/// The last walk counts as one of so many: what a neighbour on the machine took once is forgotten within a few walks, and
/// a lasting change is learned in as many.
const WALKS_LEARNED: u64 = 4;

/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// Settings of the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Longest interval between two walks, milliseconds.
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
    /// Shortest time between two walks of a chat, milliseconds, whose viewers cost `viewer_ns` each in a walk.
    fn interval_ms(&self, viewers: usize, rows: usize, viewer_ns: u64) -> u64 {
        let floor = floor_ms(viewers as u64, rows as u64);
        let share = match viewers > VIEWERS_PER_SLICE {
            true => {
                viewer_ns
                    .saturating_mul(viewers as u64)
                    .saturating_mul(CORE_PARTS)
                    / NS_PER_MS
            }
            false => 0,
        };
        floor.max(share).min(self.floor_interval_ms_max)
    }
}

/// What is known before anything was measured.
fn floor_ms(viewers: u64, rows: u64) -> u64 {
    let sends = viewers.saturating_mul(rows + ROWS_FREE) / VIEWER_ROWS_PER_MS;
    sends + rows / ROWS_ENCODED_PER_MS
}

/// When a chat's next walk may begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    due: Timestamp,
    interval_ms: u64,
    /// What the chat has cost since its last walk began, nanoseconds.
    spent_ns: u64,
    /// What a viewer costs from one walk to the next, as the last walks have shown, nanoseconds; 0 = not known.
    viewer_ns: u64,
}

impl Pacer {
    /// When the next walk may begin.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// Interval in force, milliseconds.
    pub(crate) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// So much was spent on the chat: on a walk, and on viewers that came or could take something in between.
    pub(crate) fn spend(&mut self, cost_ns: u64) {
        self.spent_ns = self.spent_ns.saturating_add(cost_ns);
    }

    /// A walk over so many viewers begins.
    pub(crate) fn begin(&mut self, now: Timestamp, pacing: &Pacing, viewers: usize, rows: usize) {
        self.learn(viewers as u64);
        self.interval_ms = pacing.interval_ms(viewers, rows, self.viewer_ns);
        self.due = now.plus_ms(self.interval_ms);
    }

    fn learn(&mut self, viewers: u64) {
        let last = std::mem::take(&mut self.spent_ns) / viewers.max(1);
        self.viewer_ns = match self.viewer_ns {
            0 => last,
            known => known - known / WALKS_LEARNED + last / WALKS_LEARNED,
        };
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
                pacing.interval_ms(viewers, rows, 0),
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

    #[test]
    fn what_a_walk_costs_is_half_of_the_interval_between_floor_and_ceiling() {
        let pacing = Pacing::default();
        let check = |viewers, viewer_us: u64, expected| {
            assert_eq!(
                pacing.interval_ms(viewers, 1, viewer_us * 1_000),
                expected,
                "{viewers} viewers of {viewer_us} us"
            );
        };
        // The floor is 33 ms.
        check(10_000, 1, 33);
        check(10_000, 4, 80);
        check(10_000, 15, 300);
        check(10_000, 60, 1_000);
        // One turn is not paced by its cost.
        check(256, 1_000, 0);
        check(257, 1_000, 514);
        check(usize::MAX / 2, u64::MAX / 1_000, 1_000);
    }
}
