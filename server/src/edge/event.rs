//! What the edge tells its shard.

use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::request::Request;

use skein_engine::identity::Identity;

/// Something happened on a connection of this shard.
///
/// Every `Connected` is followed by exactly one `Disconnected`, whoever ended the connection;
/// nothing of that connection comes after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A valid `Hello`: from here on the connection may be used.
    Connected {
        /// Its number, never used again on this shard.
        connection: ConnectionId,
        /// Whom its token names.
        identity: Identity,
    },
    /// A valid `Auth`: the same connection with a new token, perhaps of another user.
    Renewed {
        /// Which connection.
        connection: ConnectionId,
        /// Whom the new token names.
        identity: Identity,
    },
    /// Any request but `Hello` and `Auth`.
    Frame {
        /// Who sent it.
        connection: ConnectionId,
        /// What it asks.
        request: Request,
    },
    /// An offer was answered `Full` before; now one may be taken.
    Writable {
        /// Which connection.
        connection: ConnectionId,
    },
    /// A batch that went out as a stream is acknowledged whole.
    StreamDone {
        /// Which connection.
        connection: ConnectionId,
        /// Which of its viewers.
        viewer: ViewerId,
    },
    /// The connection is over.
    Disconnected {
        /// Which connection.
        connection: ConnectionId,
    },
}
