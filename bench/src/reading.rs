//! What a message brings, found out once for all viewers that get the same bytes.

use bytes::Bytes;

use crate::protocol::{Brought, brought};
use crate::websocket::first_message;

/// Remembers the last message.
#[derive(Default)]
pub struct Reading {
    counter: u64,
    last: Bytes,
    brought: Brought,
    /// Bytes of the largest message since somebody asked.
    pub message_bytes: usize,
}

impl Reading {
    /// Looks for another counter from now on.
    pub fn look_for(&mut self, counter: u64) {
        self.counter = counter;
        self.last = Bytes::new();
    }

    /// Takes all whole messages from the front; what they bring.
    pub fn take(&mut self, pending: &mut Vec<u8>) -> Brought {
        let (mut all, mut used) = (Brought::default(), 0);
        while let Some(cut) = first_message(&pending[used..]) {
            let payload = &pending[used..][cut.payload.clone()];
            if !payload.is_empty() {
                let brought = self.of(payload, cut.end);
                all.positions += brought.positions;
                all.fresh += brought.fresh;
                all.captured_at_ms += brought.captured_at_ms;
            }
            used += cut.end;
        }
        pending.drain(..used);
        all
    }

    fn of(&mut self, payload: &[u8], message_bytes: usize) -> Brought {
        if self.last != payload {
            self.last = Bytes::copy_from_slice(payload);
            self.brought = brought(self.last.clone(), self.counter);
            if self.brought.fresh > 0 {
                self.message_bytes = self.message_bytes.max(message_bytes);
            }
        }
        self.brought
    }
}
