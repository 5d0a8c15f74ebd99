//! What a WebSocket was given and has not taken yet.
//!
//! Exists only while something waits: a link whose peer keeps up pays one pointer for it.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use skein_wire::ids::ChatHandle;

use crate::limits::{CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_FRAMES_MAX};

/// Bytes that were begun, and whole frames behind them.
#[derive(Debug)]
pub struct Backlog {
    /// Not yet written; empty while only cipher text waits.
    begun: Bytes,
    /// Whose batch `begun` is part of.
    chat: Option<ChatHandle>,
    /// Nothing of `begun` has left yet: it can be taken back.
    is_whole: bool,
    /// Whole WebSocket frames that go out after it.
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
}

impl Backlog {
    /// What is left of something after so many bytes of it were taken.
    pub fn new(whole: &Bytes, taken: usize, chat: Option<ChatHandle>) -> Self {
        Self {
            begun: whole.slice(taken..),
            chat,
            is_whole: taken == 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
        }
    }

    /// Whether a batch of this chat waits, or the rest of one.
    pub fn is_of(&self, chat: ChatHandle) -> bool {
        self.chat == Some(chat)
    }

    /// Whether nothing of what was begun has left.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Puts a frame behind what waits. False: too much waits already.
    #[must_use]
    pub fn put(&mut self, frame: Bytes) -> bool {
        if self.queue.len() >= CONTROL_QUEUE_FRAMES_MAX
            || self.queue_bytes + frame.len() > CONTROL_QUEUE_BYTES_MAX
        {
            return false;
        }
        self.put_last(frame);
        true
    }

    /// Puts a frame behind what waits, however much that is: one of the last ones.
    pub fn put_last(&mut self, frame: Bytes) {
        self.queue_bytes += frame.len();
        self.queue.push_back(frame);
    }

    /// What is to be written next; empty when only what was encrypted waits.
    pub fn begun(&self) -> &[u8] {
        &self.begun
    }

    /// So many bytes of it were taken.
    pub fn advance(&mut self, count: usize) {
        self.begun.advance(count);
        self.is_whole &= count == 0;
    }

    /// What was begun has left: the next frame is begun. False: there is none.
    #[must_use]
    pub fn begin_next(&mut self) -> bool {
        let Some(frame) = self.queue.pop_front() else {
            return false;
        };
        self.queue_bytes -= frame.len();
        self.begun = frame;
        self.chat = None;
        self.is_whole = true;
        true
    }
}
