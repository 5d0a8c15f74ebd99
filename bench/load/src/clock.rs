//! The one clock of a run: the machine's monotonic clock, the same in every process.
//!
//! When a point should have been sent is known to all processes from the schedule, so no payload
//! carries a time, and no wall clock that somebody may set is believed.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock of this machine, since it was started.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The kernel counts this clock from 0.
    time.tv_sec.unsigned_abs() * SECOND_NS + time.tv_nsec.unsigned_abs()
}

/// Seconds as nanoseconds; nothing below 0, and no overflow above.
pub fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
}
