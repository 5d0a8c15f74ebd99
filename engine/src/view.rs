//! Who sees whom: a watch as those who are watched are told of it.

use skein_wire::ids::{ChatName, SessionId, UserName};

use crate::ids::ViewId;

/// What a record of views is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Somebody sees sessions of a chat from now on.
    Begun(ViewBegun),
    /// And no longer.
    Ended {
        /// Which.
        view: ViewId,
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
}

/// The beginning of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewBegun {
    /// Its number, for its end.
    pub view: ViewId,
    /// Where.
    pub chat: ChatName,
    /// Who; guests by their reserved names.
    pub user: UserName,
    /// Whom; `None` = everybody in the chat.
    pub session: Option<SessionId>,
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
}

/// Those who see a session through one shard, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewers {
    /// How many watches there are.
    pub total: u64,
    /// Some of them, at most [`crate::limits::VIEWERS_LISTED_MAX`]: who, and since when (server time,
    /// milliseconds since 1970).
    pub listed: Vec<(UserName, u64)>,
    /// Who looked over HTTP within the last [`crate::limits::LOOK_SHOWN_MS`], and when, where the shard
    /// owns the chat.
    pub looked: Vec<(UserName, u64)>,
}
