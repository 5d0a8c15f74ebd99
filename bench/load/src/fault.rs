//! What ends a viewer, a sender or a worker.

use std::io;

use skein_client::error::ClientError;
use skein_wire::error::WireError;

/// Why it cannot go on, and whose fault that is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Bytes that the protocol does not allow: the server's fault.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server said no, and what to do next.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
    /// The plan cannot be carried out here.
    #[error("{0}")]
    Plan(String),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Protocol(error.text.into_owned())
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::Plan(error.to_string())
    }
}
