//! Redis: subscribers and publishers over RESP 2.

use anyhow::{Result, bail};

use crate::position::{POSITION_BYTES, Position};
use crate::protocol::{LineState, Protocol};
use crate::sink::{Sink, positions};

/// The channel that everybody is on.
pub const CHANNEL: &str = "stage";

/// One value of the protocol; what lies inside an array follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `*`: so many values follow.
    Array(i64),
    /// `$`.
    Bulk(&'a [u8]),
    /// `+`.
    Simple(&'a [u8]),
    /// `:`.
    Integer(i64),
    /// `-`.
    Error(&'a [u8]),
}

/// Cuts the first whole value off; `None` if it is not whole yet.
///
/// # Errors
/// If these bytes are not the protocol.
pub fn value<'a>(input: &mut &'a [u8]) -> Result<Option<Value<'a>>> {
    let Some(end) = memchr_crlf(input) else {
        return Ok(None);
    };
    let (line, rest) = (&input[..end], &input[end + 2..]);
    let Some((kind, text)) = line.split_first() else {
        bail!("an empty line where a value should be");
    };
    let value = match kind {
        b'+' => Value::Simple(text),
        b'-' => Value::Error(text),
        b':' => Value::Integer(number(text)?),
        b'*' => Value::Array(number(text)?),
        b'$' => {
            let Ok(length) = usize::try_from(number(text)?) else {
                *input = rest;
                return Ok(Some(Value::Bulk(&[])));
            };
            if rest.len() < length + 2 {
                return Ok(None);
            }
            *input = &rest[length + 2..];
            return Ok(Some(Value::Bulk(&rest[..length])));
        }
        other => bail!("{:?} begins no value", char::from(*other)),
    };
    *input = rest;
    Ok(Some(value))
}

fn memchr_crlf(input: &[u8]) -> Option<usize> {
    let end = input.iter().position(|byte| *byte == b'\r')?;
    (input.get(end + 1) == Some(&b'\n')).then_some(end)
}

fn number(text: &[u8]) -> Result<i64> {
    Ok(std::str::from_utf8(text)?.parse()?)
}

/// Appends a command.
pub fn command(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend(format!("*{}\r\n", parts.len()).bytes());
    for part in parts {
        out.extend(format!("${}\r\n", part.len()).bytes());
        out.extend_from_slice(part);
        out.extend(b"\r\n");
    }
}

/// Publishers and subscribers of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedisPubSub;

impl RedisPubSub {
    /// What a subscriber gets is arrays of three.
    fn message<'a>(input: &mut &'a [u8]) -> Result<Option<[&'a [u8]; 3]>> {
        let mut rest = *input;
        match value(&mut rest)? {
            None => return Ok(None),
            Some(Value::Array(3)) => {}
            Some(other) => bail!("a subscriber got {other:?}"),
        }
        let mut parts = [&[][..]; 3];
        for part in &mut parts {
            match value(&mut rest)? {
                None => return Ok(None),
                Some(Value::Bulk(bytes)) => *part = bytes,
                Some(Value::Integer(_)) => {}
                Some(other) => bail!("a message holds {other:?}"),
            }
        }
        *input = rest;
        Ok(Some(parts))
    }
}

impl Protocol for RedisPubSub {
    fn viewer_greeting(&self, _viewer: usize) -> Vec<u8> {
        let mut out = Vec::new();
        command(&[b"SUBSCRIBE", CHANNEL.as_bytes()], &mut out);
        out
    }

    fn sender_greeting(&self, _session: u32) -> Vec<u8> {
        let mut out = Vec::new();
        command(&[b"PING"], &mut out);
        out
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        _out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let mut rest = input;
        while let Some([kind, _, payload]) = Self::message(&mut rest)? {
            match kind {
                b"message" => positions(payload, sink)?,
                b"subscribe" => state.ready = true,
                other => bail!("a subscriber got {:?}", String::from_utf8_lossy(other)),
            }
        }
        Ok(input.len() - rest.len())
    }

    fn take_as_sender(
        &mut self,
        _session: u32,
        state: &mut LineState,
        input: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<usize> {
        let mut rest = input;
        while let Some(answer) = value(&mut rest)? {
            if let Value::Error(text) = answer {
                bail!("refused: {}", String::from_utf8_lossy(text));
            }
            state.ready = true;
        }
        Ok(input.len() - rest.len())
    }

    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>) {
        let position = Position { session, counter }.bytes();
        out.extend(b"*3\r\n$7\r\nPUBLISH\r\n$5\r\n");
        out.extend(CHANNEL.bytes());
        out.extend(b"\r\n$48\r\n");
        out.extend(position);
        out.extend(b"\r\n");
    }
}

const _: () = assert!(POSITION_BYTES == 48 && CHANNEL.len() == 5);

#[cfg(test)]
mod tests {
    use super::{RedisPubSub, Value, command, value};
    use crate::codec::tests::{Seen, check_cuts, position};

    #[test]
    fn values_of_all_kinds_are_cut() {
        let mut input = &b"*2\r\n$3\r\nabc\r\n:-7\r\n+OK\r\n-ERR no\r\n$-1\r\n$4\r\nab"[..];
        let mut all = Vec::new();
        while let Some(one) = value(&mut input).expect("the protocol") {
            all.push(one);
        }
        let expected = [
            Value::Array(2),
            Value::Bulk(b"abc"),
            Value::Integer(-7),
            Value::Simple(b"OK"),
            Value::Error(b"ERR no"),
            Value::Bulk(b""),
        ];
        assert_eq!(all, expected);
        assert_eq!(input, b"$4\r\nab");
        assert!(value(&mut &b"what\r\n"[..]).is_err());
    }

    #[test]
    fn a_subscriber_takes_whole_messages() {
        let mut bytes = b"*3\r\n$9\r\nsubscribe\r\n$5\r\nstage\r\n:1\r\n".to_vec();
        for counter in 1..=2 {
            let payload = position(3, counter);
            command(&[b"message", b"stage", &payload], &mut bytes);
        }
        let seen = check_cuts(RedisPubSub, &bytes);
        assert_eq!(seen, [Seen(3, 1), Seen(3, 2)]);
    }
}
