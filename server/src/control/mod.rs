//! The control log: promises of a data directory, made durable before they are acknowledged.
//!
//! ```text
//!   shards --propose--> bounded channel --> control thread: [ControlCore]
//!                                             append all that waits, one checked sync, apply
//!   shards <--committed / rejected-----------+        |
//!                                                     v
//!   event streams <--follow by index-------- control log (partition 0 of a log of its own)
//! ```
//!
//! [`core`] has neither thread nor clock, so that the simulation drives the same code;
//! [`thread`] puts it behind channels. `docs/CONTROL_RECORDS.md` draws the records.

pub mod codec;
pub mod limits;
pub mod record;

pub mod checkpoint;
pub mod erased;
pub mod recovery;
pub mod voids;

pub mod core;

pub mod stats;

pub mod event_place;
pub mod feed;
pub mod thread;
