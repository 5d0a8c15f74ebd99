//! Transports that take everything, or nothing while they are stalled.

use bytes::Bytes;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};

use crate::peer::Peer;

/// Takes every batch but those for stalled connections.
pub struct NaiveSink<'a> {
    pub shard: u16,
    pub stalled: &'a [Peer],
    pub taken: Vec<(Peer, Bytes)>,
}

impl NaiveSink<'_> {
    fn peer(&self, connection: ConnectionId) -> Peer {
        Peer {
            shard: self.shard,
            number: connection.0,
        }
    }
}

impl Sink for NaiveSink<'_> {
    fn offer(&mut self, connection: ConnectionId, _: ViewerId, batch: &SharedBatch) -> Offer {
        let peer = self.peer(connection);
        if self.stalled.contains(&peer) {
            return Offer::Full;
        }
        self.taken.push((peer, batch.frames()));
        Offer::Sent
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        let peer = self.peer(connection);
        self.taken.push((peer, frame.clone()));
    }

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}
