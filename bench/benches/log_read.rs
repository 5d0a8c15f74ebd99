//! Following a partition from its first record with every checksum verified, beside the checksums
//! alone over as many bytes.

use std::hint::black_box;

use criterion::Throughput;
use skein_bench::floors::crc_read;
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::timed::Block;
use skein_log::{Log, Options, PartitionId, Reader, Record, Writer};
use tempfile::TempDir;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// Records of a batch.
const BATCH_RECORDS: usize = 64;

/// Bytes of a batch's body, which its checksum covers.
const BODY_BYTES: usize = BATCH_RECORDS * (16 + PAYLOAD_BYTES);

/// Bytes of all bodies: larger than the caches.
const LOG_BYTES: usize = 64 << 20;

/// A log with one partition of many batches.
struct Written {
    _log: Log,
    _folder: TempDir,
    reader: Reader,
    batches: usize,
}

impl Written {
    fn new(batches: usize) -> Self {
        let folder = folders::scratch();
        let options = Options {
            partitions: 1,
            disk_reserve_bytes: 0,
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder.path(), options, 0, 1).expect("a log");
        let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
        let payload = [7; PAYLOAD_BYTES];
        let record = |index: usize| Record {
            kind: 1,
            flags: 0,
            key: index as u32 / 8,
            extension: index as u64,
            payload: &payload,
        };
        assert_eq!(
            BODY_BYTES,
            BATCH_RECORDS * Writer::record_bytes(PAYLOAD_BYTES)
        );
        let records: Vec<Record<'_>> = (0..BATCH_RECORDS).map(record).collect();
        for _ in 0..batches {
            writer.append(1, &records).expect("appended");
        }
        let mut reader = log.reader(PartitionId(0));
        reader.set_verify(true);
        Self {
            _log: log,
            _folder: folder,
            reader,
            batches,
        }
    }

    /// Reads all of it; every payload is looked at.
    fn read(&self) -> usize {
        let mut reader = self.reader.clone();
        let (mut batches, mut sum) = (0, 0);
        while let Some(batch) = reader.next_batch().expect("an unharmed log") {
            for (_, record) in batch.records() {
                sum += usize::from(record.payload[0]);
            }
            batches += 1;
        }
        assert_eq!(batches, self.batches);
        sum
    }
}

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_read",
    figures: &["log_read_verified"],
    seconds: [2, 15],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    let batches = match run.effort() {
        Effort::Check => 10,
        _ => LOG_BYTES / BODY_BYTES,
    };
    let expected = crc_read::EXPECTED.here();
    let spec = Spec {
        name: "log_read_verified",
        unit: "B/s",
        floor_expected: payload(expected.start)..payload(expected.end),
    };
    if run.is_first_lap() {
        distributions(run, batches);
    }
    let block = run.effort().block();
    run.ratio_of_set_ups(&spec, || {
        let written = Written::new(batches);
        let bodies = vec![7; batches * BODY_BYTES];
        let bytes = payload(bodies.len() as f64);
        let mut ours = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(written.read());
            }
        });
        let mut floor = Block::new(block, move |iterations| {
            for _ in 0..iterations {
                black_box(crc_read::check(black_box(&bodies), BODY_BYTES));
            }
        });
        Sides::new(move || ours.rate(bytes), move || floor.rate(bytes))
    });
}

/// Of so many bytes of bodies, those that are payload: what is counted, as with appends.
fn payload(body_bytes: f64) -> f64 {
    body_bytes * (BATCH_RECORDS * PAYLOAD_BYTES) as f64 / BODY_BYTES as f64
}

fn distributions(run: &mut Run, batches: usize) {
    let written = Written::new(batches);
    let bodies = vec![7; batches * BODY_BYTES];
    let mut group = run.criterion().benchmark_group("log_read");
    group.throughput(Throughput::Bytes(bodies.len() as u64));
    group.bench_function("verified", |bencher| bencher.iter(|| written.read()));
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    group.throughput(Throughput::Bytes(bodies.len() as u64));
    group.bench_function("crc_read", |bencher| {
        bencher.iter(|| crc_read::check(black_box(&bodies), BODY_BYTES));
    });
    group.finish();
}
