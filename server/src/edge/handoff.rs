//! A bounded queue between the tasks of one thread and that thread's pass.
//!
//! Handshakes, upgrades and QUIC streams are tasks of the shard's own runtime; what they bring
//! waits here until the pass takes it. A full queue makes the tasks wait, and through them the
//! peers: flow control does the rest. No lock: everything is on one thread.

use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::sync::Notify;

/// The queue.
#[derive(Debug)]
pub struct Handoff<T> {
    items: RefCell<VecDeque<T>>,
    items_max: usize,
    filled: Notify,
    emptied: Notify,
}

impl<T> Handoff<T> {
    /// An empty queue for at most `items_max` items.
    pub fn new(items_max: usize) -> Self {
        Self {
            items: RefCell::new(VecDeque::new()),
            items_max,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Puts an item in at once, beyond the bound if need be: for what must not wait and comes
    /// at most once per connection or stream.
    pub fn put(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        self.filled.notify_one();
    }

    /// Waits for room: items put in before the next `await` find it.
    pub async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.items.borrow().len() < self.items_max {
                return;
            }
            emptied.await;
        }
    }

    /// Takes up to `count` items, oldest first.
    pub fn take(&self, count: usize, mut each: impl FnMut(T)) {
        for _ in 0..count {
            // The queue is free again while the item is looked at.
            let Some(item) = self.items.borrow_mut().pop_front() else {
                break;
            };
            each(item);
        }
        self.emptied.notify_waiters();
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.items.borrow().is_empty()
    }

    /// Waits until something may be there. A dropped wait loses nothing.
    pub async fn filled(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }
}
