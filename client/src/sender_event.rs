//! What a sender learns of its points and its session.

use skein_wire::error::Code;
use skein_wire::ids::{Counter, SessionId};
use skein_wire::update::SessionState;

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointVerdict {
    /// It is in the log; viewers get it.
    Accepted,
    /// A newer one was there already.
    Superseded,
    /// It was refused, by the server or, where that is certain, by this client.
    Refused(Code),
    /// The session ended, or the client gave up, before anybody said.
    Unknown,
}

/// What a sender learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// The session is bound to the connection.
    Started {
        /// The session.
        session: SessionId,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
        /// It was there before: a reconnect.
        resumed: bool,
    },
    /// The connection is gone, or could not be had again: *this sender* is offline, and its points
    /// wait. [`Self::Started`] with `resumed` says that it is back.
    Offline {
        /// Why, in words for a person.
        why: String,
        /// When it tries again, milliseconds from now.
        retry_ms: u64,
    },
    /// The session has a new end.
    Extended {
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// What became of a point; once for each (an application that does not listen finds them in the
    /// tally).
    Verdict {
        /// Which.
        counter: Counter,
        /// What.
        verdict: PointVerdict,
    },
    /// Live points up to here that asked for it and were accepted on this connection are durable.
    Durable {
        /// The last of them.
        counter: Counter,
    },
    /// How often reporting is worth it.
    Demand {
        /// Milliseconds between points; 0 = nobody watches.
        interval_ms: u32,
    },
    /// A request was refused: the start (then nothing follows) or an extension.
    Refused {
        /// Why.
        code: Code,
        /// What to do next.
        text: String,
        /// There is no session, and there will be none.
        fatal: bool,
    },
    /// The session is over. Nothing but this follows the last verdict.
    Ended {
        /// Stopped, expired or revoked; `None`: it ended while the sender was away.
        why: Option<SessionState>,
        /// The end is durable, as far as this sender asked for it.
        durable: bool,
    },
}

/// How many points had which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the log.
    pub accepted: u64,
    /// Older than what was there.
    pub superseded: u64,
    /// Refused.
    pub refused: u64,
    /// Nobody said.
    pub unknown: u64,
}
