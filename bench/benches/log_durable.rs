//! A durable append of 4 KiB (append, checked sync, durable mark), beside `fdatasync` of as many
//! bytes; in short runs of each in turn, so that the disk is in the same mood for both.

use std::time::{Duration, Instant};

use skein_bench::floors::fdatasync;
use skein_bench::floors::mapped_file::MappedFile;
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::quantile::quantile;
use skein_bench::ratio::{Spec, summarise};
use skein_bench::run::Run;
use skein_log::{Log, Options, PartitionId, Record, Writer};
use tempfile::TempDir;

/// Bytes of one durable append.
const PAYLOAD_BYTES: usize = 4_096;

/// Rounds of one side before it is the other's turn.
const ROUNDS_IN_TURN: usize = 20;

/// Bytes of the floor's file, and of a segment.
const FILE_BYTES: usize = 64 << 20;

/// Quantiles and their names.
const QUANTILES: &[(&str, f64)] = &[("log_durable_p50", 0.5), ("log_durable_p99", 0.99)];

/// Name of the ratio of the sums.
const THROUGHPUT: &str = "log_durable_throughput";

/// Our side.
struct Ours {
    writer: Writer,
    _log: Log,
    _folder: TempDir,
}

impl Ours {
    fn new() -> Self {
        let folder = folders::scratch();
        let options = Options {
            partitions: 1,
            segment_bytes_min: FILE_BYTES as u64,
            segment_bytes_max: FILE_BYTES as u64,
            disk_reserve_bytes: 0,
            pretouch_window_bytes: FILE_BYTES,
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder.path(), options, 0, 1).expect("a log");
        let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
        let mut janitor = log.take_janitor().expect("taken once");
        writer.append(0, &[Record::default()]).expect("appended");
        janitor.work(0);
        Self {
            writer,
            _log: log,
            _folder: folder,
        }
    }

    fn round(&mut self, payload: &[u8]) {
        let record = Record {
            kind: 1,
            payload,
            ..Record::default()
        };
        let offsets = self.writer.append(1, &[record]).expect("appended");
        let durable = self.writer.sync_now(1).expect("a disk that works");
        assert_eq!(durable, *offsets.end());
    }
}

/// The floor's side.
struct Floor {
    mapped: MappedFile,
    _folder: TempDir,
    position: usize,
}

impl Floor {
    fn new() -> Self {
        let folder = folders::scratch();
        Self {
            mapped: MappedFile::create(&folder.path().join("floor"), FILE_BYTES),
            _folder: folder,
            position: 0,
        }
    }

    fn round(&mut self, payload: &[u8]) {
        fdatasync::write(&mut self.mapped, self.position, payload);
        self.position = (self.position + payload.len()) % (FILE_BYTES - payload.len());
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

fn main() {
    let mut run = Run::start();
    distributions(&mut run);
    let wanted = |name: &&(&str, f64)| run.wants(name.0);
    if QUANTILES.iter().filter(wanted).count() > 0 || run.wants(THROUGHPUT) {
        ratios(&mut run);
    }
    run.finish();
}

fn ratios(run: &mut Run) {
    let (windows, window) = match run.effort() {
        Effort::Full => (20, 500),
        Effort::Quick => (20, 60),
        Effort::Check => (1, ROUNDS_IN_TURN),
    };
    run.say("log_durable");
    let payload = vec![7; PAYLOAD_BYTES];
    let (mut ours, mut floor) = (Ours::new(), Floor::new());
    let mut measured: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..windows {
        let (mut ours_us, mut floor_us) = (Vec::new(), Vec::new());
        for _ in 0..window / ROUNDS_IN_TURN {
            ours_us.extend(micros(ROUNDS_IN_TURN, || ours.round(&payload)));
            floor_us.extend(micros(ROUNDS_IN_TURN, || floor.round(&payload)));
        }
        measured.push((ours_us, floor_us));
    }
    for (name, part) in QUANTILES {
        let spec = Spec {
            name,
            unit: "us",
            floor_expected: fdatasync::EXPECTED,
        };
        let window = |(ours, floor): &mut (Vec<f64>, Vec<f64>)| {
            (quantile(ours, *part), quantile(floor, *part))
        };
        let pairs: Vec<(f64, f64)> = measured.iter_mut().map(window).collect();
        keep(run, &spec, &pairs);
    }
    let rate = |us: &[f64]| us.len() as f64 * PAYLOAD_BYTES as f64 / (us.iter().sum::<f64>() / 1e6);
    let pairs: Vec<(f64, f64)> = measured.iter().map(|(o, f)| (rate(o), rate(f))).collect();
    let range = fdatasync::EXPECTED;
    let bytes_per_second = |us: f64| PAYLOAD_BYTES as f64 / (us / 1e6);
    let spec = Spec {
        name: THROUGHPUT,
        unit: "B/s",
        floor_expected: bytes_per_second(range.end)..bytes_per_second(range.start),
    };
    keep(run, &spec, &pairs);
}

fn keep(run: &mut Run, spec: &Spec, pairs: &[(f64, f64)]) {
    if run.wants(spec.name) {
        run.keep(summarise(spec, pairs));
    }
}

fn distributions(run: &mut Run) {
    let payload = vec![7; PAYLOAD_BYTES];
    let mut group = run.criterion().benchmark_group("log_durable");
    let mut ours = None;
    group.bench_function("4KiB", |bencher| {
        let ours = ours.get_or_insert_with(Ours::new);
        bencher.iter_custom(|rounds| wall(rounds, || ours.round(&payload)));
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    let mut floor = None;
    group.bench_function("fdatasync_4KiB", |bencher| {
        let floor = floor.get_or_insert_with(Floor::new);
        bencher.iter_custom(|rounds| wall(rounds, || floor.round(&payload)));
    });
    group.finish();
}
