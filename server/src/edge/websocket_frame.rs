//! The frames of RFC 6455.
//!
//! A client's frame must be masked, of a kind that the [`Rules`] admit, and within its ceiling.
//! All that is judged from the header, before a byte of the payload is kept.
//!
//! ```text
//!  byte 0   FIN 1 | RSV 3 | opcode 4
//!  byte 1   MASK 1 | length 7 (126: the next 2 bytes, 127: the next 8)
//!  then     4 bytes mask (from clients only), payload
//! ```

use std::ops::RangeInclusive;

use skein_wire::error::{Code, WireError};

/// Bytes of a control frame's payload, set by the RFC.
pub const CONTROL_BYTES_MAX: usize = 125;
/// Bytes of a client's longest header.
pub const HEADER_BYTES_MAX: usize = 14;
/// The bit of the first byte that ends a message.
const FIN: u8 = 0x80;
/// Close codes of applications begin at 4000; ours is that and the protocol's code.
pub const CLOSE_CODE_BASE: u16 = 4_000;

/// Close codes of RFC 6455, section 7.4.1.
pub mod status {
    /// Closed in good order.
    pub const NORMAL: u16 = 1_000;
    /// The peer's bytes are no WebSocket.
    pub const PROTOCOL: u16 = 1_002;
    /// This kind of message is not taken here.
    pub const UNSUPPORTED: u16 = 1_003;
    /// A text is not UTF-8.
    pub const INVALID_TEXT: u16 = 1_007;
    /// The message is above its ceiling.
    pub const TOO_LARGE: u16 = 1_009;
}

/// Close codes that a peer may send: those of the RFC and its registry, of libraries, and of
/// applications.
const STATUS_OF_PEERS: [RangeInclusive<u16>; 3] = [1_000..=1_003, 1_007..=1_014, 3_000..=4_999];

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Text messages.
    pub text: bool,
    /// Messages in several frames.
    pub fragments: bool,
    /// Bytes of a frame's payload.
    pub payload_bytes_max: usize,
    /// Control frames in a second.
    pub controls_per_s_max: u32,
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What RFC 6455 calls it.
    pub status: u16,
    /// What this protocol calls it.
    pub error: WireError,
}

impl Violation {
    /// A breach of the rules of the transport.
    pub fn transport(status: u16, text: &'static str) -> Self {
        let error = WireError::new(Code::Transport, text);
        Self { status, error }
    }
}

impl From<WireError> for Violation {
    fn from(error: WireError) -> Self {
        let status = CLOSE_CODE_BASE + error.code as u16;
        Self { status, error }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message that was begun.
    Continuation,
    /// A message in UTF-8.
    Text,
    /// A message.
    Binary,
    /// The connection ends.
    Close,
    /// Are you there.
    Ping,
    /// I am.
    Pong,
}

impl Opcode {
    const fn byte(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is about the connection, not part of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A client's frame header, found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub opcode: Opcode,
    /// The last of its message.
    pub fin: bool,
    /// What the payload is masked with.
    pub mask: [u8; 4],
    /// Bytes of the header.
    pub head: usize,
    /// Bytes of the payload.
    pub len: usize,
}

/// Reads a client's frame header. `None` until more bytes come; what is wrong is said as soon as
/// it can be seen.
///
/// # Errors
/// `transport` for reserved bits and opcodes, unmasked frames, overlong or fragmented control
/// frames, lengths not in their shortest form and what the rules do not admit; `too_large` above
/// their ceiling.
pub fn read_header(bytes: &[u8], rules: &Rules) -> Result<Option<Header>, Violation> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let opcode = opcode(first, rules)?;
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(breach("a client's WebSocket frame must be masked"));
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(breach("a WebSocket control frame has at most 125 bytes"));
    }
    let Some((len, size)) = length(short, &bytes[2..])? else {
        return Ok(None);
    };
    if len > rules.payload_bytes_max as u64 {
        return Err(Violation {
            status: status::TOO_LARGE,
            error: WireError::of(Code::TooLarge),
        });
    }
    let head = 2 + size + 4;
    let Some(mask) = bytes.get(2 + size..head) else {
        return Ok(None);
    };
    Ok(Some(Header {
        opcode,
        fin: first & FIN != 0,
        mask: [mask[0], mask[1], mask[2], mask[3]],
        head,
        len: len as usize,
    }))
}

/// Takes the mask off (or puts it on).
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A whole server frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    put_header(&mut out, opcode, payload.len());
    out.extend_from_slice(payload);
    out
}

fn put_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    out.push(FIN | opcode.byte());
    match len {
        0..=125 => out.push(len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A close frame that carries a code of the protocol and its text, cut to fit.
pub fn close_frame(code: Code, text: &str) -> Vec<u8> {
    let mut payload = (CLOSE_CODE_BASE + code as u16).to_be_bytes().to_vec();
    let room = CONTROL_BYTES_MAX - payload.len();
    payload.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(room)]);
    frame(Opcode::Close, &payload)
}

/// The frame that answers a peer's close frame: the same code, without the reason.
///
/// # Errors
/// `transport` for half a code, one that may not be sent, and a reason that is not UTF-8.
pub fn close_answer(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(frame(Opcode::Close, &[])),
        [_] => return Err(breach("a WebSocket close frame has half a code")),
        [high, low, reason @ ..] => ([*high, *low], reason),
    };
    let number = u16::from_be_bytes(code);
    if !STATUS_OF_PEERS.iter().any(|range| range.contains(&number)) {
        return Err(breach("a WebSocket close code that must not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        let text = "the reason of a WebSocket close frame is not UTF-8";
        return Err(Violation::transport(status::INVALID_TEXT, text));
    }
    Ok(frame(Opcode::Close, &code))
}

fn opcode(first: u8, rules: &Rules) -> Result<Opcode, Violation> {
    if first & 0x70 != 0 {
        return Err(breach("reserved WebSocket bits are set; use no extension"));
    }
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(breach("a WebSocket opcode that does not exist")),
    };
    let is_fragment = first & FIN == 0 || opcode == Opcode::Continuation;
    if is_fragment && (opcode.is_control() || !rules.fragments) {
        return Err(breach("a WebSocket message must not be fragmented"));
    }
    if opcode == Opcode::Text && !rules.text {
        let text = "a WebSocket message must be binary, not text";
        return Err(Violation::transport(status::UNSUPPORTED, text));
    }
    Ok(opcode)
}

/// The payload's length and the bytes it takes beyond the second one.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (size, least) = match short {
        126 => (2, 126),
        127 => (8, 0x1_0000),
        _ => return Ok(Some((u64::from(short), 0))),
    };
    let Some(bytes) = rest.get(..size) else {
        return Ok(None);
    };
    let len = bytes
        .iter()
        .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    if len < least {
        return Err(breach("a WebSocket length is not in its shortest form"));
    }
    Ok(Some((len, size)))
}

fn breach(text: &'static str) -> Violation {
    Violation::transport(status::PROTOCOL, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Rules = Rules {
        text: false,
        fragments: false,
        payload_bytes_max: 4_104,
        controls_per_s_max: 10,
    };

    fn check(bytes: &[u8], expect: Result<Option<usize>, Code>) {
        let got = read_header(bytes, &STRICT);
        let got = got.map(|h| h.map(|h| h.len)).map_err(|e| e.error.code);
        assert_eq!(got, expect, "{bytes:02x?}");
    }

    #[test]
    fn headers_are_judged_as_soon_as_they_can_be() {
        check(&[], Ok(None));
        check(&[0x82], Ok(None));
        check(&[0x82, 0x85, 1, 2, 3], Ok(None));
        check(&[0x82, 0x85, 1, 2, 3, 4], Ok(Some(5)));
        check(&[0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4], Ok(Some(4096)));
        check(&[0x02], Err(Code::Transport));
        check(&[0x80], Err(Code::Transport));
        check(&[0x81], Err(Code::Transport));
        check(&[0xc2], Err(Code::Transport));
        check(&[0x83], Err(Code::Transport));
        check(&[0x82, 0x05], Err(Code::Transport));
        check(&[0x89, 0xfe], Err(Code::Transport));
        check(&[0x82, 0xfe, 0x00, 0x7d], Err(Code::Transport));
        check(&[0x82, 0xfe, 0xff, 0xff], Err(Code::TooLarge));
        check(
            &[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0],
            Err(Code::TooLarge),
        );
        check(
            &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            Err(Code::Transport),
        );
    }

    #[test]
    fn rules_admit_text_and_fragments_but_no_fragments_of_control_frames() {
        let free = Rules {
            text: true,
            fragments: true,
            ..STRICT
        };
        let read = |bytes: &[u8]| {
            let header = read_header(bytes, &free).map_err(|violation| violation.status);
            header.map(|header| header.map(|header| (header.opcode, header.fin)))
        };
        assert_eq!(
            read(&[0x81, 0x80, 1, 2, 3, 4]),
            Ok(Some((Opcode::Text, true)))
        );
        assert_eq!(
            read(&[0x02, 0x80, 1, 2, 3, 4]),
            Ok(Some((Opcode::Binary, false)))
        );
        assert_eq!(
            read(&[0x80, 0x80, 1, 2, 3, 4]),
            Ok(Some((Opcode::Continuation, true)))
        );
        assert_eq!(read(&[0x09]), Err(status::PROTOCOL));
        assert_eq!(
            read_header(&[0x81], &STRICT).unwrap_err().status,
            status::UNSUPPORTED
        );
    }

    #[test]
    fn a_close_frame_is_answered_by_its_code() {
        assert_eq!(close_answer(&[]), Ok(vec![0x88, 0]));
        assert_eq!(close_answer(&[3, 232, b'b']), Ok(vec![0x88, 2, 3, 232]));
        assert_eq!(
            close_answer(&4_999u16.to_be_bytes()),
            Ok(vec![0x88, 2, 19, 135])
        );
        let status = |payload: &[u8]| close_answer(payload).unwrap_err().status;
        assert_eq!(status(&[3]), status::PROTOCOL);
        for code in [
            0u16,
            999,
            1_004,
            1_005,
            1_006,
            1_015,
            2_999,
            5_000,
            u16::MAX,
        ] {
            assert_eq!(status(&code.to_be_bytes()), status::PROTOCOL, "{code}");
        }
        assert_eq!(status(&[3, 232, 0xff]), status::INVALID_TEXT);
    }

    #[test]
    fn a_close_text_is_cut_between_characters() {
        let frame = close_frame(Code::TooLarge, &"é".repeat(100));
        assert_eq!(frame[0], 0x88);
        assert!(frame[1] <= 125);
        assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), 4_017);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn masks_come_off_as_they_went_on() {
        let mut bytes = *b"skein is live";
        unmask(&mut bytes, [1, 2, 3, 4]);
        assert_ne!(&bytes, b"skein is live");
        unmask(&mut bytes, [1, 2, 3, 4]);
        assert_eq!(&bytes, b"skein is live");
    }
}
