//! The record of views: who saw whom, from when until when, for those who were seen. Off unless it is
//! configured.
//!
//! ```text
//!   shard, a watch begins or ends ──bounded channel──▶ thread ──▶ database
//!   control log, sessions begin and end ──feed───────────┘
//! ```
//!
//! A row is a watch, of a whole chat or of one session; whom it showed follows from the times of the
//! sessions when somebody asks. Shards never wait: what the channel cannot take is counted, and said in
//! answers.

pub mod limits;
pub mod stats;

pub mod erase;
pub mod store;

pub mod idle;

pub mod thread;

pub mod handle;
