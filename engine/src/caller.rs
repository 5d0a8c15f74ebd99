//! Who waits for the outcome of something that the owner of a chat does.

use skein_wire::ids::RequestNumber;

use crate::ids::{ConnectionId, RequestId, ShardId};

/// Where an outcome goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A connection, which may live on another shard.
    Connection {
        shard: ShardId,
        connection: ConnectionId,
        request: RequestNumber,
    },
    /// The HTTP or control API.
    Api(RequestId),
}
