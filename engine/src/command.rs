//! Commands: the promises of a data directory, one record of the control log each.
//!
//! A command names its chat by name; naming a chat for the first time gives it its handle. Times
//! are the owner's server clock, stamped before the command was proposed, so that every replay of
//! the log gives the same state.

use serde::{Deserialize, Serialize};

/// Right to start sessions.
pub const RIGHT_SHARE: u8 = 0b01;

/// Right to watch.
pub const RIGHT_WATCH: u8 = 0b10;

/// One change of the control state.
///
/// ```
/// use skein_engine::command::{Command, RIGHT_WATCH};
/// let command = Command::PutMember { chat: "hike".into(), user: "ana".into(), rights: RIGHT_WATCH };
/// assert_eq!(command.chat(), "hike");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A user is a member with exactly these rights.
    PutMember {
        /// Where.
        chat: String,
        /// Who.
        user: String,
        /// [`RIGHT_SHARE`] and [`RIGHT_WATCH`].
        rights: u8,
    },
    /// A user is no member any more; the sessions of that user in the chat are over.
    RemoveMember {
        /// Where.
        chat: String,
        /// Who.
        user: String,
    },
    /// A session begins.
    StartSession {
        /// Where.
        chat: String,
        /// Its id.
        session: u64,
        /// Whose.
        user: String,
        /// Server time, milliseconds since 1970.
        started_at_ms: u64,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
        /// What was asked for, seconds.
        duration_s: u32,
        /// The same key gives the same session.
        idempotency_key: String,
        /// Points are sealed blobs.
        sealed: bool,
    },
    /// A session has a new end.
    ExtendSession {
        /// Where.
        chat: String,
        /// Which.
        session: u64,
        /// Server time of its end, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A session is over.
    EndSession {
        /// Where.
        chat: String,
        /// Which.
        session: u64,
        /// [`skein_wire::update::SessionState`] as its byte: stopped, expired or revoked.
        state: u8,
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
}

impl Command {
    /// The chat it is about.
    pub fn chat(&self) -> &str {
        match self {
            Self::PutMember { chat, .. }
            | Self::RemoveMember { chat, .. }
            | Self::StartSession { chat, .. }
            | Self::ExtendSession { chat, .. }
            | Self::EndSession { chat, .. } => chat,
        }
    }
}
