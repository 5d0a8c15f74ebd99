//! Commands: the promises of a data directory, one record of the control log each.
//!
//! A command names its chat by name; naming a chat for the first time gives it its handle. Times
//! are the owner's server clock, stamped before the command was proposed, so that every replay of
//! the log gives the same state.

use serde::{Deserialize, Serialize};

use crate::geofence::ledger::CrossingRecord;
use crate::geofence::record::GeofenceRecord;
use crate::guest::GuestRecord;

pub use crate::rights::{RIGHT_SHARE, RIGHT_WATCH, RIGHTS_REVOKED};

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
        /// [`RIGHT_SHARE`] and [`RIGHT_WATCH`], or [`RIGHTS_REVOKED`].
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
        /// Whose; empty in what older versions wrote.
        user: String,
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
        /// Whose; empty in what older versions wrote.
        user: String,
    },
    /// A chat has a number from here on, and nothing else.
    NameChat {
        /// Which.
        chat: String,
    },
    /// Users are members with exactly these rights.
    PutMembers {
        /// Where.
        chat: String,
        /// Who, and [`RIGHT_SHARE`] and [`RIGHT_WATCH`].
        members: Vec<(String, u8)>,
    },
    /// A link for guests. Links whose time is over are forgotten.
    PutGuest {
        /// Where.
        chat: String,
        /// Its id.
        guest: u64,
        /// What it shows, to how many, until when.
        record: GuestRecord,
    },
    /// A link is no longer good.
    RemoveGuest {
        /// Where.
        chat: String,
        /// Its id.
        guest: u64,
    },
    /// A chat takes sealed sessions only, or plain ones as well.
    SealChat {
        /// Which.
        chat: String,
        /// Sealed ones only; its plain sessions are over.
        sealed: bool,
    },
    /// A geofence or an alert is there from here on, in place of one of the same name.
    PutGeofence {
        /// Where.
        chat: String,
        /// Its id.
        geofence: u64,
        /// What it is.
        record: GeofenceRecord,
    },
    /// A geofence or an alert is no more.
    RemoveGeofence {
        /// Where.
        chat: String,
        /// Its id.
        geofence: u64,
        /// Its name.
        name: String,
        /// The member whose alert it was; empty = of the chat.
        owner: String,
    },
    /// A session came into a geofence or left it, or two came near each other or parted.
    Cross {
        /// Where.
        chat: String,
        /// What happened.
        crossing: CrossingRecord,
    },
}

impl Command {
    /// Bytes that it takes in a record, at most.
    pub fn bytes_max(&self) -> usize {
        /// Of a command with five names of 128 bytes, or four and 32 corners, and some numbers.
        const BYTES: usize = 1_024;
        /// Of a member beside the name: its length and the rights.
        const MEMBER_BYTES: usize = 9;
        match self {
            Self::PutMembers { members, .. } => {
                let names = members.iter().map(|(user, _)| user.len() + MEMBER_BYTES);
                BYTES + names.sum::<usize>()
            }
            _ => BYTES,
        }
    }

    /// The chat it is about.
    pub fn chat(&self) -> &str {
        match self {
            Self::PutMember { chat, .. }
            | Self::RemoveMember { chat, .. }
            | Self::StartSession { chat, .. }
            | Self::ExtendSession { chat, .. }
            | Self::EndSession { chat, .. }
            | Self::NameChat { chat }
            | Self::PutMembers { chat, .. }
            | Self::PutGuest { chat, .. }
            | Self::RemoveGuest { chat, .. }
            | Self::SealChat { chat, .. }
            | Self::PutGeofence { chat, .. }
            | Self::RemoveGeofence { chat, .. }
            | Self::Cross { chat, .. } => chat,
        }
    }
}
