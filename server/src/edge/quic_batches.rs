//! Batches on streams of their own: one at a time for each viewer, never reset in favour of newer
//! data. Only a revocation resets one.

use bytes::Bytes;
use quinn_proto::{Connection, StreamId, VarInt};
use skein_engine::ids::ViewerId;
use skein_wire::ids::ChatHandle;

use crate::edge::quic_write::{Wrote, write};
use crate::limits::QUIC_BATCH_STREAMS_MAX;

/// A batch on its way.
#[derive(Debug)]
struct BatchStream {
    viewer: ViewerId,
    chat: ChatHandle,
    stream: StreamId,
    /// What the transport says at the front of a stream; mostly nothing.
    head: Bytes,
    rest: Bytes,
}

/// The open batch streams of a connection.
#[derive(Debug, Default)]
pub struct QuicBatches {
    open: Vec<BatchStream>,
    /// An offer found all streams in use.
    starved: bool,
}

impl QuicBatches {
    /// Whether no batch is on its way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a batch for this viewer is on its way.
    pub fn has(&self, viewer: ViewerId) -> bool {
        self.open.iter().any(|batch| batch.viewer == viewer)
    }

    /// Whether as many are on their way as may be. If so, whoever asked is told when one has
    /// ended.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.open.len() >= QUIC_BATCH_STREAMS_MAX;
        self.starved |= is_full;
        is_full
    }

    /// Sends a batch behind `head` on a fresh stream.
    pub fn send(
        &mut self,
        link: &mut Connection,
        stream: StreamId,
        (viewer, chat): (ViewerId, ChatHandle),
        head: Bytes,
        rest: Bytes,
    ) {
        self.open.push(BatchStream {
            viewer,
            chat,
            stream,
            head,
            rest,
        });
        self.write(link, stream);
    }

    /// Writes the rest of a batch, as far as the client takes it. Whether any was taken.
    pub fn write(&mut self, link: &mut Connection, stream: StreamId) -> bool {
        let Some(batch) = self.open.iter_mut().find(|batch| batch.stream == stream) else {
            return false;
        };
        let (of_head, wrote) = write(link, stream, &mut batch.head);
        if wrote != Wrote::All {
            return of_head > 0;
        }
        let (written, wrote) = write(link, stream, &mut batch.rest);
        if wrote == Wrote::All {
            // An error means that the client has stopped the stream, which is told apart.
            let _ = link.send_stream(stream).finish();
        }
        written > 0
    }

    /// A stream is acknowledged whole, or not wanted. Whose batch it was, unless it was purged.
    pub fn end(&mut self, stream: StreamId) -> Option<ViewerId> {
        let at = self.open.iter().position(|batch| batch.stream == stream)?;
        Some(self.open.swap_remove(at).viewer)
    }

    /// Resets the streams of a chat, also those of watches that were replaced.
    pub fn purge(&mut self, link: &mut Connection, chat: ChatHandle, code: VarInt) {
        self.open.retain(|batch| {
            let stays = batch.chat != chat;
            if !stays {
                // An error means that all of it was acknowledged.
                let _ = link.send_stream(batch.stream).reset(code);
            }
            stays
        });
    }

    /// Whether somebody waits for one to end; asked once.
    pub fn take_starved(&mut self) -> bool {
        std::mem::take(&mut self.starved)
    }
}
