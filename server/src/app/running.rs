//! What runs until it is told to stop: a server or a relay.

use crate::app::ready::Ready;

/// A process's main part.
pub trait Running {
    /// Where it listens.
    fn ready(&self) -> &Ready;

    /// Reads keys, certificates and the control API's tokens again, for new connections and requests.
    /// What cannot be read stays as it was.
    ///
    /// # Errors
    /// What could not be read.
    fn reload(&self) -> anyhow::Result<()>;

    /// Says goodbye to everybody and ends in good order.
    ///
    /// # Errors
    /// What could not be ended so.
    fn stop(self) -> anyhow::Result<()>;
}
