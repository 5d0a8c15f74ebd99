//! Moments at which a chat or a viewer has to be looked at, the earliest first.
//!
//! Entries are never taken out early: who is woken compares the moment with the one it waits for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::ViewerId;
use crate::time::Timestamp;

/// Who is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// A chat, by its handle.
    Chat(u32),
    /// A viewer whose interval has passed.
    Viewer(ViewerId),
}

/// A heap of moments.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, Wake)>>,
}

impl Timers {
    /// Looks at `wake` at `due`.
    pub(crate) fn add(&mut self, due: Timestamp, wake: Wake) {
        self.heap.push(Reverse((due, wake)));
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the earliest one that is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Wake)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
