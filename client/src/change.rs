//! What a viewer learns, one change at a time.

use std::sync::Arc;

use skein_wire::error::Code;
use skein_wire::ids::{ChatName, Counter, Cursor, GeofenceName, SessionId, UserName};
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::point::Payload;
use skein_wire::update::{Cluster, CrossingKind, SessionState};

/// Whose change it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The session.
    pub session: SessionId,
    /// Its member.
    pub user: UserName,
}

/// A point as a viewer shows it, with its exact counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPoint {
    /// The sender's count.
    pub counter: Counter,
    /// Device time, milliseconds since 1970; shown, never believed.
    pub captured_at_ms: i64,
    /// Fix or blob.
    pub payload: Payload,
}

/// One change of a watched chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The chat.
    pub chat: ChatName,
    /// The session it is about; `None` for changes of the whole watch.
    pub subject: Option<Arc<Subject>>,
    /// A viewer that has taken this change and starts anew from here misses nothing. The cursor
    /// moves with the last change of a batch. That of a view, and that of a watch on a grid, is none: it begins anew.
    pub cursor: Cursor,
    /// What changed.
    pub event: Event,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session is there.
    Started {
        /// Server time of its start, milliseconds since 1970.
        started_at_ms: u64,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
        /// Its points are sealed blobs.
        sealed: bool,
    },
    /// A session has a new end.
    Extended {
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A point.
    Point {
        /// The point.
        point: ShownPoint,
        /// It lies behind one that was shown before: it belongs to the trail, the marker stays.
        historical: bool,
    },
    /// The sender is there and does not move.
    Heartbeat {
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
    /// The server has not heard from the sender for a while.
    Stale {
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
    /// The session is over; nothing of it follows.
    Ended {
        /// Stopped, expired, revoked; `None`: it ended while this viewer was away too long to learn why.
        why: Option<SessionState>,
        /// Server time, milliseconds since 1970, where known.
        at_ms: Option<u64>,
    },
    /// Points of the session that this viewer did not get and will not get (`every` only).
    Skipped {
        /// How many.
        count: u64,
    },
    /// The session came into a geofence or left it, or came near another one or parted from it. Told once to
    /// those who watch at that moment.
    Crossed {
        /// What happened.
        kind: CrossingKind,
        /// The geofence or the alert.
        name: GeofenceName,
        /// It is an alert of this viewer's user.
        is_alert: bool,
        /// The other session, of two.
        other: Option<Subject>,
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
    /// The session is no row of this view any more: it went elsewhere, or has ended there.
    Left,
    /// The server shows other cells of the map from here on.
    Viewing {
        /// The part of the map that they were chosen from.
        area: MapView,
        /// Those whose sessions come as rows.
        cells: Vec<MapCell>,
    },
    /// The sessions of the chat that are no rows of this view, counted anew.
    Clusters {
        /// All of them.
        clusters: Vec<Cluster>,
    },
    /// From here on places are the centres of a grid's cells, or as they were reported again. What was shown
    /// before counts no more; all sessions follow anew.
    Grid {
        /// Metres of a cell; `None` = places as they were reported.
        grid_m: Option<u32>,
    },
    /// The whole chat follows anew, because the cursor could not be served.
    Resync,
    /// This watch is over or was refused; nothing of it follows.
    WatchEnded {
        /// Why.
        code: Code,
        /// What to do next.
        text: String,
    },
}
