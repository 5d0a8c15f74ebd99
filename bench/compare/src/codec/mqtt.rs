//! MQTT 3.1.1 at quality of service 0: subscribers and publishers of one topic.

use anyhow::{Result, bail, ensure};

use crate::position::Position;
use crate::protocol::{LineState, Protocol};
use crate::sink::{Sink, positions};

/// The topic that everybody is on.
pub const TOPIC: &str = "stage";

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;

/// Bytes of the length of a packet, at most.
const LENGTH_BYTES_MAX: usize = 4;

/// Publishers and subscribers of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mqtt;

/// Cuts the first whole packet off: its first byte and its body.
///
/// # Errors
/// If its length is none.
pub fn packet<'a>(input: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>> {
    let Some((&kind, rest)) = input.split_first() else {
        return Ok(None);
    };
    let (mut length, mut at) = (0, 0);
    loop {
        let Some(&byte) = rest.get(at) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        ensure!(at < LENGTH_BYTES_MAX, "a packet has no end of its length");
    }
    let Some(body) = rest.get(at..at + length) else {
        return Ok(None);
    };
    *input = &rest[at + length..];
    Ok(Some((kind, body)))
}

fn write(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    let mut length = body.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(body);
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.bytes());
}

/// `CONNECT` with a clean session and without keep-alive.
fn connect(client: &str, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    text("MQTT", &mut body);
    body.extend([4, 2, 0, 0]);
    text(client, &mut body);
    write(CONNECT, &body, out);
}

impl Mqtt {
    fn take_all(
        state: &mut LineState,
        input: &[u8],
        mut payload: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<usize> {
        let mut rest = input;
        while let Some((kind, body)) = packet(&mut rest)? {
            match kind {
                PUBLISH => {
                    let topic = body.get(..2).unwrap_or(&[0, 0]);
                    let topic = usize::from(u16::from_be_bytes([topic[0], topic[1]]));
                    ensure!(body.len() >= 2 + topic, "a publication is cut off");
                    payload(&body[2 + topic..])?;
                }
                CONNACK => {
                    ensure!(body.get(1) == Some(&0), "not connected: {body:?}");
                    state.greeted = true;
                }
                SUBACK => {
                    ensure!(body.get(2) == Some(&0), "not subscribed: {body:?}");
                    state.ready = true;
                }
                PINGRESP => {}
                other => bail!("a packet of kind {other:#04x}"),
            }
        }
        Ok(input.len() - rest.len())
    }
}

impl Protocol for Mqtt {
    fn viewer_greeting(&self, viewer: usize) -> Vec<u8> {
        let mut out = Vec::new();
        connect(&format!("v{viewer}"), &mut out);
        let mut body = vec![0, 1];
        text(TOPIC, &mut body);
        body.push(0);
        write(SUBSCRIBE, &body, &mut out);
        out
    }

    fn sender_greeting(&self, session: u32) -> Vec<u8> {
        let mut out = Vec::new();
        connect(&format!("s{session}"), &mut out);
        out
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        _out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        Self::take_all(state, input, |payload| positions(payload, sink))
    }

    fn take_as_sender(
        &mut self,
        _session: u32,
        state: &mut LineState,
        input: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<usize> {
        let used = Self::take_all(state, input, |_| Ok(()))?;
        state.ready |= state.greeted;
        Ok(used)
    }

    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(64);
        text(TOPIC, &mut body);
        body.extend(Position { session, counter }.bytes());
        write(PUBLISH, &body, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{Mqtt, packet, write};
    use crate::codec::tests::{Seen, check_cuts};
    use crate::protocol::{LineState, Protocol};

    #[test]
    fn a_subscriber_takes_whole_packets() {
        let mut bytes = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0];
        for counter in 1..=2 {
            Mqtt.publish(3, counter, &mut bytes);
        }
        assert_eq!(check_cuts(Mqtt, &bytes), [Seen(3, 1), Seen(3, 2)]);
    }

    #[test]
    fn long_packets_have_long_lengths() {
        let mut bytes = Vec::new();
        write(0x30, &[7; 300], &mut bytes);
        assert_eq!(&bytes[..3], &[0x30, 0xac, 2]);
        let mut input = &bytes[..];
        let (kind, body) = packet(&mut input).expect("a packet").expect("whole");
        assert_eq!((kind, body.len(), input.len()), (0x30, 300, 0));
        assert!(packet(&mut &[0x30, 0xff, 0xff, 0xff, 0xff, 1][..]).is_err());
    }

    #[test]
    fn who_is_refused_is_told() {
        let mut state = LineState::default();
        let refused = Mqtt.take_as_sender(0, &mut state, &[0x20, 2, 0, 5], &mut Vec::new());
        assert!(refused.is_err());
        assert!(!state.ready);
    }
}
