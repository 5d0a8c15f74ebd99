//! Why the edge cannot start: the operator's to solve, each says how.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::access::error::AccessError;

/// The edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Somebody else has the port.
    #[error(
        "{address} ({what}) is in use; stop the program that has it, or choose another port with --{what}"
    )]
    Busy {
        /// Which address.
        address: SocketAddr,
        /// What was to be served there.
        what: &'static str,
    },
    /// The system does not give that address.
    #[error(
        "{address} ({what}) cannot be bound: {source}; check the address and the rights of this user"
    )]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What was to be served there.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A key or certificate cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The TLS library refuses the certificate or its own set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The kernel gives no ring, and the configuration wants nothing else.
    #[error(
        "io_uring cannot be used: {source}; it needs Linux 6.1, `kernel.io_uring_disabled` = 0 and a container that lets its system calls through; or set `shards.websocket_sends` to `auto`"
    )]
    NoRing {
        /// What the system said.
        source: io::Error,
    },
    /// The system has no descriptor or no memory left.
    #[error("the shard's sockets cannot be set up: {0}")]
    Io(#[from] io::Error),
}

impl EdgeError {
    /// Why `address`, where `what` was to be served, could not be bound.
    pub fn bind(address: SocketAddr, what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::Busy { address, what },
            _ => Self::Bind {
                address,
                what,
                source,
            },
        }
    }
}
