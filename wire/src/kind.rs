//! The kind byte of every frame: one list for both directions.
//!
//! `0x01..=0x3f` and `0x81..=0xbf` come from clients, `0x41..=0x7f` and `0xc1..=0xff` from the server.
//! A kind that is not listed is skipped when its high bit is set and an error otherwise, so that later
//! versions can add both hints (skippable) and commands (not skippable).

use crate::error::{Code, WireError};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $variant = $number,)* }

        impl Kind {
            /// Every kind, in numeric order.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The kind of a byte, if it is known.
            pub fn from_u8(byte: u8) -> Option<Self> {
                match byte { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name used in `docs/PROTOCOL.md`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

kinds! {
    /// First frame of every connection.
    Hello = 0x01;
    /// A new token.
    Auth = 0x02;
    /// Start a session.
    ShareStart = 0x03;
    /// Bind a session to this connection.
    ShareResume = 0x04;
    /// Move a session's end.
    ShareExtend = 0x05;
    /// End a session.
    ShareStop = 0x06;
    /// One live point.
    Point = 0x07;
    /// Several points.
    Points = 0x08;
    /// Alive without a point.
    Heartbeat = 0x09;
    /// Watch a chat.
    Watch = 0x0a;
    /// Stop watching.
    Unwatch = 0x0b;
    /// A complaint about missing offsets.
    Cursor = 0x0c;
    /// Keep-alive.
    Ping = 0x0d;
    /// A relay asks who the members of a chat are.
    MembersAsk = 0x81;
    /// A relay has applied a change of members.
    MembersSeen = 0x82;

    /// Answer to `Hello`.
    Welcome = 0x41;
    /// A request is refused.
    Refused = 0x42;
    /// A session is bound or extended.
    Shared = 0x43;
    /// Points were appended, or have verdicts.
    Accepted = 0x44;
    /// A watch begins.
    Watching = 0x45;
    /// Rows that changed.
    Batch = 0x46;
    /// Newest offset of a quiet chat.
    Head = 0x47;
    /// How often to report.
    Demand = 0x48;
    /// Answer to `Ping`.
    Pong = 0x49;
    /// The connection ends.
    Goodbye = 0x4a;
    /// A request was met.
    Done = 0x4b;
    /// A watch ended.
    WatchEnded = 0x4c;
    /// A bound session ended.
    ShareEnded = 0x4d;
    /// Members of a chat, for a relay.
    Members = 0xc1;
    /// A relay's way to its upstream.
    Upstream = 0xc2;
    /// A geofence was crossed. Skippable: clients that are older do not know it.
    Crossing = 0xc3;
    /// Which cells a view shows as rows.
    Viewing = 0xc6;
    /// How many sessions there are elsewhere.
    Clusters = 0xc7;
    /// Places of a watch come on a grid.
    Coarse = 0xc8;
}

/// Kinds with this bit are skipped by whoever does not know them.
pub const SKIPPABLE: u8 = 0x80;

/// Kinds with this bit come from the server.
const FROM_SERVER: u8 = 0x40;

impl Kind {
    /// Whether it goes from the server to a client.
    pub fn is_from_server(self) -> bool {
        self as u8 & FROM_SERVER != 0
    }

    /// The kind of a received byte; `None` = skip the frame.
    ///
    /// # Errors
    /// `unknown_kind` when it is neither known nor skippable.
    pub fn read(byte: u8) -> Result<Option<Self>, WireError> {
        match Self::from_u8(byte) {
            Some(kind) => Ok(Some(kind)),
            None if byte & SKIPPABLE != 0 => Ok(None),
            None => Err(WireError::of(Code::UnknownKind)),
        }
    }
}
