//! Measures from the moment a walker hands a point over to the moment the viewer has it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use skein_wire::ids::{Counter, SessionId};

/// Longest latency that is told apart, microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Points under way and latencies of those that arrived. Shared by walkers and viewer.
#[derive(Debug)]
pub struct Stopwatch {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    under_way: HashMap<(SessionId, Counter), Instant>,
    latency_us: Histogram<u64>,
    shared: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Points that walkers handed over.
    pub shared: u64,
    /// Points that reached the viewer.
    pub delivered: u64,
    /// Median latency, microseconds.
    pub p50_us: u64,
    /// Latency that one in a hundred exceeds, microseconds.
    pub p99_us: u64,
}

impl Default for Stopwatch {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("valid bounds");
        let inner = Inner {
            under_way: HashMap::new(),
            latency_us,
            shared: 0,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }
}

impl Stopwatch {
    /// A walker hands a point over; `share` does it and gives its counter.
    pub fn start(&self, session: SessionId, share: impl FnOnce() -> Counter) {
        let mut inner = self.lock();
        let begun = Instant::now();
        let counter = share();
        inner.under_way.insert((session, counter), begun);
        inner.shared += 1;
    }

    /// The viewer has a point.
    pub fn stop(&self, session: SessionId, counter: Counter) {
        let mut inner = self.lock();
        if let Some(begun) = inner.under_way.remove(&(session, counter)) {
            let us = begun.elapsed().as_micros() as u64;
            inner.latency_us.saturating_record(us);
        }
    }

    /// What was measured so far.
    pub fn figures(&self) -> Figures {
        let inner = self.lock();
        Figures {
            shared: inner.shared,
            delivered: inner.latency_us.len(),
            p50_us: inner.latency_us.value_at_quantile(0.5),
            p99_us: inner.latency_us.value_at_quantile(0.99),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // The numbers are plain: a walker that panicked left none of them half-written.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::demo::stopwatch::Stopwatch;
    use skein_wire::ids::{Counter, SessionId};

    #[test]
    fn a_point_counts_as_delivered_once_and_only_if_it_was_shared() {
        let watch = Stopwatch::default();
        watch.start(SessionId(1), || Counter(1));
        watch.stop(SessionId(1), Counter(1));
        watch.stop(SessionId(1), Counter(1));
        watch.stop(SessionId(2), Counter(1));
        let figures = watch.figures();
        assert_eq!((figures.shared, figures.delivered), (1, 1));
    }
}
