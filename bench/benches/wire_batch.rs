//! Building and parsing a batch, per row, beside rows of fixed width; and bytes per row.
//!
//! The rows are positions of the tracks that `SKEIN_TRACKS` names, or of a synthetic walk: exact
//! to a millionth of a degree and to the millisecond, with their counters.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Throughput;
use skein_bench::floors::pack_rows::{self, PlainRow};
use skein_bench::floors::unpack_rows;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::timed::Block;
use skein_bench::tracks;
use skein_wire::batch::{Batch, BatchHeader, BatchWriter, EntryRef, Flags};
use skein_wire::frame::decode_update;
use skein_wire::ids::{Cell, ChatHandle, Counter, Slot};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};
use skein_wire::request::Delivery;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

/// Rows of a batch.
const ROWS: usize = 128;

/// Room for a batch that is built.
const OUT_BYTES: usize = 64 << 10;

/// Server time of the batches, milliseconds since 1970.
const NOW_MS: u64 = 1_750_000_000_000;

/// The rows of a batch and their header.
struct Rows {
    header: BatchHeader,
    flags: Flags,
    points: Vec<(Slot, Point)>,
}

impl Rows {
    /// The stretch of `places` from `first` on, each the newest point of another session.
    fn new(places: &[Position], first: usize, with_motion: bool) -> Self {
        let place = |index: usize| places[(first + index) % places.len()];
        let header = BatchHeader {
            chat: ChatHandle(1_234),
            cell: Cell(0),
            epoch: 7,
            from: 40_000_000_000,
            to: 40_000_000_500,
            server_time_ms: NOW_MS,
            anchor: place(ROWS / 2),
            delivery: Delivery::Latest,
            page: None,
        };
        let point = |index: usize| {
            let fix = fix(place(index), index, with_motion);
            let point = Point {
                counter: Counter(index as u64 * 1_000 + 1),
                captured_at_ms: NOW_MS as i64 - (index as i64 * 6_151) % 8_000,
                payload: Payload::Fix(fix),
            };
            (Slot(index as u32 * 8), point)
        };
        let points: Vec<(Slot, Point)> = (0..ROWS).map(point).collect();
        let flags = BatchWriter::flags_of(&header, &entry(&points[0]), 0);
        Self {
            header,
            flags,
            points,
        }
    }

    fn build(&self, out: &mut Vec<u8>) -> usize {
        out.clear();
        let mut writer = BatchWriter::begin(out, &self.header, self.flags);
        for row in &self.points {
            writer.entry(&entry(row), [].into_iter());
        }
        writer.finish()
    }

    fn body(&self) -> Bytes {
        let mut bytes = Vec::new();
        self.build(&mut bytes);
        let mut bytes = Bytes::from(bytes);
        let frame = split_first_shared(&mut bytes, SERVER_FRAME_BYTES_MAX);
        let frame = frame.expect("a frame").expect("a whole one");
        match decode_update(frame).expect("an update") {
            Some(Update::Batch(body)) => body,
            other => panic!("not a batch: {other:?}"),
        }
    }
}

fn fix(position: Position, index: usize, with_motion: bool) -> Fix {
    let bare = Fix {
        position,
        ..Fix::default()
    };
    if !with_motion {
        return bare;
    }
    Fix {
        heading: Some(Heading((index * 37) as u8)),
        speed: Some(Speed((index * 11) as u8)),
        accuracy: Some(Accuracy((index * 5) as u8)),
        ..bare
    }
}

fn entry((slot, point): &(Slot, Point)) -> EntryRef<'_> {
    EntryRef {
        slot: *slot,
        descriptor: None,
        point: Some(point),
        counter_whole: false,
        skipped: 0,
        state: None,
    }
}

/// This part.
pub const PART: Part<Run> = Part {
    name: "wire_batch",
    figures: &[
        "wire_batch_build",
        "wire_batch_parse",
        "bytes_per_row",
        "bytes_per_row_full",
    ],
    seconds: [3, 27],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    let (places, what) = tracks::positions();
    eprintln!("rows are positions of {what}");
    let rows = Rows::new(&places, 0, true);
    let plain = plain_rows(&rows);
    if run.is_first_lap() {
        distributions(run, &rows, &plain);
    }
    build(run, &rows, &plain);
    parse(run, &rows, &plain);
    if run.floors_only() {
        return;
    }
    run.value("bytes_per_row", "B", bytes_per_row(&places, false));
    run.value("bytes_per_row_full", "B", bytes_per_row(&places, true));
}

fn build(run: &mut Run, rows: &Rows, plain: &[PlainRow]) {
    let spec = Spec {
        name: "wire_batch_build",
        unit: "ns/row",
        floor_expected: pack_rows::EXPECTED.here(),
    };
    let block = run.effort().block();
    run.ratio_of_set_ups(&spec, || {
        let mut out = Vec::with_capacity(OUT_BYTES);
        let mut ours = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(black_box(rows).build(&mut out));
            }
        });
        let mut out = Vec::with_capacity(OUT_BYTES);
        let mut floor = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                pack_rows::pack(black_box(plain), &mut out);
                black_box(&out);
            }
        });
        Sides::new(move || ours.nanos_of(ROWS), move || floor.nanos_of(ROWS))
    });
}

fn parse(run: &mut Run, rows: &Rows, plain: &[PlainRow]) {
    let spec = Spec {
        name: "wire_batch_parse",
        unit: "ns/row",
        floor_expected: unpack_rows::EXPECTED.here(),
    };
    let block = run.effort().block();
    run.ratio_of_set_ups(&spec, || {
        let body = rows.body();
        let mut ours = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(Batch::decode(black_box(&body)).expect("well-formed"));
            }
        });
        let (mut packed, mut out) = (Vec::new(), Vec::with_capacity(ROWS));
        pack_rows::pack(plain, &mut packed);
        let mut floor = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                unpack_rows::unpack(black_box(&packed), &mut out);
                black_box(&out);
            }
        });
        Sides::new(move || ours.nanos_of(ROWS), move || floor.nanos_of(ROWS))
    });
}

/// The same rows as the floors know them.
fn plain_rows(rows: &Rows) -> Vec<PlainRow> {
    let anchor = rows.header.anchor;
    let row = |(_, point): &(Slot, Point)| {
        let Payload::Fix(fix) = &point.payload else {
            panic!("rows of this bench are plain")
        };
        PlainRow {
            gap: 7,
            counter: point.counter.0 as u8,
            age_ms: (NOW_MS as i64 - point.captured_at_ms) as u16,
            lat_e6: (fix.position.lat_e6 - anchor.lat_e6) as i16,
            lon_e6: (fix.position.lon_e6 - anchor.lon_e6) as i16,
            motion: [1, 2, 3, 4],
        }
    };
    rows.points.iter().map(row).collect()
}

/// Bytes of all frames, headers and lengths counted, by their rows.
fn bytes_per_row(places: &[Position], with_motion: bool) -> f64 {
    let mut out = Vec::new();
    let firsts = (0..places.len()).step_by(ROWS);
    let sizes: Vec<usize> = firsts
        .map(|first| Rows::new(places, first, with_motion).build(&mut out))
        .collect();
    sizes.iter().sum::<usize>() as f64 / (sizes.len() * ROWS) as f64
}

fn distributions(run: &mut Run, rows: &Rows, plain: &[PlainRow]) {
    let mut out = Vec::new();
    let body = rows.body();
    let mut group = run.criterion().benchmark_group("wire_batch");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("build", |bencher| bencher.iter(|| rows.build(&mut out)));
    group.bench_function("parse", |bencher| bencher.iter(|| Batch::decode(&body)));
    group.finish();
    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    let mut group = run.criterion().benchmark_group("floors");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("pack_rows", |bencher| {
        bencher.iter(|| pack_rows::pack(black_box(plain), &mut packed));
    });
    group.bench_function("unpack_rows", |bencher| {
        bencher.iter(|| unpack_rows::unpack(black_box(&packed), &mut unpacked));
    });
    group.finish();
}
