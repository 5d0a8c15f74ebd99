//! The client's half of WebSocket as the codecs see it: an input that shrinks from the front, pings
//! answered on the way. The bytes themselves are the load generator's.

use anyhow::{Result, bail};
use skein_load::websocket_frame::{self as frame, Message};

/// The name by which servers on this machine are asked for.
const HOST: &str = "localhost";

/// The request that asks for the upgrade.
pub fn upgrade(path: &str, subprotocol: Option<&str>) -> Vec<u8> {
    frame::upgrade(HOST, path, subprotocol.unwrap_or_default())
}

/// Cuts the answer to the upgrade off; false if it is not whole yet.
///
/// # Errors
/// If the server refuses.
pub fn upgraded(input: &mut &[u8]) -> Result<bool> {
    let Some(used) = frame::upgraded(input)? else {
        return Ok(false);
    };
    *input = &input[used..];
    Ok(true)
}

/// A binary message, masked.
pub fn message(payload: &[u8], out: &mut Vec<u8>) {
    frame::put_binary(out, payload);
}

/// Cuts the first whole binary message off. Pings are answered on the way.
///
/// # Errors
/// If the server closes, or sends what is no message.
pub fn next_message<'a>(input: &mut &'a [u8], out: &mut Vec<u8>) -> Result<Option<&'a [u8]>> {
    loop {
        let Some((message, used)) = frame::cut(input)? else {
            return Ok(None);
        };
        *input = &input[used..];
        match message {
            Message::Data(payload) => return Ok(Some(payload)),
            Message::Ping(payload) => frame::put_pong(out, payload),
            Message::Pong => {}
            Message::Close(status, reason) => {
                bail!(
                    "the server closed: {status} {}",
                    String::from_utf8_lossy(reason)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{next_message, upgraded};

    #[test]
    fn messages_are_cut_whole_and_pings_answered() {
        let mut out = Vec::new();
        let mut input = &[0x89, 1, 7, 0x82, 3, 1, 2][..];
        assert_eq!(next_message(&mut input, &mut out).expect("whole"), None);
        assert_eq!((out[0], out[1], input.len()), (0x8a, 0x81, 4));
        let mut input = &[0x82, 3, 1, 2, 3, 0x82][..];
        let message = next_message(&mut input, &mut out).expect("whole");
        assert_eq!((message, input), (Some(&[1, 2, 3][..]), &[0x82][..]));
        assert!(next_message(&mut &[0x88, 0][..], &mut out).is_err());
    }

    #[test]
    fn lengths_of_all_sizes_are_read() {
        for (head, length) in [
            (vec![0x82, 125], 125),
            (vec![0x82, 126, 1, 2], 258),
            (vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
        ] {
            let mut bytes = head;
            bytes.resize(bytes.len() + length, 9);
            let mut input = &bytes[..];
            let message = next_message(&mut input, &mut Vec::new()).expect("whole");
            assert_eq!(message.map(<[u8]>::len), Some(length));
        }
    }

    #[test]
    fn a_refused_upgrade_says_why() {
        let mut input = &b"HTTP/1.1 403 Forbidden\r\n\r\n"[..];
        let error = upgraded(&mut input).expect_err("no upgrade");
        assert!(error.to_string().contains("403"));
        let mut input = &b"HTTP/1.1 101 Switching Protocols\r\n"[..];
        assert!(!upgraded(&mut input).expect("not whole yet"));
    }
}
