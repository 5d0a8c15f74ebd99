//! One kept point, as it comes out of the database.

use skein_engine::journal::Entry;
use skein_engine::record::RawRecord;
use skein_wire::ids::SessionId;
use skein_wire::point::Point;

/// One kept point.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Whose session.
    pub user: String,
    /// The session.
    pub session: SessionId,
    /// When it happened, milliseconds since 1970: the server's time of arrival, or the device's for
    /// a point from a backlog.
    pub at_ms: u64,
    /// Its record's offset in the partition of the chat.
    pub offset: u64,
    /// It came from a backlog.
    pub historical: bool,
    /// The point; sealed as it was.
    pub point: Point,
}

/// What stands in a row of the table `point`.
#[derive(Clone, Copy, Debug)]
pub struct StoredPoint<'a> {
    /// Chat's handle.
    pub chat: u32,
    /// Session.
    pub session: u64,
    /// See [`HistoryRow::at_ms`].
    pub at_ms: u64,
    /// Begin of its window.
    pub window_ms: u64,
    /// Offset of its record.
    pub offset: u64,
    /// The record's kind.
    pub kind: u8,
    /// The record's flags.
    pub flags: u8,
    /// The record's payload, untouched: sealed points stay sealed.
    pub payload: &'a [u8],
}

/// The point of a stored record. `None` where the bytes are no point: damage, or a later version.
pub fn point_of(kind: u8, flags: u8, session: u64, payload: &[u8]) -> Option<(bool, Point)> {
    let record = RawRecord {
        kind,
        flags,
        key: 0,
        extension: session,
        payload,
    };
    match Entry::decode(&record).ok()? {
        Entry::Point { point, .. } => Some((false, point)),
        Entry::HistoricalPoint { point, .. } => Some((true, point)),
        _ => None,
    }
}
