//! The first numbers of a stream of HTTP/3, which say what it is for.
//!
//! ```text
//! unidirectional:  0x00 | frames …            control stream
//!                  0x02 | …   0x03 | …        QPACK
//!                  0x54 session | …           the session's
//! bidirectional:   0x41 session | …           the session's
//!                  frame type   | …           a request
//! ```
//! Exactly these bytes are taken, however they are cut, so that what follows is still with QUIC
//! when somebody else goes on reading.

use quinn_proto::{Connection, Dir, Side, StreamId};
use skein_wire::varint;

use crate::edge::quic_read::{Chunk, read};
use crate::edge::webtransport_fault::{Fault, ID_ERROR, STREAM_CREATION_ERROR};

/// Type of a unidirectional stream of a session; the session's id follows.
pub const SESSION_UNI: u64 = 0x54;
/// First number of a bidirectional stream of a session; the session's id follows.
pub const SESSION_BIDI: u64 = 0x41;

/// Two numbers of eight bytes.
const PREFIX_BYTES_MAX: usize = 16;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// HTTP/3's own, with the settings at the front.
    Control,
    /// QPACK's, towards a table that has no room.
    Encoder,
    /// QPACK's, about a table that is never used.
    Decoder,
    /// A request.
    Request,
    /// The session whose request came on this stream.
    Session(StreamId),
    /// Nothing that is known here.
    Unknown,
}

/// What a look at a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The numbers are whole.
    Is(Purpose),
    /// More bytes have to come.
    Wait,
    /// The stream has ended before them.
    Gone,
}

/// The numbers, as far as they have come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix {
    bytes: [u8; PREFIX_BYTES_MAX],
    len: usize,
}

impl Prefix {
    /// Takes what has come of the numbers of `stream`.
    ///
    /// # Errors
    /// When they say what no client may say.
    pub fn read(&mut self, link: &mut Connection, stream: StreamId) -> Result<Look, Fault> {
        loop {
            let missing = self.missing(stream.dir());
            if missing == 0 {
                return self.purpose(stream.dir()).map(Look::Is);
            }
            match read(link, stream, missing) {
                Chunk::Bytes(bytes) => self.push(&bytes),
                Chunk::None => return Ok(Look::Wait),
                Chunk::End | Chunk::Reset => return Ok(Look::Gone),
            }
        }
    }

    /// The bytes themselves: of a request they are part of its first frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Bytes to take before the next look; 0 when the numbers are whole.
    fn missing(&self, dir: Dir) -> usize {
        let bytes = self.bytes();
        let first = missing_of(bytes);
        if first > 0 {
            return first;
        }
        let mut rest = bytes;
        match varint::get(&mut rest) {
            Ok(kind) if kind == session_kind(dir) => missing_of(rest),
            _ => 0,
        }
    }

    fn purpose(&self, dir: Dir) -> Result<Purpose, Fault> {
        let mut rest = self.bytes();
        let mut number = || varint::get(&mut rest).expect("the numbers are whole");
        let kind = number();
        match (dir, kind) {
            _ if kind == session_kind(dir) => session(number()).map(Purpose::Session),
            (Dir::Bi, _) => Ok(Purpose::Request),
            (Dir::Uni, 0x00) => Ok(Purpose::Control),
            (Dir::Uni, 0x01) => Err(Fault::new(
                STREAM_CREATION_ERROR,
                "a client must not open a push stream",
            )),
            (Dir::Uni, 0x02) => Ok(Purpose::Encoder),
            (Dir::Uni, 0x03) => Ok(Purpose::Decoder),
            (Dir::Uni, _) => Ok(Purpose::Unknown),
        }
    }
}

fn session_kind(dir: Dir) -> u64 {
    match dir {
        Dir::Uni => SESSION_UNI,
        Dir::Bi => SESSION_BIDI,
    }
}

/// Bytes that a number at the front of `bytes` lacks.
fn missing_of(bytes: &[u8]) -> usize {
    match bytes.first() {
        None => 1,
        Some(first) => (1usize << (first >> 6)).saturating_sub(bytes.len()),
    }
}

/// The stream that a session's id names.
fn session(id: u64) -> Result<StreamId, Fault> {
    // Bit 0 is who opened it, bit 1 whether it has one direction (RFC 9000, section 2.1).
    if id & 0b11 != 0 {
        return Err(Fault::new(
            ID_ERROR,
            "a session is named by the stream of its request",
        ));
    }
    Ok(StreamId::new(Side::Client, Dir::Bi, id >> 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` one by one, as far as they are asked for. What is left, and the purpose.
    fn look(dir: Dir, bytes: &[u8]) -> (usize, Option<Result<Purpose, Fault>>) {
        let mut prefix = Prefix::default();
        for (at, byte) in bytes.iter().enumerate() {
            if prefix.missing(dir) == 0 {
                return (bytes.len() - at, Some(prefix.purpose(dir)));
            }
            prefix.push(&[*byte]);
        }
        let purpose = (prefix.missing(dir) == 0).then(|| prefix.purpose(dir));
        (0, purpose)
    }

    #[test]
    fn no_byte_too_many_is_taken() {
        let stream = |index| StreamId::new(Side::Client, Dir::Bi, index);
        for (dir, bytes, expect) in [
            (Dir::Uni, &[0x00, 9, 9][..], (2, Some(Ok(Purpose::Control)))),
            (Dir::Uni, &[0x02, 9], (1, Some(Ok(Purpose::Encoder)))),
            (Dir::Uni, &[0x03], (0, Some(Ok(Purpose::Decoder)))),
            (Dir::Uni, &[0x40], (0, None)),
            (Dir::Uni, &[0x40, 0x54], (0, None)),
            (
                Dir::Uni,
                &[0x40, 0x54, 0],
                (0, Some(Ok(Purpose::Session(stream(0))))),
            ),
            (
                Dir::Uni,
                &[0x40, 0x54, 0x40, 8, 9],
                (1, Some(Ok(Purpose::Session(stream(2))))),
            ),
            (Dir::Uni, &[0x40, 0x41, 0], (1, Some(Ok(Purpose::Unknown)))),
            (
                Dir::Bi,
                &[0x40, 0x41, 4, 9],
                (1, Some(Ok(Purpose::Session(stream(1))))),
            ),
            (Dir::Bi, &[0x01, 9], (1, Some(Ok(Purpose::Request)))),
        ] {
            assert_eq!(look(dir, bytes), expect, "{dir:?} {bytes:?}");
        }
    }

    #[test]
    fn what_no_client_may_say_is_a_fault() {
        for (dir, bytes, code) in [
            (Dir::Uni, &[0x01][..], STREAM_CREATION_ERROR),
            (Dir::Uni, &[0x40, 0x54, 1], ID_ERROR),
            (Dir::Bi, &[0x40, 0x41, 2], ID_ERROR),
            (Dir::Bi, &[0x40, 0x41, 3], ID_ERROR),
        ] {
            let (_, purpose) = look(dir, bytes);
            assert_eq!(purpose.unwrap().unwrap_err().code, code, "{bytes:?}");
        }
    }
}
