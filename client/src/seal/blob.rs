//! The head of a sealed point.
//!
//! ```text
//!  suite u8 · epoch varint · stream (8 bytes) · ciphertext (13 bytes) · tag (8, 10 or 16 bytes)
//! ```

use bytes::BufMut;
use skein_wire::limits::SEALED_BYTES_MAX;
use skein_wire::varint;

use crate::seal::error::OpenError;
use crate::seal::fix_bytes::FIX_BYTES;
use crate::seal::suite::Suite;

/// Bytes of a stream's id.
pub(crate) const STREAM_BYTES: usize = 8;

/// A sender's run: random, drawn at each start. See [`crate::seal::stream`].
pub(crate) type StreamId = [u8; STREAM_BYTES];

const _: () = assert!(1 + 8 + STREAM_BYTES + FIX_BYTES + 16 <= SEALED_BYTES_MAX);

/// What stands before the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub suite: Suite,
    pub epoch: u32,
    pub stream: StreamId,
}

impl Head {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(self.suite.number());
        varint::put(out, u64::from(self.epoch));
        out.extend_from_slice(&self.stream);
    }

    /// Takes it from the front of `input`, and leaves ciphertext and tag.
    pub fn read(input: &mut &[u8]) -> Result<Self, OpenError> {
        let (number, rest) = input.split_first().ok_or(OpenError::Malformed)?;
        *input = rest;
        let suite = Suite::from_number(*number).ok_or(OpenError::UnknownSuite(*number))?;
        let epoch = varint::get(input).map_err(|_| OpenError::Malformed)?;
        let epoch = u32::try_from(epoch).map_err(|_| OpenError::Malformed)?;
        let (stream, rest) = input.split_first_chunk().ok_or(OpenError::Malformed)?;
        *input = rest;
        if rest.len() != FIX_BYTES + suite.tag_bytes() {
            return Err(OpenError::Malformed);
        }
        Ok(Self {
            suite,
            epoch,
            stream: *stream,
        })
    }
}
