//! History: one point per session and window of time, kept in SQLite for as long as is asked for.
//! Off unless it is configured.
//!
//! ```text
//!   log, durable records ──▶ thread ──▶ sampler: first of its window? ──▶ store: one transaction
//!                              │                                           rows + places
//!                              └─▶ the log's consumer `history` is told, so that the lag is seen
//! ```
//!
//! How far the log was read stands in the same transaction as the rows that came from it, so each
//! record counts exactly once, whenever the process dies. Nothing here runs on a shard, and nothing
//! that fails here stops a shard.

pub mod error;
pub mod limits;
pub mod stats;

pub mod sampler;

pub mod erase;
pub mod row;

pub mod schema;
pub mod store;

pub mod query;

pub mod message;
pub mod thread;

pub mod handle;
pub mod idle;

#[cfg(test)]
mod tests;
