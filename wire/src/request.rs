//! Frames from a client to the server.

use std::fmt;

use crate::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, UserName,
};
use crate::map_view::MapView;
use crate::point::Point;

/// A signed token. Its text never reaches a log: `Debug` shows the length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// How a viewer wants changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// The newest point of each changed session.
    #[default]
    Latest = 0,
    /// In addition, oldest first, the points in between, as far as the trail ring holds them.
    Every = 1,
}

/// First frame of every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Protocol version, [`crate::limits::VERSION`].
    pub version: u16,
    /// Who is it.
    pub token: Token,
    /// Free-form name and version of the client, for the operator.
    pub client: String,
}

/// Starts a session in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareStart {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Where.
    pub chat: ChatName,
    /// How long, in seconds.
    pub duration_s: u32,
    /// The same key gives the same session.
    pub idempotency_key: String,
    /// Points will be sealed blobs.
    pub sealed: bool,
}

/// Binds an existing session of the same user to this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareResume {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Where.
    pub chat: ChatName,
    /// Which.
    pub session: SessionId,
}

/// Moves the end of a session to `duration_s` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareExtend {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Which.
    pub share: ShareNumber,
    /// From now, in seconds.
    pub duration_s: u32,
}

/// Ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareStop {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Which.
    pub share: ShareNumber,
}

/// One live point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePoint {
    /// Which session.
    pub share: ShareNumber,
    /// Acknowledge only when it is durable.
    pub durable: bool,
    /// The point.
    pub point: Point,
}

/// Several points at once, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePoints {
    /// Which session.
    pub share: ShareNumber,
    /// They lie behind the newest point: trail and history only.
    pub historical: bool,
    /// Acknowledge only when they are durable.
    pub durable: bool,
    /// At most [`crate::limits::POINTS_PER_UPLOAD_MAX`].
    pub points: Vec<Point>,
}

/// Asks to see a chat, or another part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Which chat.
    pub chat: ChatName,
    /// Only this session of it.
    pub session: Option<SessionId>,
    /// Only a part of the map; `None` = the whole chat.
    pub view: Option<MapView>,
    /// What the viewer has already.
    pub cursor: Option<Cursor>,
    /// Newest only, or everything.
    pub delivery: Delivery,
    /// Points of each session's trail wanted in the first batch, 0 to [`crate::limits::TRAIL_POINTS_MAX`].
    pub trail: u8,
    /// Shortest wanted time between two batches in milliseconds; 0 = as they come.
    pub interval_ms: u32,
}

/// Stops watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatch {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Which chat.
    pub chat: ChatHandle,
}

/// A complaint: "this is all I have", sent when something is missing, and as part of the keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorReport {
    /// Which chat.
    pub chat: ChatHandle,
    /// Which part of it.
    pub cell: Cell,
    /// Epoch the viewer is in.
    pub epoch: u32,
    /// Everything up to here has arrived.
    pub offset: u64,
}

/// "Who are the members of this chat?" For relays, which judge their viewers themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersAsk {
    /// Ties the answer to the request.
    pub request: RequestNumber,
    /// Which chat; the relay watches it.
    pub chat: ChatHandle,
    /// Go on behind this name.
    pub after: Option<UserName>,
}

/// "I have applied the changes of members of this chat up to here": the answer to each [`Members`]
/// that was not asked for.
///
/// [`Members`]: crate::update::Members
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembersSeen {
    /// Which chat.
    pub chat: ChatHandle,
    /// The change's offset.
    pub offset: u64,
}

/// "Still here, not moving."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which session.
    pub share: ShareNumber,
    /// The newest counter the sender has sent; a lost point shows here.
    pub counter: Counter,
}

/// Any frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// First frame.
    Hello(Hello),
    /// A new token on a live connection.
    Auth(Token),
    /// Start a session.
    ShareStart(ShareStart),
    /// Bind a session to this connection.
    ShareResume(ShareResume),
    /// Move its end.
    ShareExtend(ShareExtend),
    /// End it.
    ShareStop(ShareStop),
    /// One live point.
    Point(SharePoint),
    /// Several points.
    Points(SharePoints),
    /// Alive without a point.
    Heartbeat(Heartbeat),
    /// Watch a chat.
    Watch(Watch),
    /// Stop watching.
    Unwatch(Unwatch),
    /// A complaint about missing offsets.
    Cursor(CursorReport),
    /// Keep-alive with a number that comes back.
    Ping(u64),
    /// A relay asks for members.
    MembersAsk(MembersAsk),
    /// A relay has applied a change of members.
    MembersSeen(MembersSeen),
}
