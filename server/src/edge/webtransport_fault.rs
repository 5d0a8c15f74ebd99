//! What ends a connection that speaks HTTP/3: a code of RFC 9114, RFC 9204 or the WebTransport
//! drafts, and a sentence.

use quinn_proto::VarInt;

/// Nothing is wrong.
pub const NO_ERROR: u64 = 0x100;
/// A datagram or a capsule that is none.
pub const DATAGRAM_ERROR: u64 = 0x33;
/// A stream that must not be opened, or not twice.
pub const STREAM_CREATION_ERROR: u64 = 0x103;
/// A stream has ended that lives as long as the connection.
pub const CLOSED_CRITICAL_STREAM: u64 = 0x104;
/// A frame where it is not allowed.
pub const FRAME_UNEXPECTED: u64 = 0x105;
/// A frame that does not hold what it must.
pub const FRAME_ERROR: u64 = 0x106;
/// More than is good for the server.
pub const EXCESSIVE_LOAD: u64 = 0x107;
/// A session that cannot be.
pub const ID_ERROR: u64 = 0x108;
/// Settings that cannot be.
pub const SETTINGS_ERROR: u64 = 0x109;
/// No settings at the front.
pub const MISSING_SETTINGS: u64 = 0x10a;
/// A request that was not looked at.
pub const REQUEST_REJECTED: u64 = 0x10b;
/// A request that ends before it is whole.
pub const REQUEST_INCOMPLETE: u64 = 0x10d;
/// Fields that do not unpack.
pub const DECOMPRESSION_FAILED: u64 = 0x200;
/// Instructions for a table that is not there.
pub const ENCODER_STREAM_ERROR: u64 = 0x201;
/// A stream of a session that is not open here.
pub const BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;

/// Why the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code that the client is told.
    pub code: u64,
    /// The same in words.
    pub text: &'static str,
}

impl Fault {
    /// A fault with a code of this file.
    pub const fn new(code: u64, text: &'static str) -> Self {
        Self { code, text }
    }
}

/// A code as QUIC carries it.
pub fn carried(code: u64) -> VarInt {
    VarInt::from_u64(code).expect("codes of HTTP/3 have at most 62 bits")
}
