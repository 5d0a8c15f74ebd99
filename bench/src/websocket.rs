//! The client's half of a WebSocket: the upgrade, masked messages out, whole messages in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use skein_wire::limits::WEBSOCKET_SUBPROTOCOL;

/// The mask of every message. A fixed one is allowed to a client that has no script to fear.
const MASK: [u8; 4] = [0x35, 0xa1, 0x0f, 0x5c];

/// FIN and opcode "binary".
const BINARY: u8 = 0x82;

/// Connects and upgrades.
///
/// # Panics
/// If the server refuses.
pub fn connect(to: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(to).expect("a connection");
    socket.set_nodelay(true).expect("an option");
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {WEBSOCKET_SUBPROTOCOL}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).expect("sent");
    // Byte by byte: what follows the answer belongs to the frames.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 101"), "no upgrade: {text}");
    socket
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

/// Cuts the first whole message off: its payload, empty if it is a ping or a pong.
///
/// # Panics
/// If the server closes.
pub fn cut_message(pending: &mut Vec<u8>) -> Option<Bytes> {
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
    if pending.len() < head + length {
        return None;
    }
    let payload = Bytes::copy_from_slice(&pending[head..head + length]);
    pending.drain(..head + length);
    match first {
        BINARY => Some(payload),
        0x89 | 0x8a => Some(Bytes::new()),
        other => panic!("the server sent {other:#04x} {payload:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::cut_message;

    #[test]
    fn messages_are_cut_whole() {
        let mut bytes = vec![0x82, 3, 1, 2];
        assert_eq!(cut_message(&mut bytes), None);
        bytes.extend([3, 0x89, 0, 0x82]);
        assert_eq!(cut_message(&mut bytes).as_deref(), Some(&[1, 2, 3][..]));
        assert_eq!(cut_message(&mut bytes).as_deref(), Some(&[][..]));
        assert_eq!(cut_message(&mut bytes), None);
        let mut long = vec![0x82, 126, 1];
        assert_eq!(cut_message(&mut long), None);
        long.extend([0; 257]);
        assert_eq!(
            cut_message(&mut long).map(|payload| payload.len()),
            Some(256)
        );
        assert!(long.is_empty());
    }
}
