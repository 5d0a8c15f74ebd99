//! The processor time of this thread: what benches measure whose sides only compute.
//!
//! On a quiet machine it is the time on the wall. On a shared one it leaves out what others did
//! on the core meanwhile, which is in neither side's figure then. Whatever waits (for a disk, for
//! a peer) is measured on the wall instead.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread so far.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Processor time of this thread since `began`, which [`now`] gave.
pub fn since(began: Duration) -> Duration {
    now().saturating_sub(began)
}

/// Makes criterion measure it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, began: Duration) -> Duration {
        since(began)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
