//! Webhooks: chat events pushed to addresses of the chat service, signed, in order, at least once.
//!
//! ```text
//!   control log ──feed──▶ one task per address: batch ─▶ POST, signed ─▶ 2xx? ─▶ place moves on
//!                                                 ▲             │ no
//!                                                 └─ back-off ◀─┴─ too often? ─▶ dead letters, place moves on
//! ```
//!
//! An address is a place in the control log and nothing else: no queue, whatever it missed. Places and
//! dead letters stand in one small database, and move in one transaction: a restart goes on where an
//! address has acknowledged, and a batch that was given up is in the list, or still to be sent. Nothing
//! here runs on a shard, and nothing that fails here stops anything else.

pub mod limits;

pub mod erase;
pub mod message;
pub mod signer;
pub mod stats;
pub mod store;

pub mod idle;

pub mod target;

pub mod handle;
