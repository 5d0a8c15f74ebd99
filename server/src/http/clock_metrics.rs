//! How far the server's clock is from the machine's, for `GET /metrics`: it never runs backwards and does not
//! jump, so the two part when the machine's is set, or slept.

use crate::clock::Clock;
use crate::metrics::{Metric, MetricsBoard};

static CLOCK_METRICS: &[Metric] = &[
    Metric::gauge(
        "clock_ahead_milliseconds",
        "Milliseconds by which the server's clock is ahead of the machine's",
    ),
    Metric::gauge(
        "clock_behind_milliseconds",
        "Milliseconds by which the server's clock is behind the machine's",
    ),
];

/// Puts them on the board.
pub fn show(board: &mut MetricsBoard, clock: Clock) {
    board.asked(CLOCK_METRICS, move || {
        vec![clock.ahead_ms(), clock.behind_ms()]
    });
}
