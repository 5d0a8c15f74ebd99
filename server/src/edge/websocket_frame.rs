//! The frames of RFC 6455, as far as this protocol uses them.
//!
//! A client's frame must be whole (FIN), masked, binary or control, and within its ceiling. All
//! that is judged from the header, before a byte of the payload is kept.
//!
//! ```text
//!  byte 0   FIN 1 | RSV 3 | opcode 4
//!  byte 1   MASK 1 | length 7 (126: the next 2 bytes, 127: the next 8)
//!  then     4 bytes mask (from clients only), payload
//! ```

use skein_wire::error::{Code, WireError};

/// Bytes of a control frame's payload, set by the RFC.
pub const CONTROL_BYTES_MAX: usize = 125;
/// Bytes of a client's longest header.
pub const HEADER_BYTES_MAX: usize = 14;
/// Close codes of applications begin at 4000; ours is that and the protocol's code.
pub const CLOSE_CODE_BASE: u16 = 4_000;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
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
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// A client's frame header, found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub opcode: Opcode,
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
/// `transport` for fragments, text, reserved bits and opcodes, unmasked frames, overlong control
/// frames and lengths not in their shortest form; `too_large` above `payload_bytes_max`.
pub fn read_header(bytes: &[u8], payload_bytes_max: usize) -> Result<Option<Header>, WireError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let opcode = opcode(first)?;
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(transport("a client's WebSocket frame must be masked"));
    }
    let short = second & 0x7f;
    if opcode != Opcode::Binary && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(transport("a WebSocket control frame has at most 125 bytes"));
    }
    let Some((len, size)) = length(short, &bytes[2..])? else {
        return Ok(None);
    };
    if len > payload_bytes_max as u64 {
        return Err(WireError::of(Code::TooLarge));
    }
    let head = 2 + size + 4;
    let Some(mask) = bytes.get(2 + size..head) else {
        return Ok(None);
    };
    Ok(Some(Header {
        opcode,
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
    out.push(0x80 | opcode.byte());
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

fn opcode(first: u8) -> Result<Opcode, WireError> {
    if first & 0x70 != 0 {
        return Err(transport(
            "reserved WebSocket bits are set; use no extension",
        ));
    }
    let opcode = match first & 0x0f {
        0 => return Err(transport("a WebSocket message must not be fragmented")),
        1 => return Err(transport("a WebSocket message must be binary, not text")),
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(transport("a WebSocket opcode that does not exist")),
    };
    if first & 0x80 == 0 {
        return Err(transport("a WebSocket message must not be fragmented"));
    }
    Ok(opcode)
}

/// The payload's length and the bytes it takes beyond the second one.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, WireError> {
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
        return Err(transport("a WebSocket length is not in its shortest form"));
    }
    Ok(Some((len, size)))
}

fn transport(text: &'static str) -> WireError {
    WireError::new(Code::Transport, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Result<Option<usize>, Code>) {
        let got = read_header(bytes, 4_104);
        let got = got.map(|h| h.map(|h| h.len)).map_err(|e| e.code);
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
