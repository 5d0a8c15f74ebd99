//! Views: parts of the map that viewers look at, in chats with more sessions than a screen shows.
//!
//! A wish is widened to whole cells of one level ([`MapArea`]), so that viewers with like wishes share
//! what is encoded for them. Of its cells those come as rows whose sessions fit the budget
//! ([`ServedView`], [`ServedCells`]); everybody else is counted, from one sorted list of who is where
//! ([`Crowd`]).

mod area;
mod cells;
mod crowd;
mod crowds;
mod served;

pub use area::MapArea;
pub use cells::{Presence, ServedCells};
pub use crowd::Crowd;
pub(crate) use crowds::Crowds;
pub use served::ServedView;
