//! What a timer of a shard is for. When one fires, its subject is looked up and may have moved on.

use skein_wire::ids::{ChatHandle, SessionId};

use crate::ids::{ConnectionId, GeofenceId};

/// One timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A session may have expired or grown stale. Counts only if it is the newest one set.
    Life {
        chat: ChatHandle,
        session: SessionId,
    },
    /// A session's senders are to be told. Counts only if it is the newest one set.
    Ack {
        chat: ChatHandle,
        session: SessionId,
    },
    /// The end of a session has waited long enough for its last durable acknowledgement.
    EndTold {
        chat: ChatHandle,
        session: SessionId,
    },
    /// A token's time may be over.
    Token(ConnectionId),
    /// A mirror may have been without viewers for long enough. Counts only if it is the one that is set.
    MirrorIdle(ChatHandle),
    /// A change of demand may be told. Counts only if it is the one that is set.
    Demand(ChatHandle),
    /// The time that shards have to apply a change of rights is over.
    FenceOver(u64),
    /// A restrictive command is proposed again.
    Retry(u64),
    /// Ended rows may be old enough to be forgotten. Counts only if it is the one that is set.
    Tombstones(ChatHandle),
    /// A relay may be late with the answer to a change of members.
    RelayLate(ConnectionId),
    /// The time of a link for guests may be over.
    Links(ChatHandle),
    /// Idempotency keys may be over. Counts only if it is the one that is set.
    Keys(ChatHandle),
    /// A session may have stayed in a geofence for long enough. Counts only if it is the newest one set.
    Stay {
        chat: ChatHandle,
        session: SessionId,
    },
    /// The time of a geofence may be over.
    GeofenceOver {
        chat: ChatHandle,
        geofence: GeofenceId,
    },
}

/// Bytes of a timer: each connection and each session has one or two.
const TIMER_BYTES_MAX: usize = 16;

const _: () = assert!(size_of::<Timer>() <= TIMER_BYTES_MAX);
