//! The latest table: a point applied as a shard that follows the log does it, and "what changed
//! since" in a small and in a large table.

use std::hint::black_box;

use criterion::{BenchmarkId, Throughput};
use skein_bench::chat_table::{ChatTable, point_record, session};
use skein_bench::floors::scan_changes;
use skein_bench::floors::store_rows::{self, Rows, StoredRow};
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::thread_time;
use skein_bench::timed::Block;
use skein_engine::record::OwnedRecord;

/// Sessions of the chat that points are applied to.
const SESSIONS: usize = 1_000;

/// Points of each session in one go, so that counters ascend and records are made outside.
const ROUNDS: usize = 8;

/// About how long a point takes, nanoseconds: so a block has about its length.
const POINT_NS: f64 = 100.0;

/// Rows that changed, in a table of any size.
const CHANGED: usize = 1_000;

/// Names of the ratios, and rows of the table.
const TABLES: &[(&str, usize)] = &[
    ("engine_changed_since_1k", 1_000),
    ("engine_changed_since_100k", 100_000),
];

/// This part.
pub const PART: Part<Run> = Part {
    name: "engine_table",
    figures: &[
        "engine_point_applied",
        "engine_changed_since_1k",
        "engine_changed_since_100k",
    ],
    seconds: [5, 46],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    if run.is_first_lap() {
        distribution_of_points(run);
    }
    point_applied(run);
    for (name, rows) in TABLES {
        if !run.wants(name) {
            continue;
        }
        if run.is_first_lap() {
            distribution_of_changes(run, *rows);
        }
        changed_since(run, name, *rows);
    }
}

/// Points for all sessions, their counters after `counter`.
fn records(counter: u64) -> Vec<OwnedRecord> {
    let rounds = (0..ROUNDS).flat_map(|round| (0..SESSIONS).map(move |index| (round, index)));
    rounds
        .map(|(round, index)| point_record(index, counter + 1 + round as u64))
        .collect()
}

/// A table and the points it is given.
struct Feed {
    chat: ChatTable,
    counter: u64,
}

impl Feed {
    fn new() -> Self {
        let chat = ChatTable::new(SESSIONS);
        let counter = chat.offset();
        Self { chat, counter }
    }

    /// Applies new points to all sessions; nanoseconds of each.
    fn nanos(&mut self) -> f64 {
        let records = records(self.counter);
        self.counter += ROUNDS as u64;
        let began = thread_time::now();
        for record in &records {
            self.chat.follow(black_box(record));
        }
        thread_time::since(began).as_secs_f64() * 1e9 / records.len() as f64
    }
}

/// The floor's sessions.
fn stored_rows() -> Rows {
    let row = |index| (session(index).0, StoredRow::default());
    (0..SESSIONS).map(row).collect()
}

fn store_all(rows: &mut Rows, offset: &mut u64) {
    for index in 0..SESSIONS {
        *offset += 1;
        let point = StoredRow {
            offset: *offset,
            ..StoredRow::default()
        };
        assert!(store_rows::store(rows, black_box(session(index).0), point));
    }
}

fn distribution_of_points(run: &mut Run) {
    let mut feed = Feed::new();
    let (mut rows, mut offset) = (stored_rows(), 0);
    let mut group = run.criterion().benchmark_group("engine_table");
    group.throughput(Throughput::Elements((ROUNDS * SESSIONS) as u64));
    group.bench_function("point_applied", |bencher| {
        bencher.iter_batched(
            || {
                feed.counter += ROUNDS as u64;
                records(feed.counter - ROUNDS as u64)
            },
            |records| records.iter().for_each(|record| feed.chat.follow(record)),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    group.throughput(Throughput::Elements(SESSIONS as u64));
    group.bench_function("store_rows", |bencher| {
        bencher.iter(|| store_all(&mut rows, &mut offset));
    });
    group.finish();
}

fn point_applied(run: &mut Run) {
    let spec = Spec {
        name: "engine_point_applied",
        unit: "ns/point",
        floor_expected: store_rows::EXPECTED.here(),
    };
    let effort = run.effort();
    let points = (effort.block().as_secs_f64() * 1e9 / POINT_NS) as usize;
    let repeats = (points / (ROUNDS * SESSIONS)).max(1);
    run.ratio_of_set_ups(&spec, || {
        let mut feed = Feed::new();
        let (mut rows, mut offset) = (stored_rows(), 0);
        let mut floor = Block::new(effort.block(), move |iterations| {
            for _ in 0..iterations {
                store_all(&mut rows, &mut offset);
            }
        });
        Sides::new(
            move || (0..repeats).map(|_| feed.nanos()).sum::<f64>() / repeats as f64,
            move || floor.nanos_of(SESSIONS),
        )
    });
}

/// Reads the changed rows; gives something that depends on all of them.
fn sum(chat: &ChatTable, from: u64) -> u64 {
    let changed = chat.table.changed_since(from);
    let parts = changed.map(|row| {
        let place = row.position().unwrap_or_default();
        row.point_offset() ^ place.lat_e6 as u64 ^ place.lon_e6 as u64
    });
    parts.fold(0, u64::wrapping_add)
}

/// A table of which some rows have changed, and as many plain rows.
struct Changed {
    chat: ChatTable,
    /// Where a viewer stands that has not seen the changes.
    from: u64,
    stored: Vec<StoredRow>,
}

impl Changed {
    fn new(rows: usize) -> Self {
        let mut chat = ChatTable::new(rows);
        let from = chat.offset();
        chat.move_some(CHANGED);
        assert_eq!(chat.table.changed_since(from).count(), CHANGED);
        let row = |offset| StoredRow {
            offset,
            ..StoredRow::default()
        };
        let stored = (0..rows as u64).map(row).collect();
        Self { chat, from, stored }
    }
}

fn distribution_of_changes(run: &mut Run, rows: usize) {
    let Changed { chat, from, stored } = Changed::new(rows);
    let mut group = run.criterion().benchmark_group("engine_changed_since");
    group.throughput(Throughput::Elements(CHANGED as u64));
    group.bench_function(BenchmarkId::new("rows", rows), |bencher| {
        bencher.iter(|| sum(black_box(&chat), from));
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    group.throughput(Throughput::Elements(CHANGED as u64));
    group.bench_function(BenchmarkId::new("scan_changes", rows), |bencher| {
        bencher.iter(|| scan_changes::sum(black_box(&stored), CHANGED));
    });
    group.finish();
}

fn changed_since(run: &mut Run, name: &'static str, rows: usize) {
    let spec = Spec {
        name,
        unit: "ns/row",
        floor_expected: scan_changes::EXPECTED.here(),
    };
    let block = run.effort().block();
    run.ratio_of_places(&spec, || {
        let Changed { chat, from, stored } = Changed::new(rows);
        let mut ours = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(sum(black_box(&chat), from));
            }
        });
        let mut floor = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(scan_changes::sum(black_box(&stored), CHANGED));
            }
        });
        Sides::new(
            move || ours.nanos_of(CHANGED),
            move || floor.nanos_of(CHANGED),
        )
    });
}
