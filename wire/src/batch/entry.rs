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
    /// The exact counter for a viewer that last read `known` as this session's counter, from the
    /// descriptor or the point of the batches it applied: the smallest value at or above `known`
    /// with this low byte.
    ///
    /// `known` is what the *batches* said, even where the viewer goes on showing a point with a
    /// greater counter that a crashed server has lost: widening from that one would overshoot.
    ///
    /// ```
    /// use skein_wire::batch::WireCounter;
    /// use skein_wire::ids::Counter;
    /// assert_eq!(WireCounter::Low(4).widen(Counter(250)), Counter(260));
    /// ```
    pub fn widen(self, known: Counter) -> Counter {
        match self {
            Self::Whole(counter) => counter,
            Self::Low(low) => {
                let ahead = u64::from(low.wrapping_sub(known.0 as u8));
                Counter(known.0.saturating_add(ahead))
            }
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

impl EarlierPoint {
    /// Its counter, behind the widened one of the newest point; `None` when that is impossible
    /// (the server's fault: ignore the point).
    pub fn counter(&self, newest: Counter) -> Option<Counter> {
        let counter = newest.0.checked_sub(self.behind)?;
        (counter > 0).then_some(Counter(counter))
    }
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

#[cfg(test)]
mod tests {
    use crate::batch::entry::WireCounter;
    use crate::ids::Counter;
    use crate::varint;

    fn widen(known: u64, newest: u64) -> u64 {
        WireCounter::Low(newest as u8).widen(Counter(known)).0
    }

    #[test]
    fn every_counter_less_than_256_ahead_widens_to_itself() {
        for known in [0, 1, 254, 255, 256, 257, 65_535, 1 << 32, varint::MAX - 255] {
            for ahead in 0..256 {
                assert_eq!(widen(known, known + ahead), known + ahead);
            }
        }
    }

    #[test]
    fn a_counter_256_ahead_cannot_be_told_from_the_known_one() {
        assert_eq!(widen(10, 266), 10);
    }

    #[test]
    fn nonsense_at_the_end_of_the_numbers_does_not_overflow() {
        assert_eq!(widen(u64::MAX, 3), u64::MAX);
        assert_eq!(WireCounter::Whole(Counter(5)).widen(Counter(9)), Counter(5));
    }
}
