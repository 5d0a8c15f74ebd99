//! Shapes of the engine.

use bytes::Bytes;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::ids::ChatHandle;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Ordered.
    Sent,
    /// May get lost.
    Datagram,
    /// Stream opened.
    Streaming,
    /// Nothing taken.
    Full,
    /// No such connection.
    Gone,
}

/// One encoded batch.
#[derive(Clone, Debug)]
pub struct SharedBatch {
    /// Chat.
    pub chat: ChatHandle,
    bytes: Bytes,
    header: usize,
}

impl SharedBatch {
    /// Test helper.
    pub fn new(chat: ChatHandle, frames: &[u8]) -> Self {
        let bytes = crate::edge::websocket_frame::frame(
            crate::edge::websocket_frame::Opcode::Binary,
            frames,
        );
        let header = bytes.len() - frames.len();
        Self {
            chat,
            bytes: bytes.into(),
            header,
        }
    }
    /// Whole.
    pub fn websocket(&self) -> &Bytes {
        &self.bytes
    }
    /// Frames.
    pub fn frames(&self) -> Bytes {
        self.bytes.slice(self.header..)
    }
    /// Length.
    pub fn frames_len(&self) -> usize {
        self.bytes.len() - self.header
    }
}

/// Takes batches.
pub trait Sink {
    /// Offer.
    fn offer(&mut self, c: ConnectionId, v: ViewerId, batch: &SharedBatch) -> Offer;
    /// Head.
    fn offer_head(&mut self, c: ConnectionId, frame: &Bytes);
}
