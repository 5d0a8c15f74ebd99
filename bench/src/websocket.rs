//! The client's half of a WebSocket: the upgrade, masked messages out, whole messages in.

use std::io::{Read, Write};
use std::ops::Range;

use skein_wire::limits::WEBSOCKET_SUBPROTOCOL;

use crate::link::{Link, Target};

/// The mask of every message. A fixed one is allowed to a client that has no script to fear.
const MASK: [u8; 4] = [0x35, 0xa1, 0x0f, 0x5c];

/// FIN and opcode "binary".
const BINARY: u8 = 0x82;

/// Connects and upgrades.
///
/// # Panics
/// If the server refuses.
pub fn connect(target: &Target) -> Link {
    let mut link = target.connect();
    let to = target.to;
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {WEBSOCKET_SUBPROTOCOL}\r\n\r\n"
    );
    link.write_all(request.as_bytes()).expect("sent");
    // The server says nothing more before it is greeted.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1_024];
        let count = link.read(&mut part).expect("an answer");
        assert!(count > 0, "the server closed instead of an upgrade");
        answer.extend_from_slice(&part[..count]);
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 101"), "no upgrade: {text}");
    link
}

/// A binary message of at most 64 KiB, masked.
///
/// # Panics
/// If it is longer.
pub fn message(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![BINARY];
    match payload.len() {
        short @ 0..126 => message.push(0x80 | short as u8),
        longer => {
            let length = u16::try_from(longer).expect("a short message");
            message.push(0x80 | 126);
            message.extend(length.to_be_bytes());
        }
    }
    message.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    message.extend(masked.map(|(byte, key)| byte ^ key));
    message
}

/// Where the first whole message of some bytes lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its payload; empty if it is a ping or a pong.
    pub payload: Range<usize>,
    /// Where the next message begins.
    pub end: usize,
}

/// Finds the first whole message.
///
/// # Panics
/// If the server closes.
pub fn first_message(pending: &[u8]) -> Option<Cut> {
    let (&first, rest) = pending.split_first()?;
    let (head, length) = match rest.first()? {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*rest.get(1)?, *rest.get(2)?])),
        ),
        127 => {
            let long: [u8; 8] = rest.get(1..9)?.try_into().ok()?;
            (10, u64::from_be_bytes(long) as usize)
        }
        short => (2, usize::from(*short)),
    };
    let end = head + length;
    if pending.len() < end {
        return None;
    }
    let payload = match first {
        BINARY => head..end,
        0x89 | 0x8a => end..end,
        other => panic!("the server sent {other:#04x} {:?}", &pending[head..end]),
    };
    Some(Cut { payload, end })
}

#[cfg(test)]
mod tests {
    use super::{Cut, first_message};

    #[test]
    fn messages_are_cut_whole() {
        let bytes = [0x82, 3, 1, 2, 3, 0x89, 0, 0x82];
        assert_eq!(first_message(&bytes[..4]), None);
        let cut = |payload, end| Some(Cut { payload, end });
        assert_eq!(first_message(&bytes), cut(2..5, 5));
        assert_eq!(first_message(&bytes[5..]), cut(2..2, 2));
        assert_eq!(first_message(&bytes[7..]), None);
        let mut long = vec![0x82, 126, 1, 0];
        assert_eq!(first_message(&long), None);
        long.extend([0; 256]);
        assert_eq!(first_message(&long), cut(4..260, 260));
    }
}
