//! A durable append (append, checked sync, durable mark), beside `fdatasync` of as many bytes; in
//! short runs of each in turn, so that the disk is in the same mood for both.
//!
//! And the same as a shard has it done: the writer asks for a sync, the log's own thread does it and calls
//! back. That is two wake-ups of a thread more than the floor has.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use skein_bench::floors::expected::Expected;
use skein_bench::floors::fdatasync;
use skein_bench::floors::mapped_file::{MappedFile, Touch};
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::quantile::quantile;
use skein_bench::ratio::{Pair, Spec, summarise_floor};
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{JanitorThread, Log, Options, PartitionId, Record, Writer};
use tempfile::TempDir;

/// Bytes of one record; a larger append has several.
const RECORD_BYTES: usize = 4_096;

/// Records of one batch: half of the largest that a log takes.
const BATCH_RECORDS: usize = 128;

/// Rounds of one side before it is the other's turn.
const ROUNDS_IN_TURN: usize = 20;

/// Bytes of the floor's file, and of a segment.
const FILE_BYTES: usize = 64 << 20;

/// Bytes that our side keeps on the disk.
const KEPT_BYTES: u64 = 256 << 20;

/// As a shard does it, with the size of the first of `SIZES`.
const BY_JANITOR_P50: &str = "log_group_commit_p50";
const BY_JANITOR_P99: &str = "log_group_commit_p99";

/// Who syncs.
#[derive(Clone, Copy)]
enum Syncs {
    /// The thread that appends, at once.
    Writer,
    /// The log's janitor; the thread that appends waits to be told.
    Janitor,
}

/// One size of an append.
struct Size {
    bytes: usize,
    p50: &'static str,
    p99: &'static str,
    throughput: &'static str,
    p50_expected: Expected,
    p99_expected: Expected,
    throughput_expected: Expected,
    /// Windows of rounds in a lap of a full run, and rounds of one.
    full: (usize, usize),
}

const SIZES: &[Size] = &[
    Size {
        bytes: 4 << 10,
        p50: "log_durable_p50",
        p99: "log_durable_p99",
        throughput: "log_durable_throughput",
        p50_expected: fdatasync::P50_4K_EXPECTED,
        p99_expected: fdatasync::P99_4K_EXPECTED,
        throughput_expected: fdatasync::THROUGHPUT_4K_EXPECTED,
        full: (7, 500),
    },
    Size {
        bytes: 64 << 10,
        p50: "log_durable_64KiB_p50",
        p99: "log_durable_64KiB_p99",
        throughput: "log_durable_64KiB_throughput",
        p50_expected: fdatasync::P50_64K_EXPECTED,
        p99_expected: fdatasync::P99_64K_EXPECTED,
        throughput_expected: fdatasync::THROUGHPUT_64K_EXPECTED,
        full: (7, 500),
    },
    Size {
        bytes: 1 << 20,
        p50: "log_durable_1MiB_p50",
        p99: "log_durable_1MiB_p99",
        throughput: "log_durable_1MiB_throughput",
        p50_expected: fdatasync::P50_1M_EXPECTED,
        p99_expected: fdatasync::P99_1M_EXPECTED,
        throughput_expected: fdatasync::THROUGHPUT_1M_EXPECTED,
        full: (7, 500),
    },
];

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_durable",
    figures: &[
        "log_durable_p50",
        "log_durable_p99",
        "log_durable_throughput",
        "log_durable_64KiB_p50",
        "log_durable_64KiB_p99",
        "log_durable_64KiB_throughput",
        "log_durable_1MiB_p50",
        "log_durable_1MiB_p99",
        "log_durable_1MiB_throughput",
        BY_JANITOR_P50,
        BY_JANITOR_P99,
    ],
    seconds: [12, 42],
    laps: Laps::Each,
    measure,
};

/// Our side, with its janitor as in the server.
struct Ours {
    writer: Writer,
    syncs: Syncs,
    janitor: Option<JanitorThread>,
    _log: Log,
    _folder: TempDir,
}

impl Ours {
    fn new(syncs: Syncs) -> Self {
        let folder = folders::scratch();
        let options = Options {
            partitions: 1,
            segment_bytes_min: FILE_BYTES as u64,
            segment_bytes_max: FILE_BYTES as u64,
            disk_reserve_bytes: 0,
            pretouch_window_bytes: FILE_BYTES,
            retention_bytes: Some(KEPT_BYTES),
            retention_needs_checkpoint: false,
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder.path(), options, now_ms(), 1).expect("a log");
        let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
        let mut janitor = log.take_janitor().expect("taken once");
        writer
            .append(now_ms(), &[Record::default()])
            .expect("appended");
        janitor.work(now_ms());
        let janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("a thread");
        let me = thread::current();
        log.on_durable(Box::new(move |_, _| me.unpark()));
        Self {
            writer,
            syncs,
            janitor: Some(janitor),
            _log: log,
            _folder: folder,
        }
    }

    fn round(&mut self, payload: &[u8]) {
        let record = |payload| Record {
            kind: 1,
            payload,
            ..Record::default()
        };
        let records: Vec<Record<'_>> = payload.chunks(RECORD_BYTES).map(record).collect();
        let now_ms = now_ms();
        for batch in records.chunks(BATCH_RECORDS) {
            self.writer.append(now_ms, batch).expect("appended");
        }
        match self.syncs {
            Syncs::Writer => {
                let durable = self.writer.sync_now().expect("a disk that works");
                assert!(
                    durable >= self.writer.appended(),
                    "not durable after a sync"
                );
            }
            Syncs::Janitor => {
                self.writer.request_sync();
                while self.writer.durable() < self.writer.appended() {
                    thread::park();
                }
            }
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // Before the folder goes: it still writes there.
        drop(self.janitor.take().map(JanitorThread::stop));
    }
}

/// The floor's side.
struct Floor {
    mapped: MappedFile,
    folder: TempDir,
    files: usize,
    position: usize,
}

impl Floor {
    fn new() -> Self {
        let folder = folders::scratch();
        Self {
            mapped: MappedFile::create(&folder.path().join("0"), FILE_BYTES, Touch::Pages),
            folder,
            files: 1,
            position: 0,
        }
    }

    /// Goes on in a new file where the next turn does not fit, as segments follow each other.
    fn prepare(&mut self, bytes: usize) {
        if self.position + bytes > FILE_BYTES {
            let path = |number: usize| self.folder.path().join(number.to_string());
            self.mapped = MappedFile::create(&path(self.files), FILE_BYTES, Touch::Pages);
            std::fs::remove_file(path(self.files - 1)).expect("a file of ours");
            self.files += 1;
            self.position = 0;
        }
    }

    fn round(&mut self, payload: &[u8]) {
        fdatasync::write(&mut self.mapped, self.position, payload);
        self.position += payload.len();
    }
}

/// Microseconds of each of `rounds` calls.
fn micros(rounds: usize, mut round: impl FnMut()) -> impl Iterator<Item = f64> {
    (0..rounds).map(move |_| {
        let began = Instant::now();
        round();
        began.elapsed().as_secs_f64() * 1e6
    })
}

/// Time on the wall of so many rounds: they wait for the disk.
fn wall(rounds: u64, mut round: impl FnMut()) -> Duration {
    let began = Instant::now();
    (0..rounds).for_each(|_| round());
    began.elapsed()
}

fn measure(run: &mut Run) {
    if run.is_first_lap() {
        distributions(run);
    }
    for size in SIZES {
        if run.wants_any(&[size.p50, size.p99, size.throughput]) {
            ratios(run, size);
        }
    }
    if run.wants_any(&[BY_JANITOR_P50, BY_JANITOR_P99]) {
        by_janitor(run);
    }
}

/// Microseconds of all rounds of a window, ours and the floor's.
type Window = (Vec<f64>, Vec<f64>);

fn ratios(run: &mut Run, size: &Size) {
    run.say(size.p50);
    let measured = windows(run, size, Syncs::Writer);
    percentile(run, size.p50, 0.5, &size.p50_expected, &measured);
    percentile(run, size.p99, 0.99, &size.p99_expected, &measured);
    let rate = |us: f64| size.bytes as f64 / (us / 1e6);
    let mean = |us: &[f64]| us.iter().sum::<f64>() / us.len().max(1) as f64;
    let spec = spec(size.throughput, "B/s", size.throughput_expected.here());
    keep(run, &spec, &measured, |us| rate(mean(us)));
}

fn by_janitor(run: &mut Run) {
    let size = &SIZES[0];
    run.say(BY_JANITOR_P50);
    let measured = windows(run, size, Syncs::Janitor);
    percentile(run, BY_JANITOR_P50, 0.5, &size.p50_expected, &measured);
    percentile(run, BY_JANITOR_P99, 0.99, &size.p99_expected, &measured);
}

/// Rounds of both sides, a few of each in turn.
fn windows(run: &Run, size: &Size, syncs: Syncs) -> Vec<Window> {
    let (windows, window) = match run.effort() {
        Effort::Full => size.full,
        Effort::Quick => (20, 100),
        Effort::Check => (1, ROUNDS_IN_TURN),
    };
    let payload = vec![7; size.bytes];
    let mut ours = (!run.floors_only()).then(|| Ours::new(syncs));
    let mut floor = Floor::new();
    let mut measured: Vec<Window> = Vec::new();
    for _ in 0..windows {
        let (mut ours_us, mut floor_us) = (Vec::new(), Vec::new());
        for _ in 0..window / ROUNDS_IN_TURN {
            if let Some(ours) = &mut ours {
                ours_us.extend(micros(ROUNDS_IN_TURN, || ours.round(&payload)));
            }
            floor.prepare(ROUNDS_IN_TURN * size.bytes);
            floor_us.extend(micros(ROUNDS_IN_TURN, || floor.round(&payload)));
        }
        measured.push((ours_us, floor_us));
    }
    measured
}

fn percentile(
    run: &mut Run,
    name: &'static str,
    part: f64,
    expected: &Expected,
    measured: &[Window],
) {
    let spec = spec(name, "us", expected.here());
    let of = |us: &[f64]| quantile(&mut us.to_vec(), part);
    keep(run, &spec, measured, of);
}

fn spec(name: &'static str, unit: &'static str, floor_expected: Range<f64>) -> Spec {
    Spec {
        name,
        unit,
        floor_expected,
    }
}

fn keep(run: &mut Run, spec: &Spec, measured: &[Window], of: impl Fn(&[f64]) -> f64) {
    if run.floors_only() {
        let floors = measured.iter().map(|(_, floor)| of(floor)).collect();
        println!("{}", summarise_floor(spec, floors));
        return;
    }
    let pairs: Vec<Pair> = measured.iter().map(|(o, f)| (of(o), of(f))).collect();
    run.set_up(spec, pairs.into());
}

fn distributions(run: &mut Run) {
    let payload = vec![7; SIZES[0].bytes];
    let mut group = run.criterion().benchmark_group("log_durable");
    let mut ours = None;
    group.bench_function("4KiB", |bencher| {
        let ours = ours.get_or_insert_with(|| Ours::new(Syncs::Writer));
        bencher.iter_custom(|rounds| wall(rounds, || ours.round(&payload)));
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    let mut floor = None;
    group.bench_function("fdatasync_4KiB", |bencher| {
        let floor = floor.get_or_insert_with(Floor::new);
        bencher.iter_custom(|rounds| {
            wall(rounds, || {
                floor.prepare(payload.len());
                floor.round(&payload);
            })
        });
    });
    group.finish();
}
