//! From the latest tables to the viewers: cursors, paces, shared batches, walks.
//!
//! A viewer is a cursor in its chat's table; there is no queue. A pass walks the viewers of the
//! chats that changed and of those that became able to take something, and offers each the shared
//! batch with the greatest `from` at or below its cursor. At most twelve batches are built per chat
//! and kind of watch while a walk lasts: from 1, 2, 5, 12 and 32 walks ago, from the smallest cursor
//! of those who were away for longer, from the horizon, and from 0 with each length of trail.
//!
//! Invariants worth naming:
//! - A cursor moves only by what the transport took, and back only by a complaint.
//! - While a stream of a viewer is open, nothing else of that chat is offered to it.
//! - A viewer is in at most one list: ready (walked), able (looked at by itself), or in none
//!   because its transport or its interval is not ready for it.
//! - Nothing is allocated per viewer in a pass.

mod batch_cache;
mod chat_viewers;
mod cohorts;
mod heads;
mod machine;
mod pacing;
mod report;
mod returning;
mod scope_viewers;
mod slice;
mod timers;
mod viewer;
mod views;
mod walk;

pub use heads::BATCHES_PER_SCOPE_MAX;
pub use machine::{FanOut, WatchSpec};
pub use pacing::Pacing;
pub use report::FanOutReport;
pub use viewer::VIEWER_BYTES_MAX;
pub use views::Views;
