//! What the loader must know of a kind of server: how a viewer joins, how its messages are cut,
//! how a sender joins and publishes.
//!
//! All of them are written at the same level, bytes in, bytes out, so that the loader costs the
//! same whatever it loads.

use anyhow::Result;

use crate::sink::Sink;

/// Both halves of a peer's protocol over TCP.
pub trait Protocol {
    /// What a viewer says first.
    fn viewer_greeting(&self, viewer: usize) -> Vec<u8>;

    /// What the sender of a session says first.
    fn sender_greeting(&self, session: u32) -> Vec<u8>;

    /// Takes all whole messages off the front of what a viewer has got, and says how many bytes
    /// that were. What is to be answered goes to `out`.
    ///
    /// # Errors
    /// If the server refuses or says what nobody understands.
    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize>;

    /// The same for what a sender has got.
    ///
    /// # Errors
    /// If the server refuses or says what nobody understands.
    fn take_as_sender(
        &mut self,
        session: u32,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize>;

    /// The bytes with which a session publishes the position with this counter.
    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>);
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineState {
    /// The server has accepted the connection, as far as the protocol distinguishes that.
    pub greeted: bool,
    /// A viewer watches, a sender may publish.
    pub ready: bool,
}
