//! The client's half of WebSocket: the upgrade, masked messages out, whole messages in.

use anyhow::{Result, bail};

/// The mask of every message. A fixed one is allowed to a client that has no script to fear.
const MASK: [u8; 4] = [0x35, 0xa1, 0x0f, 0x5c];

/// FIN and opcode "binary".
const BINARY: u8 = 0x82;
/// FIN and opcode "ping".
const PING: u8 = 0x89;
/// FIN and opcode "pong".
const PONG: u8 = 0x8a;

/// The request that asks for the upgrade.
pub fn upgrade(path: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let subprotocol = match subprotocol {
        Some(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        None => String::new(),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {subprotocol}\r\n"
    );
    request.into_bytes()
}

/// Cuts the answer to the upgrade off; false if it is not whole yet.
///
/// # Errors
/// If the server refuses.
pub fn upgraded(input: &mut &[u8]) -> Result<bool> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    if !input.starts_with(b"HTTP/1.1 101") {
        bail!("no upgrade: {}", String::from_utf8_lossy(&input[..end]));
    }
    *input = &input[end + 4..];
    Ok(true)
}

/// A binary message of at most 64 KiB, masked; longer ones are cut by nobody here.
pub fn message(payload: &[u8], out: &mut Vec<u8>) {
    frame(BINARY, payload, out);
}

fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        longer => {
            out.push(0x80 | 126);
            out.extend((longer as u16).to_be_bytes());
        }
    }
    out.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    out.extend(masked.map(|(byte, key)| byte ^ key));
}

/// Cuts the first whole binary message off. Pings are answered on the way.
///
/// # Errors
/// If the server closes, or sends what is no binary message.
pub fn next_message<'a>(input: &mut &'a [u8], out: &mut Vec<u8>) -> Result<Option<&'a [u8]>> {
    loop {
        let Some((first, payload, used)) = cut(input) else {
            return Ok(None);
        };
        *input = &input[used..];
        match first {
            BINARY => return Ok(Some(payload)),
            PING => frame(PONG, payload, out),
            PONG => {}
            other => bail!(
                "the server sent {other:#04x} {}",
                String::from_utf8_lossy(payload)
            ),
        }
    }
}

/// First byte, payload, bytes of the whole.
fn cut(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, rest) = input.split_first()?;
    let (head, length): (usize, usize) = match rest.first()? {
        126 => {
            let length = [*rest.get(1)?, *rest.get(2)?];
            (4, usize::from(u16::from_be_bytes(length)))
        }
        127 => {
            let length: [u8; 8] = rest.get(1..9)?.try_into().ok()?;
            (10, u64::from_be_bytes(length) as usize)
        }
        short => (2, usize::from(*short)),
    };
    let end = head.checked_add(length)?;
    Some((first, input.get(head..end)?, end))
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
