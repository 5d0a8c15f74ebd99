//! The client's half of a WebSocket, byte by byte: the upgrade, masked messages out, messages in.

use std::fmt::Display;

use crate::fault::Fault;

/// The mask of every message. A fixed one is allowed to a client that has no script to fear.
const MASK: [u8; 4] = [0x35, 0xa1, 0x0f, 0x5c];

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;

/// FIN and the opcode of a text message.
const TEXT: u8 = 0x81;

/// FIN and the opcode of a close.
const CLOSE: u8 = 0x88;

/// FIN and the opcode of a ping.
const PING: u8 = 0x89;

/// FIN and the opcode of a pong.
const PONG: u8 = 0x8a;

/// Bytes of the answer to an upgrade that are waited for: far more than any server says.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Binary or text: its payload.
    Data(&'a [u8]),
    /// Wants a pong with the same payload.
    Ping(&'a [u8]),
    /// Nothing to do.
    Pong,
    /// The server ends the connection: status and reason.
    Close(u16, &'a [u8]),
}

/// The request that turns an HTTP connection into a WebSocket; `subprotocol` may be empty.
pub fn upgrade(host: impl Display, path: &str, subprotocol: &str) -> Vec<u8> {
    let protocol = match subprotocol {
        "" => String::new(),
        name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    );
    request.into_bytes()
}

/// Takes the answer to [`upgrade`] off the front: how many bytes it has, `None` until it is whole.
///
/// # Errors
/// When the server does not upgrade.
pub fn upgraded(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match input.len() > ANSWER_BYTES_MAX {
            true => Err(Fault::Protocol(
                "an endless answer to an upgrade".to_owned(),
            )),
            false => Ok(None),
        };
    };
    if !input.starts_with(b"HTTP/1.1 101") {
        let line = input
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        return Err(Fault::Refused(format!("no WebSocket: {line}")));
    }
    Ok(Some(end + 4))
}

/// Appends a binary message, masked.
pub fn put_binary(out: &mut Vec<u8>, payload: &[u8]) {
    put(out, BINARY, payload);
}

/// Appends a text message, masked.
pub fn put_text(out: &mut Vec<u8>, payload: &[u8]) {
    put(out, TEXT, payload);
}

/// Appends a pong, masked.
pub fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put(out, PONG, payload);
}

fn put(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    out.extend(masked.map(|(byte, key)| byte ^ key));
}

/// Cuts the first message off: it, and how many bytes it takes; `None` until it is whole.
///
/// # Errors
/// For fragments and for what is no message.
pub fn cut(input: &[u8]) -> Result<Option<(Message<'_>, usize)>, Fault> {
    let Some((head, length)) = head_and_length(input) else {
        return Ok(None);
    };
    let Some(end) = head.checked_add(length).filter(|end| *end <= input.len()) else {
        return Ok(None);
    };
    let payload = &input[head..end];
    let message = match input[0] {
        BINARY | TEXT => Message::Data(payload),
        PING => Message::Ping(payload),
        PONG => Message::Pong,
        CLOSE => match payload {
            [high, low, reason @ ..] => Message::Close(u16::from_be_bytes([*high, *low]), reason),
            _ => Message::Close(1_005, &[]),
        },
        other => {
            let text = format!("a WebSocket message that begins with {other:#04x}");
            return Err(Fault::Protocol(text));
        }
    };
    Ok(Some((message, end)))
}

fn head_and_length(input: &[u8]) -> Option<(usize, usize)> {
    let (_, rest) = input.split_first()?;
    Some(match rest.first()? {
        126 => {
            let length = [*rest.get(1)?, *rest.get(2)?];
            (4, usize::from(u16::from_be_bytes(length)))
        }
        127 => {
            let long: [u8; 8] = rest.get(1..9)?.try_into().ok()?;
            let length = usize::try_from(u64::from_be_bytes(long));
            (10, length.unwrap_or(usize::MAX))
        }
        short => (2, usize::from(*short)),
    })
}

#[cfg(test)]
mod tests {
    use crate::websocket_frame::{Message, cut, put_binary, upgraded};

    #[test]
    fn messages_are_cut_whole() {
        let mut bytes = vec![0x82, 3, 1, 2];
        assert_eq!(cut(&bytes).expect("fine so far"), None);
        bytes.extend([3, 0x89, 0]);
        let first = (Message::Data(&[1, 2, 3][..]), 5);
        assert_eq!(cut(&bytes).expect("a message"), Some(first));
        let second = (Message::Ping(&[][..]), 2);
        assert_eq!(cut(&bytes[5..]).expect("a message"), Some(second));
        let mut long = vec![0x82, 126, 1];
        assert_eq!(cut(&long).expect("fine so far"), None);
        long.extend([0; 257]);
        assert_eq!(
            cut(&long).expect("a message").map(|(_, end)| end),
            Some(260)
        );
    }

    #[test]
    fn nonsense_is_refused_and_never_panics() {
        assert!(cut(&[0x02, 1, 7]).is_err(), "a fragment");
        let huge = [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(cut(&huge).expect("waits for more"), None);
        let close = cut(&[0x88, 3, 0x0f, 0xa1, b'x']).expect("a message");
        assert_eq!(close, Some((Message::Close(4_001, b"x"), 5)));
    }

    #[test]
    fn what_a_client_says_is_masked() {
        let mut bytes = Vec::new();
        put_binary(&mut bytes, &[7; 200]);
        assert_eq!(bytes.len(), 2 + 2 + 4 + 200);
        assert_eq!(&bytes[..4], [0x82, 0x80 | 126, 0, 200]);
        assert_eq!(bytes[8] ^ bytes[4], 7);
    }

    #[test]
    fn only_an_upgrade_is_an_upgrade() {
        assert_eq!(upgraded(b"HTTP/1.1 101 S").expect("waits"), None);
        let whole = b"HTTP/1.1 101 Switching\r\nA: b\r\n\r\nrest";
        assert_eq!(upgraded(whole).expect("an upgrade"), Some(whole.len() - 4));
        let refused = upgraded(b"HTTP/1.1 503 Busy\r\n\r\n").expect_err("refused");
        assert!(refused.to_string().contains("503 Busy"), "{refused}");
    }
}
