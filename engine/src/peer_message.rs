//! What shards say to each other. The server carries messages over bounded rings and does not look
//! inside; per pair of shards they arrive in the order in which they were sent.

use std::sync::Arc;

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, Counter, SessionId, UserName};
use skein_wire::point::Point;
use skein_wire::update::{Crossing, SessionState, Upstream, Verdict};

use crate::caller::Caller;
use crate::feed::{Feed, FeedImage};
use crate::ids::{ConnectionId, GuestId, PartitionId};
use crate::image_walk::ImageSlice;
use crate::rights::Rights;

/// A message from one shard to another.
#[derive(Debug)]
pub struct PeerMessage(pub(crate) Message);

/// A session of a chat on behalf of a user, as every verb of a sender names it. The owner checks
/// that the three belong together each time.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub chat: ChatHandle,
    pub session: SessionId,
    pub user: UserName,
}

/// A live point that may be replaced by a newer one while it waits.
#[derive(Debug)]
pub(crate) struct LivePoint {
    pub connection: ConnectionId,
    pub target: Target,
    pub durable: bool,
    pub point: Point,
}

/// Several points of one upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub connection: ConnectionId,
    pub target: Target,
    pub historical: bool,
    pub durable: bool,
    pub points: Vec<Point>,
}

/// A wish for a session.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub chat: ChatName,
    pub user: UserName,
    /// Rights in the chat that the user's token brings.
    pub claim: Rights,
    pub duration_s: u32,
    pub idempotency_key: String,
    pub sealed: bool,
}

/// A session as it is answered to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub chat: ChatHandle,
    pub session: SessionId,
    pub counter_last: Counter,
    pub expires_at_ms: u64,
    /// What senders of the chat are told about demand; `None` = as before.
    pub demand_ms: Option<u32>,
}

/// The outcome of a sender's request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Shared(Bound),
    Done {
        durable: bool,
    },
    /// Members are changed; the version is that of their last durable change.
    Changed {
        durable: bool,
        version: u64,
        was_member: bool,
    },
}

/// How the way from a relay to its server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamState {
    /// Identity of the server's log.
    pub log: u64,
    pub way: Upstream,
}

#[derive(Debug)]
pub(crate) enum Message {
    // To the owner of a chat.
    Start {
        caller: Caller,
        start: Start,
    },
    Resume {
        caller: Caller,
        chat: ChatName,
        session: SessionId,
        user: UserName,
        claim: Rights,
    },
    Extend {
        caller: Caller,
        target: Target,
        duration_s: u32,
    },
    Stop {
        caller: Caller,
        target: Target,
    },
    Point(LivePoint),
    Upload(Upload),
    Heartbeat {
        connection: ConnectionId,
        target: Target,
        counter: Counter,
    },
    Unbind {
        connection: ConnectionId,
        chat: ChatHandle,
        session: SessionId,
    },
    /// "One of mine wants to watch this chat."
    WatchAsk {
        chat: ChatName,
        user: UserName,
        claim: Rights,
        /// The sender mirrors the chat, and knows of no right.
        is_mirrored: bool,
        /// The chat may be given a number if it has none: the user's own token names it.
        may_name: bool,
    },
    /// "One of mine wants to watch this session, and my mirror does not have it."
    RowAsk {
        ask: u64,
        chat: ChatHandle,
        session: SessionId,
    },
    /// "My mirror of this chat missed records that the log does not have any more."
    ImageAsk {
        chat: ChatHandle,
    },
    MirrorDropped {
        chat: ChatHandle,
    },
    /// What the sender's viewers of the chat want; 0 = it has none.
    MirrorDemand {
        chat: ChatHandle,
        interval_ms: u32,
    },
    FenceDone {
        fence: u64,
    },
    /// "A guest on my side wants to watch."
    PlaceAsk {
        ask: u64,
        chat: ChatHandle,
        guest: GuestId,
    },
    /// A guest's watch that had a place is over.
    PlaceBack {
        chat: ChatHandle,
        guest: GuestId,
    },

    // To the shard that holds a connection or mirrors a chat.
    Answer {
        caller: Caller,
        answer: Result<Answer, WireError>,
    },
    Accepted {
        connection: ConnectionId,
        session: SessionId,
        counter: Counter,
        durable: Counter,
        verdicts: Vec<Verdict>,
    },
    ShareEnded {
        connection: ConnectionId,
        session: SessionId,
        state: SessionState,
    },
    Demand {
        connection: ConnectionId,
        session: SessionId,
        interval_ms: u32,
    },
    /// Slices of one walk come in order; shards that asked together share them.
    Image(Arc<ImageSlice>),
    WatchRefused {
        chat: ChatName,
        user: UserName,
        claim: Rights,
        code: Code,
    },
    /// The session that was asked for is in the chat's table as of this offset; `None` = it is not.
    RowAt {
        ask: u64,
        offset: Option<u64>,
    },
    /// Whether a guest has a place.
    PlaceAt {
        ask: u64,
        chat: ChatHandle,
        guest: GuestId,
        judged: Result<(), Code>,
    },
    // From the hub of a relay to its shards.
    /// A chat to be mirrored, or all of it anew.
    FeedImage(Arc<FeedImage>),
    /// What has changed in a mirrored chat.
    Feed(Arc<Feed>),
    FeedMember {
        chat: ChatHandle,
        user: UserName,
        rights: Rights,
        /// The change's at the upstream.
        offset: u64,
    },
    /// What the upstream tells its viewers of a geofence.
    FeedCrossing(Arc<Crossing>),
    /// The upstream lets the relay watch it no more.
    FeedEnded {
        chat: ChatHandle,
        code: Code,
    },
    Upstream(Arc<UpstreamState>),

    /// "Tell me when you have followed this chat past this offset."
    Fence {
        fence: u64,
        chat: ChatHandle,
        partition: PartitionId,
        offset: u64,
    },
}

impl Message {
    /// The session that a sender's message is about.
    pub fn session_to_owner(&self) -> Option<SessionId> {
        match self {
            Self::Extend { target, .. }
            | Self::Stop { target, .. }
            | Self::Heartbeat { target, .. } => Some(target.session),
            Self::Point(point) => Some(point.target.session),
            Self::Upload(upload) => Some(upload.target.session),
            Self::Resume { session, .. } | Self::Unbind { session, .. } => Some(*session),
            _ => None,
        }
    }
}

// Messages cross threads.
const _: fn() = || {
    fn assert_send<T: Send>() {}
    assert_send::<PeerMessage>();
};
