//! Frames from the server to a client.

use bytes::Bytes;

use crate::error::Code;
use crate::ids::{
    Cell, ChatHandle, Counter, GeofenceName, RequestNumber, SessionId, ShareNumber, UserName,
};
use crate::map_cell::MapCell;
use crate::map_view::MapView;
use crate::point::Position;

/// What a client must know before it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Version spoken from here.
    pub version: u16,
    /// Identity of the log, part of every cursor.
    pub log: u64,
    /// Server time, milliseconds since 1970.
    pub server_time_ms: u64,
    /// Longest frame that the server takes, bytes.
    pub frame_bytes_max: u32,
    /// Longest session, seconds.
    pub duration_s_max: u32,
    /// A client that hears nothing for this long should ask (`Ping`), milliseconds.
    pub keep_alive_ms: u32,
    /// A session without a word for this long is stale, milliseconds.
    pub stale_after_ms: u32,
    /// A record is kept of who watched whom and when, for those who were watched. Who watches *now* they
    /// can see in any case.
    pub views_recorded: bool,
}

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which request; 0 = none in particular.
    pub request: RequestNumber,
    /// Why.
    pub code: Code,
    /// What to do next.
    pub text: String,
}

/// A session is bound to this connection (start, resume) or has a new end (extend).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Which request.
    pub request: RequestNumber,
    /// The session.
    pub session: SessionId,
    /// Its number on this connection.
    pub share: ShareNumber,
    /// Greatest counter that was accepted; the sender goes on above it.
    pub counter_last: Counter,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// Verdict on one point that was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which point.
    pub counter: Counter,
    /// Why (`superseded` needs no action).
    pub code: Code,
}

/// "Appended up to here", cumulative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Which session.
    pub share: ShareNumber,
    /// Every live point up to this counter was appended, or has or had a verdict.
    pub counter: Counter,
    /// Points up to this counter are durable; 0 = nothing said.
    pub durable: Counter,
    /// Points that were not appended, since the last `Accepted`.
    pub verdicts: Vec<Verdict>,
}

/// A session that ended while bound to this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareEnded {
    /// Its number on this connection, free from now.
    pub share: ShareNumber,
    /// Stopped, expired or revoked.
    pub state: SessionState,
}

/// A watch was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Which request.
    pub request: RequestNumber,
    /// The chat's number from here on.
    pub chat: ChatHandle,
    /// The partition's epoch.
    pub epoch: u32,
    /// Cursors below this get a full batch.
    pub horizon: u64,
    /// Where the viewer goes on: the cursor it presented, or 0 when a full batch follows.
    pub from: u64,
}

/// A watch that ended without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEnded {
    /// Which chat.
    pub chat: ChatHandle,
    /// Why.
    pub code: Code,
}

/// "The newest offset of this chat is `to`."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which chat.
    pub chat: ChatHandle,
    /// Which part of it.
    pub cell: Cell,
    /// The partition's epoch.
    pub epoch: u32,
    /// Newest offset.
    pub to: u64,
}

/// How often reporting is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Which session.
    pub share: ShareNumber,
    /// Wanted time between points, milliseconds; 0 = nobody watches, heartbeats are enough.
    pub interval_ms: u32,
}

/// A request that was met and has no answer of its own (stop, unwatch, auth).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which request.
    pub request: RequestNumber,
    /// False: applied, not yet durable (the server goes on trying).
    pub durable: bool,
}

/// Answer to `Ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The number of the `Ping`.
    pub number: u64,
    /// Server time, milliseconds since 1970.
    pub server_time_ms: u64,
}

/// The server ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub code: Code,
    /// Come back after this long, milliseconds; spread by the server.
    pub retry_after_ms: u32,
    /// What to do next.
    pub text: String,
}

/// Members of a chat and their rights, for a relay: the answer to `MembersAsk`, or a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Which request; 0 = a change that nobody asked for, to be answered by `MembersSeen`.
    pub request: RequestNumber,
    /// Which chat.
    pub chat: ChatHandle,
    /// Offset of the change; of an answer, the newest that is in it.
    pub offset: u64,
    /// There are more behind the last one.
    pub more: bool,
    /// Who, with which rights: bit 0 share, bit 1 watch, bit 2 "revoked, whatever a token says", bits 3 to 6
    /// watch on the grid of this step, from 1. In a change 0 ends a membership. In the order of the names.
    pub members: Vec<(UserName, u8)>,
}

/// A relay's way to the server that it relays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Server time since when the relay has heard nothing from there, milliseconds since 1970; 0 = it
    /// hears. While it does not, what it shows is as of then and says nothing about the senders.
    pub lost_since_ms: u64,
    /// The relays on the way, that next to the server first.
    pub relays: Vec<u64>,
}

/// Which part of a chat a view shows from here on: the rows of these cells, in batches under this number.
/// It comes before the first of them, and again whenever the server serves other cells, because the
/// viewer asked for another part of the map or because the budget asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewing {
    /// Which chat.
    pub chat: ChatHandle,
    /// The number that batches, heads, clusters and complaints of this view carry; never 0.
    pub cell: Cell,
    /// The part of the map that was chosen from: what was asked for, in whole cells.
    pub area: MapView,
    /// Those of its cells whose sessions come as rows, ascending, at most
    /// [`crate::limits::VIEW_CELLS_MAX`]. The others come as [`Clusters`].
    pub cells: Vec<MapCell>,
}

/// Sessions that a view does not show as rows, counted. Each frame has all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Which chat.
    pub chat: ChatHandle,
    /// The view's number.
    pub cell: Cell,
    /// The partition's epoch.
    pub epoch: u32,
    /// As of this offset.
    pub to: u64,
    /// In ascending order of their cells, at most [`crate::limits::CLUSTERS_MAX`].
    pub clusters: Vec<Cluster>,
}

/// Live sessions with a place within one cell that are not rows of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where.
    pub cell: MapCell,
    /// How many; at least one.
    pub count: u32,
    /// Their centre, 256ths of the cell's width from its western edge.
    pub east: u8,
    /// Their centre, 256ths of the cell's height from its southern edge.
    pub north: u8,
}

impl Cluster {
    /// The place of their centre.
    pub fn centre(&self) -> Position {
        self.cell.place(self.east, self.north)
    }
}

/// Places of a watch are the centres of a grid's cells, and only the newest ones come: its viewer may see no
/// more. It comes right before the [`Watching`] that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coarse {
    /// The request of the watch.
    pub request: RequestNumber,
    /// Metres of a cell.
    pub grid_m: u32,
}

/// A session came into a geofence or left it, or two came near each other or parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// In which chat.
    pub chat: ChatHandle,
    /// Its place among the changes of the chat: no two crossings of a chat have the same.
    pub offset: u64,
    /// What happened.
    pub kind: CrossingKind,
    /// It is an alert of this viewer, told to nobody else.
    pub is_alert: bool,
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
    /// The geofence or the alert.
    pub name: GeofenceName,
    /// Whose session.
    pub subject: (SessionId, UserName),
    /// The other one, of two that came near or parted.
    pub other: Option<(SessionId, UserName)>,
}

/// What happened at a geofence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CrossingKind {
    /// The session is inside now.
    Enter = 1,
    /// It is outside again.
    Exit = 2,
    /// The two are within the distance of each other.
    Near = 3,
    /// They are not any more.
    Far = 4,
}

impl CrossingKind {
    /// From the byte on the wire.
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Enter,
            2 => Self::Exit,
            3 => Self::Near,
            4 => Self::Far,
            _ => return None,
        })
    }

    /// Whether it begins something that [`CrossingKind::Exit`] or [`CrossingKind::Far`] ends.
    pub fn is_begin(self) -> bool {
        matches!(self, Self::Enter | Self::Near)
    }

    /// Whether it is about two sessions.
    pub fn is_of_two(self) -> bool {
        matches!(self, Self::Near | Self::Far)
    }

    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Exit => "exit",
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// State of a session as a viewer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SessionState {
    /// Reporting.
    #[default]
    Live = 0,
    /// Reporting that it does not move.
    Stationary = 1,
    /// No word for a while, judged by the server.
    Stale = 2,
    /// Ended by its owner.
    Stopped = 3,
    /// Ended by its time.
    Expired = 4,
    /// Ended by loss of membership.
    Revoked = 5,
    /// Left the cells of this view; it goes on elsewhere.
    Moved = 6,
}

impl SessionState {
    /// From the byte on the wire.
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Live,
            1 => Self::Stationary,
            2 => Self::Stale,
            3 => Self::Stopped,
            4 => Self::Expired,
            5 => Self::Revoked,
            6 => Self::Moved,
            _ => return None,
        })
    }

    /// Whether no point can follow.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Expired | Self::Revoked)
    }

    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stationary => "stationary",
            Self::Stale => "stale",
            Self::Stopped => "stopped",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Moved => "moved",
        }
    }
}

/// Any frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Answer to `Hello`.
    Welcome(Welcome),
    /// A request is refused.
    Refused(Refused),
    /// A session is bound or extended.
    Shared(Shared),
    /// Points were appended, or have verdicts.
    Accepted(Accepted),
    /// A watch begins.
    Watching(Watching),
    /// Rows that changed; the body is parsed by [`crate::batch::Batch::decode`].
    Batch(Bytes),
    /// Newest offset of a quiet chat.
    Head(Head),
    /// How often to report.
    Demand(Demand),
    /// Answer to `Ping`.
    Pong(Pong),
    /// The connection ends.
    Goodbye(Goodbye),
    /// A request was met.
    Done(Done),
    /// A watch ended.
    WatchEnded(WatchEnded),
    /// A bound session ended.
    ShareEnded(ShareEnded),
    /// Members of a chat, for a relay.
    Members(Members),
    /// A relay's way to its upstream.
    Upstream(Upstream),
    /// A geofence was crossed.
    Crossing(Crossing),
    /// Which cells a view shows as rows.
    Viewing(Viewing),
    /// How many sessions there are elsewhere.
    Clusters(Clusters),
    /// A watch shows places on a grid.
    Coarse(Coarse),
}
