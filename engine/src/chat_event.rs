//! What the chat service is told: who shares, who stopped, who may.
//!
//! An event follows from a command of the control log and carries its index, so that a consumer can
//! go on after the last one it has.

use skein_wire::ids::{ChatName, SessionId, UserName};
use skein_wire::update::{CrossingKind, SessionState};

use crate::rights::Rights;

/// One event of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatEvent {
    /// Where.
    pub chat: ChatName,
    /// Who it is about.
    pub user: UserName,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A session began.
    Started {
        /// Which.
        session: SessionId,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A session has a new end.
    Extended {
        /// Which.
        session: SessionId,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A session is over.
    Ended {
        /// Which.
        session: SessionId,
        /// Stopped, expired or revoked.
        why: SessionState,
    },
    /// A member has these rights.
    MemberPut {
        /// Which.
        rights: Rights,
    },
    /// A membership is over.
    MemberRemoved,
    /// Something happened at a geofence.
    Crossed {
        /// What.
        kind: CrossingKind,
        /// Whose session.
        session: SessionId,
        /// The other session, of two.
        other: Option<SessionId>,
    },
}
