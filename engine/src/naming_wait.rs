//! A request that waits until its chat has a number.

use skein_wire::ids::{ChatName, UserName};
use skein_wire::request::Watch;

use crate::caller::Caller;
use crate::ids::{ConnectionId, ShardId};
use crate::peer_message::Start;
use crate::rights::Rights;

/// What waits for a chat's number.
#[derive(Debug)]
pub(crate) enum NamingWait {
    /// A session is wanted.
    Start { caller: Caller, start: Start },
    /// A connection of this shard wants to watch.
    Watch {
        connection: ConnectionId,
        watch: Watch,
    },
    /// One of another shard's does.
    Image {
        from: ShardId,
        chat: ChatName,
        user: UserName,
        claim: Rights,
    },
}
