//! Waits for the wish of whoever runs the process that it ends.
//!
//! Ctrl-C and a service manager's SIGTERM mean the same for every command: end in good order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens to SIGINT and SIGTERM from the moment it is made.
#[derive(Debug)]
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Begins to listen; from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// When the system does not let this process listen to them.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either. Safe to cancel.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
