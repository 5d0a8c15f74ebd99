//! Where batches go: the transports of a shard, seen from the fan-out.
//!
//! The fan-out offers, the transport says at once what became of the offer, and that decides the
//! viewer's cursor. Nothing is queued on either side of this line.

use bytes::Bytes;

use crate::ids::{ConnectionId, ViewerId};
use crate::shared_batch::SharedBatch;

/// What became of an offered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// An ordered transport took it: it will arrive, or the connection ends.
    Sent,
    /// It went as a datagram and may get lost: the viewer is told the head when the chat is quiet.
    Datagram,
    /// A stream of its own carries it: nothing more of this chat to this viewer until the stream
    /// is done.
    Streaming,
    /// Nothing was taken. The transport reports when the connection can take more.
    Full,
    /// The connection is no more; its end is reported by other means.
    Gone,
}

/// The transports of a shard.
pub trait Sink {
    /// Hands over a batch whole or not at all. `viewer` names the watch, for
    /// [`Offer::Streaming`] and for a purge after a revocation.
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer;

    /// Hands over a frame that has to arrive, and before the batches that are offered after it unless they overtake
    /// it on the way.
    fn tell(&mut self, connection: ConnectionId, frame: &Bytes);

    /// Hands over a `Head` frame as a datagram. It may get lost; it is sent three times.
    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes);
}
