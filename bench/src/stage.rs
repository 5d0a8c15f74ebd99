//! A server with a publisher in front and viewers behind it, whoever they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::Faults;
use crate::audience::Arrival;

/// Ours and floors, measured by the same code.
pub trait Stage {
    /// Lets time pass in which peers acknowledge, then publishes so many updates, each of another
    /// session, and waits until all viewers have all of them. `None`: the transport may lose
    /// messages, and lost one.
    ///
    /// # Panics
    /// If the server or a viewer is gone.
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival>;

    /// Updates that viewers got of what was published last, all viewers together.
    fn delivered(&self) -> usize;

    /// Processor time of the server so far.
    fn server_time(&self) -> Duration;

    /// Time after which nothing is left to do for the server, acknowledgements included.
    fn settle(&mut self);

    /// Bytes of memory that each viewer has added to the server, where that is known.
    fn viewer_bytes(&self) -> Option<f64> {
        None
    }

    /// Bytes that a viewer gets for one update.
    fn message_bytes(&self) -> usize;

    /// Lets every session move once a second for a while, and counts what viewers get.
    fn stream(&mut self, _seconds: u64) -> Option<Streamed> {
        None
    }
}

/// What became of a stream of movements.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Streamed {
    /// Positions that viewers got, all viewers together.
    pub positions: u64,
    /// Positions that were published, times the viewers.
    pub owed: u64,
    /// What of it did not arrive once and in its turn.
    pub faults: Faults,
    /// Processor time of the server, seconds.
    pub server_s: f64,
    /// Mean age of a position when a viewer has it, milliseconds.
    pub age_ms: f64,
}
