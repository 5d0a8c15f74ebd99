//! What a message brings, found out once for all viewers that get the same bytes.

use bytes::Bytes;

use crate::protocol::{Brought, Row, read_rows};
use crate::websocket::first_message;

/// Remembers the last message.
#[derive(Default)]
pub struct Reading {
    counter: u64,
    last: Bytes,
    rows: Vec<Row>,
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

    /// Takes all whole messages from the front; how many positions with the counter are in them.
    pub fn fresh(&mut self, pending: &mut Vec<u8>) -> usize {
        let mut fresh = 0;
        self.take(pending, |brought, _| fresh += brought.fresh);
        fresh
    }

    /// Takes all whole messages from the front, and tells `each` what is in one of them.
    pub fn take(&mut self, pending: &mut Vec<u8>, mut each: impl FnMut(Brought, &[Row])) {
        let mut used = 0;
        while let Some(cut) = first_message(&pending[used..]) {
            let payload = &pending[used..][cut.payload.clone()];
            if !payload.is_empty() {
                self.read(payload, cut.end);
                each(self.brought, &self.rows);
            }
            used += cut.end;
        }
        pending.drain(..used);
    }

    fn read(&mut self, payload: &[u8], message_bytes: usize) {
        if self.last != payload {
            self.last = Bytes::copy_from_slice(payload);
            read_rows(self.last.clone(), &mut self.rows);
            self.brought = Brought::of(&self.rows, self.counter);
            if self.brought.fresh > 0 {
                self.message_bytes = self.message_bytes.max(message_bytes);
            }
        }
    }
}
