//! A batch that is encoded once and shared by all viewers at the same cursor.
//!
//! One allocation holds the header of a WebSocket message and the frames behind it:
//!
//! ```text
//! 0x82 · length 1, 3 or 9 bytes | frame (length · kind · body) | further pages …
//! ^ websocket()                   ^ frames()
//! ```
//!
//! Server messages of WebSocket are not masked, so the same bytes serve every socket; QUIC takes
//! them from `frames()` on.

use bytes::Bytes;
use skein_wire::ids::ChatHandle;

/// Most bytes of a WebSocket header that is not masked.
pub(crate) const WEBSOCKET_HEADER_BYTES_MAX: usize = 10;

/// FIN and opcode "binary".
const FINAL_BINARY: u8 = 0x82;
/// In place of a length: two bytes of length follow.
const LENGTH_16: u8 = 126;
/// In place of a length: eight bytes of length follow.
const LENGTH_64: u8 = 127;

/// An encoded batch. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct SharedBatch {
    chat: ChatHandle,
    from: u64,
    to: u64,
    frames: u32,
    header_bytes: u8,
    bytes: Bytes,
}

impl SharedBatch {
    /// Finishes a buffer whose first [`WEBSOCKET_HEADER_BYTES_MAX`] bytes are free and whose rest
    /// is whole frames.
    pub(crate) fn finish(
        chat: ChatHandle,
        from: u64,
        to: u64,
        frames: u32,
        mut buffer: Vec<u8>,
    ) -> Self {
        let frames_len = buffer.len() - WEBSOCKET_HEADER_BYTES_MAX;
        let mut header = [0; WEBSOCKET_HEADER_BYTES_MAX];
        let header_len = websocket_header(frames_len, &mut header);
        let start = WEBSOCKET_HEADER_BYTES_MAX - header_len;
        buffer[start..WEBSOCKET_HEADER_BYTES_MAX].copy_from_slice(&header[..header_len]);
        Self {
            chat,
            from,
            to,
            frames,
            header_bytes: header_len as u8,
            bytes: Bytes::from(buffer).slice(start..),
        }
    }

    /// A batch of frames that are encoded already: for whoever tests or measures a transport
    /// without a chat behind it.
    ///
    /// ```
    /// use skein_engine::shared_batch::SharedBatch;
    /// use skein_wire::ids::ChatHandle;
    ///
    /// let batch = SharedBatch::from_frames(ChatHandle(1), 0, 9, 1, &[1, 0xff]);
    /// assert_eq!(&batch.websocket()[..], [0x82, 2, 1, 0xff]);
    /// assert_eq!(&batch.frames()[..], [1, 0xff]);
    /// ```
    pub fn from_frames(chat: ChatHandle, from: u64, to: u64, count: u32, frames: &[u8]) -> Self {
        let mut buffer = vec![0; WEBSOCKET_HEADER_BYTES_MAX];
        buffer.extend_from_slice(frames);
        Self::finish(chat, from, to, count, buffer)
    }

    /// Which chat.
    pub fn chat(&self) -> ChatHandle {
        self.chat
    }

    /// Who takes it must have everything up to here; 0 = a full batch.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Who has taken it has everything up to here.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// Frames in it; more than one when it is larger than a frame, or when others are counted in front of it.
    /// A datagram holds one.
    pub fn frame_count(&self) -> u32 {
        self.frames
    }

    /// A whole WebSocket message.
    pub fn websocket(&self) -> &Bytes {
        &self.bytes
    }

    /// The frames alone, sharing the same bytes.
    pub fn frames(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header_bytes)..)
    }

    /// Bytes of the frames.
    pub fn frames_len(&self) -> usize {
        self.bytes.len() - usize::from(self.header_bytes)
    }
}

/// Writes the header of a final binary message (RFC 6455, section 5.2); returns its length.
fn websocket_header(len: usize, header: &mut [u8; WEBSOCKET_HEADER_BYTES_MAX]) -> usize {
    header[0] = FINAL_BINARY;
    if len < usize::from(LENGTH_16) {
        header[1] = len as u8;
        2
    } else if let Ok(len) = u16::try_from(len) {
        header[1] = LENGTH_16;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        4
    } else {
        header[1] = LENGTH_64;
        header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_headers_follow_the_rfc_at_every_length() {
        let check = |len: usize, expected: &[u8]| {
            let buffer = vec![7; WEBSOCKET_HEADER_BYTES_MAX + len];
            let batch = SharedBatch::finish(ChatHandle(1), 0, 1, 1, buffer);
            assert_eq!(&batch.websocket()[..expected.len()], expected);
            assert_eq!(batch.websocket().len(), expected.len() + len);
            assert_eq!(batch.frames_len(), len);
            assert!(batch.frames().iter().all(|byte| *byte == 7));
        };
        check(0, &[0x82, 0]);
        check(125, &[0x82, 125]);
        check(126, &[0x82, 126, 0, 126]);
        check(65_535, &[0x82, 126, 0xff, 0xff]);
        check(65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
