//! A running peer with its senders in front and its viewers behind it.

use anyhow::Result;

use crate::crowd::Crowd;
use crate::process::Process;
use crate::protocol::Protocol;
use crate::tally::Tally;

/// All peers that fan out look like this to what measures them.
pub trait Stage {
    /// Connects more viewers.
    ///
    /// # Errors
    /// If the server refuses one.
    fn add_viewers(&mut self, more: usize, tally: &mut Tally) -> Result<()>;

    /// Publishes the position of a session with this counter.
    ///
    /// # Errors
    /// If a connection is lost.
    fn publish(&mut self, session: u32, counter: u64) -> Result<()>;

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// If a connection is lost, or the server says what nobody understands.
    fn poll(&mut self, tally: &mut Tally) -> Result<()>;

    /// The server's processes: all that it needs on the servers' core.
    fn processes(&self) -> &[Process];
}

/// A server whose senders and viewers connect to the same port.
pub struct TcpStage<P> {
    crowd: Crowd<P>,
    processes: Vec<Process>,
}

impl<P: Protocol> TcpStage<P> {
    /// The senders are connected already, the viewers come later.
    pub fn new(crowd: Crowd<P>, processes: Vec<Process>) -> Self {
        Self { crowd, processes }
    }
}

impl<P: Protocol> Stage for TcpStage<P> {
    fn add_viewers(&mut self, more: usize, tally: &mut Tally) -> Result<()> {
        self.crowd.add_viewers(more, tally)
    }

    fn publish(&mut self, session: u32, counter: u64) -> Result<()> {
        self.crowd.publish(session, counter)
    }

    fn poll(&mut self, tally: &mut Tally) -> Result<()> {
        self.crowd.poll(tally)
    }

    fn processes(&self) -> &[Process] {
        &self.processes
    }
}
