//! Appending for a long time: 10 GiB through a partition without a pause, whose janitor prepares,
//! syncs and drops segments beside it; beside the same bytes copied into one file and synced, as
//! much without a pause. The clock of a side runs from its first byte until its last one is durable.
//! The sides take turns, once a lap.
//!
//! The log does all that goes with it meanwhile: it makes segments, and retention drops what is behind
//! the newest GiB, so that the disk need not hold more. The floor goes round in a file of a GiB, which it
//! makes before and removes after its clock runs: it neither makes files nor finds memory for their pages. As a producer that waits for its acknowledgements, the writer is never further
//! ahead of the durable mark than a segment: else the end would measure how much the page cache holds.
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
use skein_bench::ratio::{Sides, Spec, long_pairs, measure_floor};
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{
    BATCH_HEADER_BYTES, JanitorThread, Log, Options, PartitionId, RECORD_PREFIX_BYTES, Record,
    Writer,
};
use tempfile::TempDir;

/// Bytes of a segment, and those that are on their way to the disk at most.
const SEGMENT_BYTES: usize = 64 << 20;

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

/// Records that are on their way to the disk at most.
const RECORDS_AHEAD: u64 = (SEGMENT_BYTES / BATCH_BYTES * BATCH_RECORDS) as u64;

/// Pause between two looks how far the log is durable.
const LOOK: Duration = Duration::from_micros(20);

/// Pause before each turn: what one side still has removed from the disk is not the other's time.
const REST: Duration = Duration::from_millis(500);

/// Bytes that the floor copies at once.
const BULK_BYTES: usize = 1 << 20;

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_sustained",
    figures: &["log_sustained", "log_sustained_stall_worst_us"],
    seconds: [14, 72],
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
            segment_bytes_min: SEGMENT_BYTES as u64,
            segment_bytes_max: SEGMENT_BYTES as u64,
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

    /// Appends so many bytes of log until the last is durable; bytes per second.
    fn append(&mut self, bytes: usize) -> f64 {
        let payload = [7; PAYLOAD_BYTES];
        let record = Record {
            kind: 1,
            key: 7,
            payload: &payload,
            ..Record::default()
        };
        let records = [record; BATCH_RECORDS];
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
                self.wait_until_ahead_by(RECORDS_AHEAD);
                since_sync = 0;
            }
        }
        self.writer.request_sync();
        self.wait_until_ahead_by(0);
        bytes as f64 / began.elapsed().as_secs_f64()
    }

    /// Waits until no more than so many records are not durable.
    fn wait_until_ahead_by(&self, records: u64) {
        while self.writer.appended() - self.writer.durable() > records {
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // Before the folder goes: it still writes there.
        drop(self.janitor.take().map(JanitorThread::stop));
    }
}

fn measure_all(run: &mut Run) {
    let (turns, bytes) = match run.effort() {
        Effort::Full => (1, 10 << 30),
        Effort::Quick => (3, 2 << 30),
        Effort::Check => (1, 4 << 20),
    };
    run.say("log_sustained");
    let spec = Spec {
        name: "log_sustained",
        unit: "B/s",
        floor_expected: flush::EXPECTED.here(),
    };
    let floor = || copy_and_sync(bytes);
    if run.floors_only() {
        println!("{}", measure_floor(&spec, turns, floor));
        return;
    }
    let mut worst = Duration::ZERO;
    let ours = || {
        // Anew for each turn: what the last one left to be dropped is not this one's work.
        let mut ours = Ours::new();
        std::thread::sleep(REST);
        let rate = ours.append(bytes);
        worst = worst.max(ours.worst);
        rate
    };
    let pairs = long_pairs(run.lap(), turns, Sides::new(ours, floor));
    run.set_up(&spec, pairs.into());
    let worst = worst.as_secs_f64() * 1e6;
    run.worst("log_sustained_stall_worst_us", "us", worst);
}

/// What the floor does in its turn; bytes per second.
fn copy_and_sync(bytes: usize) -> f64 {
    let source = vec![7; BULK_BYTES];
    let folder = folders::scratch();
    let path = folder.path().join("flush");
    let round = bytes.min(KEPT_BYTES as usize);
    let mut mapped = MappedFile::create(&path, round, Touch::Not);
    std::thread::sleep(REST);
    let began = Instant::now();
    for _ in 0..bytes / round {
        flush::fill(&mut mapped, &source, round);
    }
    bytes as f64 / began.elapsed().as_secs_f64()
}
