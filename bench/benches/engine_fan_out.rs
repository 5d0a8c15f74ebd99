//! 100,000 cursors over a chat in which 1,000 rows changed, into a sink that only counts: what the
//! fan-out itself costs a viewer when the sockets cost nothing.
//!
//! The time is handed in, so a chat of this size does not wait for its floor interval here.

use std::hint::black_box;

use criterion::Throughput;
use skein_bench::floors::walk_cursors::{self, PlainViewer, WALKS, Walk};
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::timed::Block;
use skein_bench::watchers::Watchers;
use skein_engine::batch_builder::Scope;
use skein_wire::request::Delivery;

/// Viewers of the chat.
const VIEWERS: usize = 100_000;

/// Sessions of the chat; all of them move in every round.
const SESSIONS: usize = 1_000;

/// Everybody watches the whole chat.
fn watchers(viewers: usize) -> Watchers {
    let watch = (Scope::whole(Delivery::Latest), 0);
    Watchers::new(SESSIONS, std::iter::repeat_n(watch, viewers))
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
        let mut audience = watchers(viewers);
        let mut plain = Plain::new(viewers, walk);
        let mut floor = Block::new(effort.block(), move |iterations| {
            (0..iterations).for_each(|_| plain.round());
        });
        Sides::new(
            move || audience.nanos(rounds),
            move || floor.nanos_of(viewers),
        )
    });
}

fn distributions(run: &mut Run, viewers: usize) {
    let mut audience = watchers(viewers);
    let mut plain = Plain::new(viewers, WALKS[0]);
    let viewers = viewers as u64;
    let mut group = run.criterion().benchmark_group("engine_fan_out");
    group.throughput(Throughput::Elements(viewers));
    group.bench_function("100k_cursors", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = std::time::Duration::ZERO;
            for _ in 0..iterations {
                audience.change();
                took += audience.deliver().all;
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
