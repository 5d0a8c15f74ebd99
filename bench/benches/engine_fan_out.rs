//! 100,000 cursors over a chat in which 1,000 rows changed, into a sink that only counts: what the
//! fan-out itself costs a viewer when the sockets cost nothing.
//!
//! The time is handed in, so a chat of this size does not wait for its floor interval here.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Throughput;
use skein_bench::chat_table::{CHAT, ChatTable, START_MS};
use skein_bench::floors::walk_cursors::{self, PlainViewer, WALKS, Walk};
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::thread_time;
use skein_bench::timed::Block;
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{FanOut, Pacing, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::time::Timestamp;
use skein_wire::request::Delivery;

/// Viewers of the chat.
const VIEWERS: usize = 100_000;

/// Sessions of the chat; all of them move in every round.
const SESSIONS: usize = 1_000;

/// Milliseconds between two rounds: beyond the longest floor interval.
const ROUND_MS: u64 = 2_000;

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

/// A chat and everybody who watches it.
struct Audience {
    chat: ChatTable,
    fan_out: FanOut,
    sink: Counting,
    now: Timestamp,
    viewers: usize,
}

impl Audience {
    fn new(viewers: usize) -> Self {
        let chat = ChatTable::new(SESSIONS);
        let mut fan_out = FanOut::new(Pacing::default(), 1);
        for index in 0..viewers {
            let spec = WatchSpec {
                connection: ConnectionId(index as u64),
                chat: CHAT,
                scope: Scope {
                    delivery: Delivery::Latest,
                    session: None,
                    grid: None,
                    area: None,
                },
                from: 0,
                trail: 0,
                interval_ms: 0,
            };
            fan_out.register(&spec, &chat.table);
        }
        let mut audience = Self {
            chat,
            fan_out,
            sink: Counting::default(),
            now: Timestamp(START_MS),
            viewers,
        };
        audience.deliver();
        audience
    }

    /// All sessions move; not measured.
    fn change(&mut self) {
        self.now = self.now.plus_ms(ROUND_MS);
        self.chat.move_all();
        self.fan_out.mark_changed(CHAT);
    }

    /// Passes until everybody has everything.
    fn deliver(&mut self) {
        let before = self.sink.taken;
        loop {
            let sink = &mut self.sink;
            if !self.fan_out.pass(self.now, &self.chat, sink).more {
                break;
            }
        }
        assert_eq!(self.sink.taken - before, self.viewers as u64);
    }

    /// Nanoseconds of a viewer in one round.
    fn nanos(&mut self) -> f64 {
        self.change();
        let began = thread_time::now();
        self.deliver();
        thread_time::since(began).as_secs_f64() * 1e9 / self.viewers as f64
    }
}

/// The floor's viewers and where their chat stands.
struct Plain {
    viewers: Vec<PlainViewer>,
    head: u64,
    walk: Walk,
}

impl Plain {
    fn new(viewers: usize, walk: Walk) -> Self {
        let viewer = |connection| PlainViewer {
            connection,
            cursor: 0,
        };
        Self {
            viewers: (0..viewers as u64).map(viewer).collect(),
            head: 0,
            walk,
        }
    }

    fn round(&mut self) {
        self.head += 1;
        let walked = (self.walk)(&mut self.viewers, self.head, black_box(take));
        assert_eq!(walked, self.viewers.len() as u64);
    }
}

/// Takes everything, and is called for it.
#[inline(never)]
fn take(connection: u64) -> bool {
    black_box(connection);
    true
}

/// This part.
pub const PART: Part<Run> = Part {
    name: "engine_fan_out",
    figures: &["engine_100k_cursors"],
    seconds: [2, 10],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    let viewers = match run.effort() {
        Effort::Check => VIEWERS / 100,
        _ => VIEWERS,
    };
    if run.is_first_lap() {
        distributions(run, viewers);
    }
    let spec = Spec {
        name: "engine_100k_cursors",
        unit: "ns/viewer",
        floor_expected: walk_cursors::EXPECTED.here(),
    };
    let effort = run.effort();
    let rounds = (effort.block().as_millis() / 10).max(1) as usize;
    // As many places of the floor's loop as a full run has set-ups; a quick one has every second.
    let mut walks = WALKS.into_iter().cycle();
    let step = WALKS.len() / effort.set_ups();
    run.ratio_of_set_ups(&spec, || {
        let walk = walks.nth(step - 1).expect("a cycle");
        let mut audience = Audience::new(viewers);
        let mut plain = Plain::new(viewers, walk);
        let mut floor = Block::new(effort.block(), move |iterations| {
            (0..iterations).for_each(|_| plain.round());
        });
        Sides::new(
            move || (0..rounds).map(|_| audience.nanos()).sum::<f64>() / rounds as f64,
            move || floor.nanos_of(viewers),
        )
    });
}

fn distributions(run: &mut Run, viewers: usize) {
    let mut audience = Audience::new(viewers);
    let mut plain = Plain::new(viewers, WALKS[0]);
    let viewers = viewers as u64;
    let mut group = run.criterion().benchmark_group("engine_fan_out");
    group.throughput(Throughput::Elements(viewers));
    group.bench_function("100k_cursors", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = std::time::Duration::ZERO;
            for _ in 0..iterations {
                audience.change();
                let began = thread_time::now();
                audience.deliver();
                took += thread_time::since(began);
            }
            took
        });
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    group.throughput(Throughput::Elements(viewers));
    group.bench_function("walk_cursors", |bencher| bencher.iter(|| plain.round()));
    group.finish();
}
