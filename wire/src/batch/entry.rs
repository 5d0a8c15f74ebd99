//! One row of a batch, as it is written and as it is read.

use crate::ids::{Counter, SessionId, Slot, UserName};
use crate::point::{Payload, Point};
use crate::update::SessionState;

/// Who shares, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The session.
    pub session: SessionId,
    /// Its member.
    pub user: UserName,
    /// Server time of its start, milliseconds since 1970.
    pub started_at_ms: u64,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Exact counter of the row's newest point; 0 = none yet.
    pub counter: Counter,
    /// Points are sealed blobs.
    pub sealed: bool,
}

/// A state and when it was entered (ended, stale) or last confirmed (stationary).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMark {
    /// The state.
    pub state: SessionState,
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
}

/// One row to be written. What is `None` or empty has not changed since `from`.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// The session's place in the table.
    pub slot: Slot,
    /// Present iff it changed since `from`.
    pub descriptor: Option<&'a Descriptor>,
    /// The newest point, present iff it changed since `from`.
    pub point: Option<&'a Point>,
    /// Write the counter whole: its distance from the counter at `from` is not known to be below 256.
    /// (With a descriptor the counter is exact anyway.)
    pub counter_whole: bool,
    /// `every` only. 0: nothing since `from` is missing here. Otherwise, and always in a full
    /// batch: how many of the session's points so far this entry does not list. A viewer subtracts
    /// those it has had and so knows exactly how many it has lost, wherever its cursor was.
    pub skipped: u64,
    /// Present iff it changed since `from`.
    pub state: Option<StateMark>,
}

/// The counter of an entry's point as it stands in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireCounter {
    /// Low byte; see [`WireCounter::widen`].
    Low(u8),
    /// Exact.
    Whole(Counter),
}

impl WireCounter {
    /// The exact counter for a viewer that has `known` as the session's newest counter:
    /// the smallest value at or above `known` with this low byte.
    pub fn widen(self, known: Counter) -> Counter {
        match self {
            Self::Whole(counter) => counter,
            Self::Low(low) => Counter(known.0 + u64::from(low.wrapping_sub(known.0 as u8))),
        }
    }
}

/// The newest point of an entry, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestPoint {
    /// Its counter, perhaps to be widened.
    pub counter: WireCounter,
    /// Device time, milliseconds since 1970.
    pub captured_at_ms: i64,
    /// Fix or blob.
    pub payload: Payload,
}

/// A point before the newest one, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierPoint {
    /// How far its counter lies behind the newest one's; at least 1.
    pub behind: u64,
    /// Device time, milliseconds since 1970.
    pub captured_at_ms: i64,
    /// Fix or blob.
    pub payload: Payload,
}

/// One row, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The session's place in the table.
    pub slot: Slot,
    /// Present iff it changed since `from`.
    pub descriptor: Option<Descriptor>,
    /// The newest point, present iff it changed since `from`.
    pub point: Option<NewestPoint>,
    /// Earlier points, oldest first.
    pub earlier: Vec<EarlierPoint>,
    /// `every` only. 0: nothing since `from` is missing here. Otherwise the session's points so
    /// far that are not listed here. With `had` = points the viewer has counted for this session
    /// (0 for one that began after its cursor; in a full batch an unknown session starts at
    /// `skipped` + listed, with nothing lost) and `new` = listed ones it did not have:
    /// lost = `skipped` + listed - `had` - `new`, and its count becomes `skipped` + listed.
    pub skipped: u64,
    /// Present iff it changed since `from`.
    pub state: Option<StateMark>,
}
