//! What a relay's hub asks of its link to the upstream.

use skein_wire::ids::{ChatHandle, ChatName, UserName};

/// One thing to do at the upstream. Watches are kept up by the link, over one connection after the
/// other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubCommand {
    /// Watch a chat, or go on with another interval.
    Watch {
        /// Which.
        chat: ChatName,
        /// Shortest wanted time between two batches, milliseconds; 0 = as they come.
        interval_ms: u32,
    },
    /// Watch it no more.
    Unwatch {
        /// Which.
        chat: ChatName,
    },
    /// Be told again of what came after an offset.
    Rewind {
        /// Which.
        chat: ChatName,
        /// The offset.
        offset: u64,
    },
    /// Watch it anew, without a cursor.
    Restart {
        /// Which.
        chat: ChatName,
    },
    /// Ask for members.
    AskMembers {
        /// Where.
        chat: ChatHandle,
        /// Those behind this name.
        after: Option<UserName>,
    },
    /// Say that a change of members is applied.
    MembersSeen {
        /// Where.
        chat: ChatHandle,
        /// The change's offset.
        offset: u64,
    },
}
