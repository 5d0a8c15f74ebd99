//! The demo: walkers that share, a viewer that shows, a server between them, in one process.
//!
//! Nothing of it is a short cut: the walkers are clients over real QUIC, the server keeps its log
//! in a directory that is gone afterwards, and the figures are measured at the viewer.

pub mod walker;

pub mod stopwatch;

pub mod party;

pub mod run;
