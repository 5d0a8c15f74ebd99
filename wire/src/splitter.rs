//! Cuts bytes into frames: a stream piece by piece, or a message that holds whole frames.
//!
//! A length above the ceiling is refused as soon as it is read, before anything of that frame is
//! kept. Between frames a splitter holds no memory, because most connections are silent most of
//! the time and there are very many of them.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::malformed;
use crate::error::{Code, WireError};
use crate::varint;

/// Puts the frames of a stream together again.
///
/// ```
/// use skein_wire::splitter::Splitter;
/// let mut splitter = Splitter::new(4096);
/// splitter.push(&[2, 0xff]);
/// assert_eq!(splitter.next_frame().unwrap(), None);
/// splitter.push(&[0x01, 1, 0xfe]);
/// assert_eq!(&splitter.next_frame().unwrap().unwrap()[..], [0xff, 0x01]);
/// assert_eq!(&splitter.next_frame().unwrap().unwrap()[..], [0xfe]);
/// assert_eq!(splitter.next_frame().unwrap(), None);
/// ```
#[derive(Debug)]
pub struct Splitter {
    frame_bytes_max: usize,
    pending: BytesMut,
}

impl Splitter {
    /// For frames of at most `frame_bytes_max` bytes (kind and body).
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            pending: BytesMut::new(),
        }
    }

    /// Takes the next bytes of the stream. Drain [`Self::next_frame`] after each call: then no
    /// more than one frame and the bytes of one call are held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame (kind and body, without the length), or `None` until more bytes come.
    ///
    /// # Errors
    /// `too_large` for a length above the ceiling, `malformed` for a length of 0. The stream
    /// cannot go on after either.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(span) = Span::read(&self.pending, self.frame_bytes_max)? else {
            self.give_back();
            return Ok(None);
        };
        if self.pending.len() < span.end() {
            self.give_back();
            return Ok(None);
        }
        self.pending.advance(span.head);
        let frame = self.pending.split_to(span.len).freeze();
        Ok(Some(frame))
    }

    /// Whether the stream stands between two frames; if it ends elsewhere, a frame is cut off.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Keeps no more than the start of the next frame needs: what has been handed out must not
    /// pin, and not be pinned by, a few waiting bytes.
    fn give_back(&mut self) {
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        } else if self.pending.capacity() > 2 * self.pending.len() + SLACK_BYTES {
            self.pending = BytesMut::from(&self.pending[..]);
        }
    }
}

/// Spare capacity that is not worth a copy.
const SLACK_BYTES: usize = 64;

/// Cuts the first frame (kind and body) off a message that holds whole frames, without a copy.
/// `None` when the message is used up.
///
/// # Errors
/// `too_large` for a length above `frame_bytes_max`, `malformed` for a length of 0 and for a
/// frame that is cut off.
pub fn split_first<'a>(
    input: &mut &'a [u8],
    frame_bytes_max: usize,
) -> Result<Option<&'a [u8]>, WireError> {
    let message = *input;
    let Some(span) = Span::read_whole(message, frame_bytes_max)? else {
        return Ok(None);
    };
    *input = &message[span.end()..];
    Ok(Some(&message[span.head..span.end()]))
}

/// Like [`split_first`], for a message in shared memory; the frame shares it.
///
/// # Errors
/// As [`split_first`].
pub fn split_first_shared(
    input: &mut Bytes,
    frame_bytes_max: usize,
) -> Result<Option<Bytes>, WireError> {
    let Some(span) = Span::read_whole(input, frame_bytes_max)? else {
        return Ok(None);
    };
    input.advance(span.head);
    Ok(Some(input.split_to(span.len)))
}

/// Where the first frame lies.
struct Span {
    /// Bytes of its length.
    head: usize,
    /// Bytes of kind and body.
    len: usize,
}

impl Span {
    fn end(&self) -> usize {
        self.head + self.len
    }

    /// `None` while the length itself is not all there.
    fn read(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Self>, WireError> {
        let Some(head) = bytes.first().map(|first| 1usize << (first >> 6)) else {
            return Ok(None);
        };
        if bytes.len() < head {
            return Ok(None);
        }
        let len = varint::get(&mut &bytes[..head])?;
        if len == 0 {
            return Err(malformed("a frame has no kind"));
        }
        if len > frame_bytes_max as u64 {
            return Err(WireError::of(Code::TooLarge));
        }
        Ok(Some(Self {
            head,
            len: len as usize,
        }))
    }

    /// `None` only when nothing is left; a frame that has begun must be whole.
    fn read_whole(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Self>, WireError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        match Self::read(bytes, frame_bytes_max)? {
            Some(span) if span.end() <= bytes.len() => Ok(Some(span)),
            _ => Err(malformed("a message ends within a frame")),
        }
    }
}
