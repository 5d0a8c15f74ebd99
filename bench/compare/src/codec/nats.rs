//! NATS core: subscribers and publishers of one subject.

use anyhow::{Context, Result, bail};

use crate::position::Position;
use crate::protocol::{LineState, Protocol};
use crate::sink::{Sink, positions};

/// The subject that everybody is on.
pub const SUBJECT: &str = "stage";

/// What a client says first: no acknowledgement of each command, as every client library does.
pub const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\
                           \"version\":\"1\",\"protocol\":1,\"echo\":false,\"headers\":true}\r\n";

/// One message of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The server introduces itself.
    Info,
    /// It wants a `PONG`.
    Ping,
    /// It answers a `PING`.
    Pong,
    /// A command was taken.
    Ok,
    /// A payload of a subscription.
    Payload(&'a [u8]),
}

/// Cuts the first whole message off; `None` if it is not whole yet.
///
/// # Errors
/// If the server refuses, or these bytes are not the protocol.
pub fn message<'a>(input: &mut &'a [u8]) -> Result<Option<Message<'a>>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let (line, rest) = (&input[..end], &input[end + 2..]);
    let message = match line {
        line if line.starts_with(b"MSG ") => {
            let length = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let length: usize = std::str::from_utf8(length)?.parse().context("a length")?;
            if rest.len() < length + 2 {
                return Ok(None);
            }
            *input = &rest[length + 2..];
            return Ok(Some(Message::Payload(&rest[..length])));
        }
        line if line.starts_with(b"INFO ") => Message::Info,
        b"PING" => Message::Ping,
        b"PONG" => Message::Pong,
        b"+OK" => Message::Ok,
        other => bail!("the server said {:?}", String::from_utf8_lossy(other)),
    };
    *input = rest;
    Ok(Some(message))
}

/// Publishers and subscribers of one subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct NatsCore;

impl NatsCore {
    fn take_all(
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        mut payload: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<usize> {
        let mut rest = input;
        while let Some(message) = message(&mut rest)? {
            match message {
                Message::Payload(bytes) => payload(bytes)?,
                Message::Ping => out.extend(b"PONG\r\n"),
                Message::Pong => state.ready = true,
                Message::Info => state.greeted = true,
                Message::Ok => {}
            }
        }
        Ok(input.len() - rest.len())
    }
}

impl Protocol for NatsCore {
    fn viewer_greeting(&self, _viewer: usize) -> Vec<u8> {
        format!("{CONNECT}SUB {SUBJECT} 1\r\nPING\r\n").into_bytes()
    }

    fn sender_greeting(&self, _session: u32) -> Vec<u8> {
        format!("{CONNECT}PING\r\n").into_bytes()
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        Self::take_all(state, input, out, |payload| positions(payload, sink))
    }

    fn take_as_sender(
        &mut self,
        _session: u32,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        Self::take_all(state, input, out, |_| Ok(()))
    }

    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>) {
        let position = Position { session, counter }.bytes();
        out.extend(b"PUB ");
        out.extend(SUBJECT.bytes());
        out.extend(b" 48\r\n");
        out.extend(position);
        out.extend(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::{NatsCore, message};
    use crate::codec::tests::{Seen, check_cuts, position};
    use crate::protocol::{LineState, Protocol};
    use crate::sink::Sink;

    #[test]
    fn a_subscriber_takes_whole_messages() {
        let mut bytes = b"INFO {\"max_payload\":1048576}\r\nPONG\r\n".to_vec();
        for counter in 1..=2 {
            bytes.extend(b"MSG stage 1 48\r\n");
            bytes.extend(position(3, counter));
            bytes.extend(b"\r\n");
        }
        assert_eq!(check_cuts(NatsCore, &bytes), [Seen(3, 1), Seen(3, 2)]);
    }

    #[test]
    fn a_ping_is_answered_and_an_error_is_one() {
        struct Nowhere;
        impl Sink for Nowhere {
            fn position(&mut self, _: crate::position::Position) {}
            fn position_low(&mut self, _: u32, _: u8) {}
        }
        let mut out = Vec::new();
        let used = NatsCore.take(
            &mut LineState::default(),
            b"PING\r\nPI",
            &mut out,
            &mut Nowhere,
        );
        assert_eq!((used.expect("a ping"), &out[..]), (6, &b"PONG\r\n"[..]));
        assert!(message(&mut &b"-ERR 'Slow Consumer'\r\n"[..]).is_err());
    }
}
