//! Opening a directory with 1 GiB of log after a clean stop, and after none, beside opening and
//! mapping as many files, and beside reading and checking all of them.

use std::path::Path;
use std::time::Instant;

use skein_bench::floors::open_files;
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::Spec;
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{Log, Options, PartitionId, Record};
use tempfile::TempDir;

/// Bytes of the whole log.
const LOG_BYTES: usize = 1 << 30;

/// Bytes of one in a check.
const LOG_BYTES_IN_CHECK: usize = 1 << 20;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// Records of a batch.
const BATCH_RECORDS: usize = 64;

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_open",
    figures: &["log_open_1GiB_clean", "log_open_1GiB_unclean"],
    seconds: [9, 18],
    laps: Laps::Each,
    measure,
};

fn options() -> Options {
    Options {
        partitions: 1,
        disk_reserve_bytes: 0,
        ..Options::default()
    }
}

/// A log of so many bytes, everything durable, not closed.
fn written(bytes: usize) -> TempDir {
    let folder = folders::scratch();
    let (mut log, _) = Log::open_dir(folder.path(), options(), now_ms(), 1).expect("a log");
    let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    let mut janitor = log.take_janitor().expect("taken once");
    let payload = [7; PAYLOAD_BYTES];
    let record = Record {
        kind: 1,
        key: 7,
        payload: &payload,
        ..Record::default()
    };
    let records = [record; BATCH_RECORDS];
    let batch_bytes = BATCH_RECORDS * skein_log::Writer::record_bytes(PAYLOAD_BYTES);
    for index in 0..bytes / batch_bytes {
        writer.append(now_ms(), &records).expect("appended");
        if index % 1_024 == 0 {
            janitor.work(now_ms());
        }
    }
    writer.sync_now().expect("a disk that works");
    folder
}

/// Milliseconds to open it; then it is left as it was.
fn open(folder: &Path, clean: bool) -> f64 {
    let began = Instant::now();
    let (log, _) = Log::open_dir(folder, options(), now_ms(), 2).expect("an unharmed log");
    let took = began.elapsed();
    if clean {
        log.close().expect("a disk that works");
    }
    took.as_secs_f64() * 1e3
}

fn measure(run: &mut Run) {
    let bytes = match run.effort() {
        Effort::Check => LOG_BYTES_IN_CHECK,
        _ => LOG_BYTES,
    };
    run.say("a log of 1 GiB is written");
    let folder = written(bytes);
    // Unclean first: opening it cleanly is what a close makes possible.
    let folder = folder.path();
    let checked = Spec {
        name: "log_open_1GiB_unclean",
        unit: "ms",
        floor_expected: open_files::CHECK_EXPECTED.here(),
    };
    run.ratio(
        &checked,
        || open(folder, false),
        || millis(|| u64::from(open_files::check(folder))),
    );
    open(folder, true);
    let opened = Spec {
        name: "log_open_1GiB_clean",
        unit: "ms",
        floor_expected: open_files::EXPECTED.here(),
    };
    run.ratio(
        &opened,
        || open(folder, true),
        || millis(|| open_files::open(folder)),
    );
}

/// Milliseconds that something takes.
fn millis(work: impl FnOnce() -> u64) -> f64 {
    let began = Instant::now();
    std::hint::black_box(work());
    began.elapsed().as_secs_f64() * 1e3
}
