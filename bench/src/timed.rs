//! Blocks of a loop that only computes: how often it goes round in the time of a block, and its
//! rate by the processor time of this thread.

use std::time::Duration;

use crate::thread_time;

/// A loop that goes round as often as it is told.
pub struct Block<F> {
    work: F,
    iterations: u64,
}

impl<F: FnMut(u64)> Block<F> {
    /// Finds out how many iterations last about as long as `block`.
    pub fn new(block: Duration, mut work: F) -> Self {
        let mut iterations = 1;
        loop {
            let took = time(&mut work, iterations);
            if took * 4 >= block {
                let scale = block.as_secs_f64() / took.as_secs_f64().max(1e-9);
                let iterations = ((iterations as f64 * scale) as u64).max(1);
                return Self { work, iterations };
            }
            iterations *= 2;
        }
    }

    /// Measures one block: seconds per iteration.
    pub fn seconds_each(&mut self) -> f64 {
        time(&mut self.work, self.iterations).as_secs_f64() / self.iterations as f64
    }

    /// Measures one block: `amount` per second, where an iteration does `amount`.
    pub fn rate(&mut self, amount: f64) -> f64 {
        amount / self.seconds_each()
    }

    /// Measures one block: nanoseconds of one of the `parts` of an iteration.
    pub fn nanos_of(&mut self, parts: usize) -> f64 {
        self.seconds_each() * 1e9 / parts as f64
    }
}

fn time(work: &mut impl FnMut(u64), iterations: u64) -> Duration {
    let began = thread_time::now();
    work(iterations);
    thread_time::since(began)
}
