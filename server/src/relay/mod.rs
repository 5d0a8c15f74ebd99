//! The link of a relay: the engine's hub, joined with a client's connection to the upstream.

pub mod metrics;
pub mod said;
pub mod upstream;

pub mod link_core;

pub mod link;

pub mod thread;
