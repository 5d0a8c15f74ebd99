//! What the crowd of TCP viewers must know of a kind of server.
//!
//! One value serves all viewers of a process, so that what many of them get alike (the same
//! batch, most of the time) is parsed once.

use crate::fault::Fault;
use crate::sink::Sink;

/// A viewer's half of a protocol over TCP or TLS.
pub trait Protocol {
    /// What is kept for each viewer.
    type Viewer;

    /// Viewer number `seat` of this process is connected: its state, and the bytes it says first.
    fn greet(&mut self, seat: &Seat) -> (Self::Viewer, Vec<u8>);

    /// Takes all whole messages off the front of `input` and says how many bytes those were.
    /// The rest comes again, with more behind it.
    ///
    /// # Errors
    /// What ends this viewer: it counts as lost.
    fn take(
        &mut self,
        viewer: &mut Self::Viewer,
        input: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, Fault>;

    /// Whether the server has confirmed that this viewer watches.
    fn is_watching(&self, viewer: &Self::Viewer) -> bool;

    /// What a viewer says now and then so that the server does not take it for dead; may be
    /// nothing.
    fn keep_alive(&mut self, viewer: &mut Self::Viewer) -> Vec<u8>;
}

/// Who a viewer is.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its number among the viewers of the run, from 0.
    pub viewer: u32,
    /// Which chat it watches, as an index of the plan.
    pub chat: u32,
    /// The token it shows, if the plan has one.
    pub token: String,
}
