//! A chat and everybody who watches it, into a sink that only counts: what the fan-out itself costs a
//! viewer when the sockets cost nothing.
//!
//! The time is handed in, so a chat of any size does not wait for its floor interval here.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{FanOut, Pacing, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::time::Timestamp;

use crate::chat_table::{CHAT, ChatTable, START_MS};
use crate::thread_time;

/// Milliseconds between two rounds: beyond the longest floor interval.
pub const ROUND_MS: u64 = 2_000;

/// Takes everything.
#[derive(Default)]
struct Counting {
    taken: u64,
    bytes: u64,
}

impl Sink for Counting {
    fn offer(&mut self, connection: ConnectionId, _: ViewerId, batch: &SharedBatch) -> Offer {
        black_box(connection);
        self.taken += 1;
        self.bytes += batch.frames_len() as u64;
        Offer::Sent
    }

    fn tell(&mut self, _: ConnectionId, _: &Bytes) {}

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}

/// What the passes of a round took of the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passes {
    /// All of them together.
    pub all: Duration,
    /// The longest one.
    pub longest: Duration,
    /// Batches that viewers took.
    pub taken: u64,
}

/// A chat and everybody who watches it.
pub struct Watchers {
    chat: ChatTable,
    fan_out: FanOut,
    sink: Counting,
    now: Timestamp,
    viewers: usize,
}

impl Watchers {
    /// A chat with so many sessions, and a viewer for each of `watches`: what it watches, and the shortest
    /// time between two batches that it wants, milliseconds. Each has everything.
    pub fn new(sessions: usize, watches: impl IntoIterator<Item = (Scope, u32)>) -> Self {
        let chat = ChatTable::new(sessions);
        let mut fan_out = FanOut::new(Pacing::default(), 1);
        for (index, (scope, interval_ms)) in watches.into_iter().enumerate() {
            let spec = WatchSpec {
                connection: ConnectionId(index as u64),
                chat: CHAT,
                scope,
                from: 0,
                trail: 0,
                interval_ms,
            };
            fan_out.register(&spec, &chat.table);
        }
        let viewers = fan_out.len();
        let mut watchers = Self {
            chat,
            fan_out,
            sink: Counting::default(),
            now: Timestamp(START_MS),
            viewers,
        };
        let first = watchers.deliver();
        assert_eq!(first.taken, viewers as u64);
        watchers
    }

    /// All sessions move; not measured.
    pub fn change(&mut self) {
        self.now = self.now.plus_ms(ROUND_MS);
        self.chat.move_all();
        self.fan_out.mark_changed(CHAT);
    }

    /// Passes until there is nothing more to do.
    pub fn deliver(&mut self) -> Passes {
        let before = self.sink.taken;
        let mut passes = Passes::default();
        loop {
            let began = thread_time::now();
            let report = self.fan_out.pass(self.now, &self.chat, &mut self.sink);
            let took = thread_time::since(began);
            passes.all += took;
            passes.longest = passes.longest.max(took);
            if !report.more {
                break;
            }
        }
        passes.taken = self.sink.taken - before;
        passes
    }

    /// Nanoseconds of a viewer in a round in which each gets a batch: the mean of so many of them.
    ///
    /// # Panics
    /// If one gets none.
    pub fn nanos(&mut self, rounds: usize) -> f64 {
        let all: f64 = (0..rounds).map(|_| self.round()).sum();
        all / rounds as f64
    }

    fn round(&mut self) -> f64 {
        self.change();
        let passes = self.deliver();
        assert_eq!(passes.taken, self.viewers as u64);
        passes.all.as_secs_f64() * 1e9 / self.viewers as f64
    }
}
