//! The plain broadcast servers over WebSocket: what `/send` gets goes to everybody on `/view`.

use anyhow::Result;

use crate::codec::websocket::{message, next_message, upgrade, upgraded};
use crate::position::Position;
use crate::protocol::{LineState, Protocol};
use crate::sink::{Sink, positions};

/// Path of those who publish.
pub const SEND: &str = "/send";

/// Path of those who view. An empty message tells a viewer that it is one.
pub const VIEW: &str = "/view";

/// Publishers and viewers.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainWebsocket;

impl Protocol for PlainWebsocket {
    fn viewer_greeting(&self, _viewer: usize) -> Vec<u8> {
        upgrade(VIEW, None)
    }

    fn sender_greeting(&self, _session: u32) -> Vec<u8> {
        upgrade(SEND, None)
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let mut rest = input;
        if !state.greeted {
            state.greeted = upgraded(&mut rest)?;
        }
        while state.greeted
            && let Some(payload) = next_message(&mut rest, out)?
        {
            match payload {
                [] => state.ready = true,
                payload => positions(payload, sink)?,
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
        if !state.greeted {
            state.greeted = upgraded(&mut rest)?;
            state.ready = state.greeted;
        }
        Ok(input.len() - rest.len())
    }

    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>) {
        message(&Position { session, counter }.bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::PlainWebsocket;
    use crate::codec::tests::{Seen, check_cuts, position};

    #[test]
    fn a_viewer_takes_whole_messages() {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x00".to_vec();
        for counter in 1..=2 {
            bytes.extend([0x82, 48]);
            bytes.extend(position(3, counter));
        }
        assert_eq!(check_cuts(PlainWebsocket, &bytes), [Seen(3, 1), Seen(3, 2)]);
    }
}
