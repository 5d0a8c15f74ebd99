//! The client's half of a WebSocket over a blocking connection: the upgrade, messages out, whole
//! messages in. The bytes themselves are the load generator's.

use std::io::{Read, Write};
use std::ops::Range;

use skein_load::websocket_frame::{Message, cut, put_binary, upgrade, upgraded};
use skein_wire::limits::WEBSOCKET_SUBPROTOCOL;

use crate::link::{Link, Target};

/// Connects and upgrades.
///
/// # Panics
/// If the server refuses.
pub fn connect(target: &Target) -> Link {
    let mut link = target.connect();
    let request = upgrade(target.to, "/v1/ws", WEBSOCKET_SUBPROTOCOL);
    link.write_all(&request).expect("sent");
    let mut answer = Vec::new();
    while upgraded(&answer).expect("an upgrade").is_none() {
        let mut part = [0; 1_024];
        let count = link.read(&mut part).expect("an answer");
        assert!(count > 0, "the server closed instead of an upgrade");
        answer.extend_from_slice(&part[..count]);
    }
    // The server says nothing more before it is greeted.
    assert!(answer.ends_with(b"\r\n\r\n"), "more than an upgrade");
    link
}

/// A binary message, masked.
pub fn message(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    put_binary(&mut message, payload);
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
/// If the server closes, or sends nonsense.
pub fn first_message(pending: &[u8]) -> Option<Cut> {
    let (message, end) = cut(pending).expect("a server that speaks WebSocket")?;
    let payload = match message {
        Message::Data(payload) => end - payload.len()..end,
        Message::Ping(_) | Message::Pong => end..end,
        Message::Close(status, reason) => {
            let reason = String::from_utf8_lossy(reason);
            panic!("the server closed: {status} {reason}")
        }
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
