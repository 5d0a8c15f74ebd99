//! Centrifugo: viewers over WebSocket with its protobuf protocol, its most compact one.
//!
//! A message holds one or more replies, each with its length in front. Nobody publishes here: the
//! stack's consumer does, over HTTP.

use anyhow::{Context, Result, bail};

use crate::codec::websocket::{message, next_message, upgrade, upgraded};
use crate::protocol::LineState;
use crate::sink::{Sink, positions};

/// The channel that everybody is on.
pub const CHANNEL: &str = "stage";

/// Path of the WebSocket.
const PATH: &str = "/connection/websocket";

/// Subprotocol that chooses protobuf.
const SUBPROTOCOL: &str = "centrifuge-protobuf";

/// Numbers of the commands, so that answers can be told apart.
const CONNECT_ID: u64 = 1;
const SUBSCRIBE_ID: u64 = 2;

// Numbers of fields in `client.proto`.
const ID: u64 = 1;
const ERROR: u64 = 2;
const PUSH: u64 = 4;
const COMMAND_CONNECT: u64 = 4;
const COMMAND_SUBSCRIBE: u64 = 5;
const SUBSCRIBE_CHANNEL: u64 = 1;
const PUSH_PUBLICATION: u64 = 4;
const PUSH_DISCONNECT: u64 = 10;
const PUBLICATION_DATA: u64 = 4;

/// What a viewer says first.
pub fn greeting() -> Vec<u8> {
    upgrade(PATH, Some(SUBPROTOCOL))
}

/// Takes all whole messages off the front; bytes used.
///
/// # Errors
/// If the server refuses, or says what nobody understands.
pub fn take(
    state: &mut LineState,
    input: &[u8],
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) -> Result<usize> {
    let mut rest = input;
    if !state.greeted && upgraded(&mut rest)? {
        state.greeted = true;
        message(&commands(), out);
    }
    while state.greeted
        && let Some(mut replies) = next_message(&mut rest, out)?
    {
        while !replies.is_empty() {
            let length = varint(&mut replies)? as usize;
            let reply = replies.get(..length).context("a reply is cut off")?;
            replies = &replies[length..];
            match reply {
                // An empty reply is a ping; an empty command answers it.
                [] => message(&[0], out),
                reply => take_reply(reply, state, sink)?,
            }
        }
    }
    Ok(input.len() - rest.len())
}

fn take_reply(reply: &[u8], state: &mut LineState, sink: &mut impl Sink) -> Result<()> {
    let mut rest = reply;
    while let Some(field) = field(&mut rest)? {
        match field {
            (ID, Value::Number(SUBSCRIBE_ID)) => state.ready = true,
            (ERROR, Value::Bytes(error)) => {
                bail!("refused: {}", String::from_utf8_lossy(error))
            }
            (PUSH, Value::Bytes(push)) => take_push(push, sink)?,
            _ => {}
        }
    }
    Ok(())
}

fn take_push(push: &[u8], sink: &mut impl Sink) -> Result<()> {
    let mut rest = push;
    while let Some(pushed) = field(&mut rest)? {
        match pushed {
            (PUSH_PUBLICATION, Value::Bytes(mut publication)) => {
                while let Some(part) = field(&mut publication)? {
                    if let (PUBLICATION_DATA, Value::Bytes(data)) = part {
                        positions(data, sink)?;
                    }
                }
            }
            (PUSH_DISCONNECT, Value::Bytes(why)) => {
                bail!("disconnected: {}", String::from_utf8_lossy(why))
            }
            _ => {}
        }
    }
    Ok(())
}

/// Connect and subscribe, one after the other.
fn commands() -> Vec<u8> {
    let mut out = Vec::new();
    for (id, kind, request) in [
        (CONNECT_ID, COMMAND_CONNECT, Vec::new()),
        (SUBSCRIBE_ID, COMMAND_SUBSCRIBE, subscribe()),
    ] {
        let mut command = Vec::new();
        put_varint(ID << 3, &mut command);
        put_varint(id, &mut command);
        put_bytes(kind, &request, &mut command);
        put_varint(command.len() as u64, &mut out);
        out.extend(command);
    }
    out
}

fn subscribe() -> Vec<u8> {
    let mut request = Vec::new();
    put_bytes(SUBSCRIBE_CHANNEL, CHANNEL.as_bytes(), &mut request);
    request
}

fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The value of a field, as far as it is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Cuts the first field off: its number and value.
fn field<'a>(input: &mut &'a [u8]) -> Result<Option<(u64, Value<'a>)>> {
    if input.is_empty() {
        return Ok(None);
    }
    let key = varint(input)?;
    let length = match key & 7 {
        0 => return Ok(Some((key >> 3, Value::Number(varint(input)?)))),
        1 => 8,
        2 => varint(input)? as usize,
        5 => 4,
        other => bail!("a field of wire type {other}"),
    };
    let bytes = input.get(..length).context("a field is cut off")?;
    *input = &input[length..];
    Ok(Some((key >> 3, Value::Bytes(bytes))))
}

fn varint(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().context("a number is cut off")?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number has no end")
}

#[cfg(test)]
mod tests {
    use super::{PUBLICATION_DATA, PUSH, PUSH_PUBLICATION, put_bytes, put_varint, take};
    use crate::codec::tests::{Seen, check_cuts, position};
    use crate::protocol::{LineState, Protocol};
    use crate::sink::Sink;

    #[derive(Clone)]
    struct Viewer;

    impl Protocol for Viewer {
        fn viewer_greeting(&self, _: usize) -> Vec<u8> {
            super::greeting()
        }

        fn sender_greeting(&self, _: u32) -> Vec<u8> {
            Vec::new()
        }

        fn take(
            &mut self,
            state: &mut LineState,
            input: &[u8],
            out: &mut Vec<u8>,
            sink: &mut impl Sink,
        ) -> anyhow::Result<usize> {
            take(state, input, out, sink)
        }

        fn take_as_sender(
            &mut self,
            _: u32,
            _: &mut LineState,
            input: &[u8],
            _: &mut Vec<u8>,
        ) -> anyhow::Result<usize> {
            Ok(input.len())
        }

        fn publish(&mut self, _: u32, _: u64, _: &mut Vec<u8>) {}
    }

    fn delimited(reply: &[u8], out: &mut Vec<u8>) {
        put_varint(reply.len() as u64, out);
        out.extend_from_slice(reply);
    }

    #[test]
    fn replies_and_publications_are_read() {
        let mut replies = Vec::new();
        // id 1 with a connect result, id 2, a ping, then a push with two positions in it.
        delimited(&[8, 1, 0x2a, 0], &mut replies);
        delimited(&[8, 2], &mut replies);
        delimited(&[], &mut replies);
        let data = [position(3, 1), position(4, 9)].concat();
        let (mut publication, mut push, mut reply) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(PUBLICATION_DATA, &data, &mut publication);
        put_bytes(2, b"stage", &mut push);
        put_bytes(PUSH_PUBLICATION, &publication, &mut push);
        put_bytes(PUSH, &push, &mut reply);
        delimited(&reply, &mut replies);
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        bytes.extend([0x82, 126]);
        bytes.extend((replies.len() as u16).to_be_bytes());
        bytes.extend(replies);
        assert_eq!(check_cuts(Viewer, &bytes), [Seen(3, 1), Seen(4, 9)]);
    }

    #[test]
    fn an_error_ends_the_viewer() {
        let bytes = b"HTTP/1.1 101 X\r\n\r\n\x82\x06\x05\x12\x03\x08\x65\x00";
        let mut none = crate::tally::Tally::new(1);
        none.add_viewers(1);
        let mut sink = none.of_viewer(0);
        let mut state = LineState::default();
        assert!(take(&mut state, bytes, &mut Vec::new(), &mut sink).is_err());
    }
}
