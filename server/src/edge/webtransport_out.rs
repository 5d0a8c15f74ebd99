//! The few bytes of HTTP/3 that we say on a stream: settings, an answer, a goodbye.

use bytes::Bytes;
use quinn_proto::{Connection, StreamId};

use crate::edge::quic_write::{Wrote, write};

/// What is to be said on a stream and has not been taken yet.
#[derive(Debug, Default)]
pub struct WebTransportOut {
    stream: Option<StreamId>,
    rest: Bytes,
    finish: bool,
}

impl WebTransportOut {
    /// There is a stream to say something on.
    pub fn open(&mut self, stream: StreamId) {
        self.stream = Some(stream);
    }

    /// Whether this is the stream.
    pub fn is(&self, stream: StreamId) -> bool {
        self.stream == Some(stream)
    }

    /// Says `bytes` behind what waits, and with `finish` nothing after them.
    pub fn put(&mut self, link: &mut Connection, bytes: &[u8], finish: bool) {
        self.rest = [&self.rest[..], bytes].concat().into();
        self.finish |= finish;
        self.write(link);
    }

    /// Hands over what waits, as far as the client takes it.
    pub fn write(&mut self, link: &mut Connection) {
        let Some(stream) = self.stream else {
            return;
        };
        let (_, wrote) = write(link, stream, &mut self.rest);
        if wrote == Wrote::All && std::mem::take(&mut self.finish) {
            // An error means that the client has stopped the stream, which is told apart.
            let _ = link.send_stream(stream).finish();
        }
    }
}
