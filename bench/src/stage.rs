//! A server with a publisher in front and viewers behind it, whoever they are.

use std::time::Duration;

use crate::audience::Arrival;
use crate::child::Child;

/// Ours and floors, measured by the same code.
pub trait Stage {
    /// Lets time pass in which peers acknowledge, then publishes once and waits for all viewers.
    /// `None`: the transport may lose messages, and lost one.
    ///
    /// # Panics
    /// If the server or a viewer is gone.
    fn publish(&mut self, pause: Duration) -> Option<Arrival>;

    /// How many viewers have what was published last.
    fn served(&self) -> usize;

    /// The server's process.
    fn server(&self) -> &Child;

    /// Bytes of memory that each viewer has added to the server, where that is known.
    fn viewer_bytes(&self) -> Option<f64> {
        None
    }
}
