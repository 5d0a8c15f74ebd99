//! Appending to a partition of the log on disk, beside copying the payload in bulk, and beside
//! copying it with one checksum per batch.
//!
//! Ours is the whole partition: records, batch header, both checksums, index, watermark. Each
//! block fills a new segment whose pages the janitor has touched ahead, as in the server; what it
//! takes to make one is not measured here.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Throughput};
use skein_bench::floors::mapped_file::{MappedFile, Touch};
use skein_bench::floors::{memcpy_crc, memcpy_mapped};
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::Spec;
use skein_bench::run::Run;
use skein_bench::thread_time;
use skein_log::{Janitor, Log, Options, PartitionId, Record, Writer, WriterBackend};
use tempfile::TempDir;

/// Bytes of a segment: larger than the caches, as segments are.
const SEGMENT_BYTES: usize = 64 << 20;

/// Bytes of it that are not filled: header page, footer, the first batch, and the eighth by which segments may be
/// given up early, so that not all are full at once.
const SEGMENT_RESERVE_BYTES: usize = SEGMENT_BYTES / 8 + (1 << 20);

/// Bytes that the bulk floor copies at once. Smaller and larger pieces were slower.
const BULK_BYTES: usize = 1 << 20;

/// Rows of the table: name, bytes of a payload, records of a batch, how they are written.
const CASES: &[(&str, usize, usize, WriterBackend)] = &[
    ("log_append_64B_batched", 64, 64, WriterBackend::Mapped),
    ("log_append_64B_single", 64, 1, WriterBackend::Mapped),
    (
        "log_append_64B_batches_of_1024",
        64,
        1_024,
        WriterBackend::Mapped,
    ),
    ("log_append_128B_batched", 128, 64, WriterBackend::Mapped),
    ("log_append_128B_single", 128, 1, WriterBackend::Mapped),
    (
        "log_append_128B_batches_of_1024",
        128,
        1_024,
        WriterBackend::Mapped,
    ),
    (
        "log_append_64B_batched_pwrite",
        64,
        64,
        WriterBackend::Pwrite,
    ),
    (
        "log_append_64B_batches_of_1024_pwrite",
        64,
        1_024,
        WriterBackend::Pwrite,
    ),
];

/// One partition with a touched segment.
struct Fresh {
    writer: Writer,
    // Dropped after the writer, in this order.
    _janitor: Janitor,
    log: Log,
    _folder: TempDir,
}

impl Fresh {
    fn new(writer: WriterBackend) -> Self {
        let folder = folders::scratch();
        let options = Options {
            partitions: 1,
            segment_bytes_min: SEGMENT_BYTES as u64,
            segment_bytes_max: SEGMENT_BYTES as u64,
            disk_reserve_bytes: 0,
            pretouch_window_bytes: SEGMENT_BYTES,
            writer,
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder.path(), options, 0, 1).expect("a log");
        let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
        let mut janitor = log.take_janitor().expect("taken once");
        // The first append makes the epoch durable and the file; then its pages are touched.
        writer.append(0, &[Record::default()]).expect("appended");
        janitor.work(0);
        Self {
            writer,
            _janitor: janitor,
            log,
            _folder: folder,
        }
    }

    /// Appends the batch so often.
    fn append(&mut self, batch: &[Record<'_>], times: usize) -> Duration {
        let began = thread_time::now();
        for _ in 0..times {
            black_box(self.writer.append(1, black_box(batch)).expect("appended"));
        }
        let took = thread_time::since(began);
        assert_eq!(
            self.log.stats().segments,
            1,
            "the block went beyond the touched segment"
        );
        took
    }
}

/// The records of a batch.
struct Batch {
    payload: Vec<u8>,
    records: usize,
}

impl Batch {
    fn new(payload_bytes: usize, records: usize) -> Self {
        let payload = (0..payload_bytes).map(|index| index as u8).collect();
        Self { payload, records }
    }

    fn records(&self) -> Vec<Record<'_>> {
        let record = |index| Record {
            kind: 1,
            flags: 0,
            key: 7,
            extension: index as u64,
            payload: &self.payload,
        };
        (0..self.records).map(record).collect()
    }

    fn payload_bytes(&self) -> usize {
        self.payload.len() * self.records
    }

    /// How many fill a segment.
    fn per_segment(&self) -> usize {
        let batch = 40 + self.records * Writer::record_bytes(self.payload.len());
        (SEGMENT_BYTES - SEGMENT_RESERVE_BYTES) / batch
    }
}

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_append",
    figures: &[
        "log_append_64B_batched",
        "log_append_64B_single",
        "log_append_64B_batches_of_1024",
        "log_append_128B_batched",
        "log_append_128B_single",
        "log_append_128B_batches_of_1024",
        "log_append_64B_batched_pwrite",
        "log_append_64B_batches_of_1024_pwrite",
        "log_append_64B_vs_crc_floor",
    ],
    seconds: [24, 63],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    if run.is_first_lap() {
        distributions(run);
    }
    for (name, payload_bytes, records, writer) in CASES {
        let batch = Batch::new(*payload_bytes, *records);
        against_bulk(run, name, &batch, *writer);
    }
    against_crc(run, &Batch::new(64, 64));
}

/// Payload bytes per second of one filled segment.
fn ours(batch: &Batch, times: usize, writer: WriterBackend) -> f64 {
    let took = Fresh::new(writer).append(&batch.records(), times);
    (batch.payload_bytes() * times) as f64 / took.as_secs_f64()
}

/// Segments filled in a check are small.
fn times(run: &Run, batch: &Batch) -> usize {
    match run.effort() {
        Effort::Check => 10,
        _ => batch.per_segment(),
    }
}

fn against_bulk(run: &mut Run, name: &'static str, batch: &Batch, writer: WriterBackend) {
    if !run.wants(name) {
        return;
    }
    let spec = Spec {
        name,
        unit: "B/s",
        floor_expected: memcpy_mapped::EXPECTED.here(),
    };
    let source = vec![7; BULK_BYTES];
    let times = times(run, batch);
    let bytes = batch.payload_bytes() * times;
    run.ratio(
        &spec,
        || ours(batch, times, writer),
        || {
            rate_of_floor(bytes, |mapped| {
                memcpy_mapped::copy(mapped, black_box(&source), bytes);
            })
        },
    );
}

fn against_crc(run: &mut Run, batch: &Batch) {
    let spec = Spec {
        name: "log_append_64B_vs_crc_floor",
        unit: "B/s",
        floor_expected: memcpy_crc::EXPECTED.here(),
    };
    if !run.wants(spec.name) {
        return;
    }
    let payload = batch.payload.repeat(batch.records);
    let times = times(run, batch);
    let bytes = batch.payload_bytes() * times;
    run.ratio(
        &spec,
        || ours(batch, times, WriterBackend::Mapped),
        || {
            rate_of_floor(bytes, |mapped| {
                memcpy_crc::copy(mapped, black_box(&payload), bytes);
            })
        },
    );
}

/// Bytes per second of a floor that fills a new file, as ours fills a new segment.
fn rate_of_floor(bytes: usize, fill: impl FnOnce(&mut MappedFile)) -> f64 {
    let folder = folders::scratch();
    let mut mapped = MappedFile::create(&folder.path().join("floor"), SEGMENT_BYTES, Touch::Ahead);
    let began = thread_time::now();
    fill(&mut mapped);
    bytes as f64 / thread_time::since(began).as_secs_f64()
}

/// Both sides by themselves; an iteration fills a segment.
fn distributions(run: &mut Run) {
    let check = run.effort() == Effort::Check;
    let mut group = run.criterion().benchmark_group("log_append");
    for records in [1, 64, 1_024] {
        let batch = Batch::new(64, records);
        let times = if check { 10 } else { batch.per_segment() };
        let list = batch.records();
        group.throughput(Throughput::Bytes((batch.payload_bytes() * times) as u64));
        let id = BenchmarkId::new("64B_segment_in_batches_of", records);
        group.bench_function(id, |bencher| {
            let fill = |_| Fresh::new(WriterBackend::Mapped).append(&list, times);
            bencher.iter_custom(|iterations| (0..iterations).map(fill).sum());
        });
    }
    group.finish();

    let mut group = run.criterion().benchmark_group("floors");
    let folder = folders::scratch();
    let mut mapped = MappedFile::create(&folder.path().join("floors"), SEGMENT_BYTES, Touch::Ahead);
    group.throughput(Throughput::Bytes(SEGMENT_BYTES as u64));
    for piece in [16 << 10, 256 << 10, BULK_BYTES, SEGMENT_BYTES] {
        let source = vec![7; piece];
        let id = BenchmarkId::new("memcpy_mapped_in_pieces_of", piece);
        group.bench_function(id, |bencher| {
            bencher.iter(|| memcpy_mapped::copy(&mut mapped, black_box(&source), SEGMENT_BYTES));
        });
    }
    let (batch, bytes) = (vec![7; 4_096], SEGMENT_BYTES / 2);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("memcpy_crc", |bencher| {
        bencher.iter(|| memcpy_crc::copy(&mut mapped, black_box(&batch), bytes));
    });
    group.finish();
}
