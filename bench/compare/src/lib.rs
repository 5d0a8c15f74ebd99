//! skein beside its peers: the same positions, the same loader, in turn on the same core.
//!
//! Three kinds of peers are measured: those that carry positions from senders to viewers, those
//! that have a log, and plain servers over QUIC. Each server runs in a process of its own on the
//! first core; the loader, one thread of this process, has the last one. Every delivery is checked:
//! a peer that loses, doubles or swaps a position has no figures.
//!
//! A package of its own, and no default member of the workspace: nobody who works on the product
//! builds it. Embedded rivals are further away, in `logs/`, because they need crates that the
//! product does not admit.

// The ground floor: what is carried, what is counted.
pub mod effort;
pub mod position;

pub mod figure;
pub mod sink;

pub mod tally;

// The loader: protocols, connections, processes.
pub mod protocol;

pub mod codec;

pub mod line;
pub mod process;

pub mod crowd;

pub mod stage;

pub mod patience;

// The peers.
pub mod peer;

pub mod broadcast;

pub mod peers;

pub mod log_peer;

pub mod log_peers;

// What is measured, and what is made of it.
pub mod measure;

pub mod interrupt;
pub mod machine;
pub mod options;

pub mod results;

pub mod table;

pub mod run;
pub mod scale;

pub mod report;

pub mod repeats;
