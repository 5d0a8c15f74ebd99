//! A shard in the server: the engine joined with the log, on a pinned thread of its own.
//!
//! [`core::Core`] is the deterministic part that the simulation runs too; the rest is what it meets
//! in a process: rings, inboxes, wake-ups, sockets.

pub mod inbox;
pub mod peers;
pub mod ports;
pub mod silent_ports;

pub mod gateway;

pub mod appends;
pub mod followers;
pub mod log_writer;
pub mod rereads;

pub mod core;

pub mod recovery;

pub mod metrics;

pub mod server_ports;
pub mod thread;
