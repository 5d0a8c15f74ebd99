//! Appending for a long time: 10 GiB through a partition whose janitor prepares, syncs and drops
//! segments beside it, every stretch durable before the next one; beside the same bytes copied
//! into a new file and synced.
//!
//! Counted are the bytes of the log, heads of batches and records included: what has to be
//! flushed. Of 64-byte payloads they are 1.26 times as many.

use std::time::{Duration, Instant};

use skein_bench::floors::flush;
use skein_bench::floors::mapped_file::{MappedFile, Touch};
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::pin;
use skein_bench::ratio::{Sides, Spec, measure_floor, pairs};
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{
    BATCH_HEADER_BYTES, JanitorThread, Log, Options, PartitionId, RECORD_PREFIX_BYTES, Record,
    Writer,
};
use tempfile::TempDir;

/// Bytes of a stretch, and of a segment: a block of some tens of milliseconds.
const STRETCH_BYTES: usize = 64 << 20;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// Records of a batch.
const BATCH_RECORDS: usize = 64;

/// Bytes of a batch in the log.
const BATCH_BYTES: usize =
    BATCH_HEADER_BYTES + BATCH_RECORDS * (RECORD_PREFIX_BYTES + PAYLOAD_BYTES);

/// Bytes that our side keeps on the disk.
const KEPT_BYTES: u64 = 1 << 30;

/// Bytes appended between two requests for a sync.
const SYNC_BYTES: usize = flush::PIECE_BYTES;

/// Pause between two looks whether the stretch is durable.
const LOOK: Duration = Duration::from_micros(20);

/// Pause before each turn: what one side still has removed from the disk is not the other's time.
const REST: Duration = Duration::from_millis(30);

/// Bytes that the floor copies at once.
const BULK_BYTES: usize = 1 << 20;

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_sustained",
    figures: &["log_sustained", "log_sustained_stall_worst_us"],
    seconds: [7, 27],
    laps: Laps::Each,
    measure: measure_all,
};

struct Ours {
    writer: Writer,
    janitor: Option<JanitorThread>,
    _log: Log,
    _folder: TempDir,
    /// Longest time of one append.
    worst: Duration,
}

impl Ours {
    fn new() -> Self {
        let folder = folders::scratch();
        let options = Options {
            partitions: 1,
            segment_bytes_min: STRETCH_BYTES as u64,
            segment_bytes_max: STRETCH_BYTES as u64,
            disk_reserve_bytes: 0,
            retention_bytes: Some(KEPT_BYTES),
            retention_needs_checkpoint: false,
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder.path(), options, now_ms(), 1).expect("a log");
        let writer = log.take_writer(PartitionId(0)).expect("taken once");
        let janitor = log.take_janitor().expect("taken once");
        // As in the server it is on no core in particular, and not on the writer's.
        pin::to_all();
        let janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("a thread");
        pin::to_last();
        Self {
            writer,
            janitor: Some(janitor),
            _log: log,
            _folder: folder,
            worst: Duration::ZERO,
        }
    }

    /// Appends so many bytes of log and waits until they are durable; bytes per second.
    fn stretch(&mut self, bytes: usize) -> f64 {
        let payload = [7; PAYLOAD_BYTES];
        let record = Record {
            kind: 1,
            key: 7,
            payload: &payload,
            ..Record::default()
        };
        let records = [record; BATCH_RECORDS];
        std::thread::sleep(REST);
        let began = Instant::now();
        let mut since_sync = 0;
        for _ in 0..bytes / BATCH_BYTES {
            let now_ms = now_ms();
            let append = Instant::now();
            self.writer.append(now_ms, &records).expect("appended");
            self.worst = self.worst.max(append.elapsed());
            since_sync += BATCH_BYTES;
            if since_sync >= SYNC_BYTES {
                self.writer.request_sync();
                since_sync = 0;
            }
        }
        self.writer.request_sync();
        while self.writer.durable() < self.writer.appended() {
            std::thread::sleep(LOOK);
        }
        bytes as f64 / began.elapsed().as_secs_f64()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // Before the folder goes: it still writes there.
        drop(self.janitor.take().map(JanitorThread::stop));
    }
}

fn measure_all(run: &mut Run) {
    let (blocks, bytes) = match run.effort() {
        Effort::Full => (54, STRETCH_BYTES),
        Effort::Quick => (20, STRETCH_BYTES),
        Effort::Check => (1, STRETCH_BYTES / 16),
    };
    run.say("log_sustained");
    let spec = Spec {
        name: "log_sustained",
        unit: "B/s",
        floor_expected: flush::EXPECTED.here(),
    };
    let source = vec![7; BULK_BYTES];
    let folder = folders::scratch();
    let floor = || {
        std::thread::sleep(REST);
        let path = folder.path().join("flush");
        let mut mapped = MappedFile::create(&path, STRETCH_BYTES, Touch::Not);
        let began = Instant::now();
        flush::fill(&mut mapped, &source, bytes);
        let rate = bytes as f64 / began.elapsed().as_secs_f64();
        std::fs::remove_file(path).expect("a file of ours");
        rate
    };
    if run.floors_only() {
        println!("{}", measure_floor(&spec, blocks, floor));
        return;
    }
    let mut ours = Ours::new();
    let blocks = pairs(blocks, Sides::new(|| ours.stretch(bytes), floor));
    run.pairs(&spec, blocks);
    let worst = ours.worst.as_secs_f64() * 1e6;
    run.worst("log_sustained_stall_worst_us", "us", worst);
}
