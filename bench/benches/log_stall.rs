//! How long a pass of a writer lasts while the janitor syncs: 200,000 records a second, synced
//! once a second by another thread, as in the server.
//!
//! Between two passes the same thread looks at the clock without a pause; the longest time between
//! two looks is what the machine took away meanwhile, and stands beside the worst pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use skein_bench::floors::clock_gaps;
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::Part;
use skein_bench::pin;
use skein_bench::quantile::quantile;
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{Janitor, Log, Options, PartitionId, Record, Writer};

/// Records per second.
const RECORDS_PER_S: u64 = 200_000;

/// Records of a pass.
const BATCH_RECORDS: usize = 64;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// Passes that start so soon after a sync are the ones that it may hold up.
const AFTER_SYNC: Duration = Duration::from_millis(20);

/// Pause between two looks of the janitor.
const JANITOR_PAUSE: Duration = Duration::from_millis(1);

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_stall",
    figures: &[
        "stall_after_sync_p99_us",
        "stall_worst_us",
        "stall_worst_of_machine_us",
    ],
    seconds: [5, 61],
    measure,
};

/// When a pass began, how long it lasted, and the longest gap before the next one.
struct Pass {
    began: Instant,
    took: Duration,
    gap: Duration,
}

fn measure(run: &mut Run) {
    let duration = match run.effort() {
        Effort::Full => Duration::from_secs(60),
        Effort::Quick => Duration::from_secs(5),
        Effort::Check => Duration::from_millis(50),
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    if run.floors_only() {
        let gap = clock_gaps::longest_until(Instant::now() + duration);
        println!("floor of stall_worst_us: {:.1} us", micros(gap));
        return;
    }
    run.say("stalls of a writer");
    let (passes, syncs) = passes(duration);
    let soon = |pass: &&Pass| {
        let mut since = syncs.iter().filter(|sync| **sync <= pass.began);
        since.any(|sync| pass.began - *sync < AFTER_SYNC)
    };
    let mut after: Vec<f64> = passes
        .iter()
        .filter(soon)
        .map(|pass| micros(pass.took))
        .collect();
    let worst = passes.iter().map(|pass| pass.took).max();
    let gap = passes.iter().map(|pass| pass.gap).max();
    run.value("stall_after_sync_p99_us", "us", quantile(&mut after, 0.99));
    run.value("stall_worst_us", "us", micros(worst.unwrap_or_default()));
    run.value(
        "stall_worst_of_machine_us",
        "us",
        micros(gap.unwrap_or_default()),
    );
}

/// All passes of so long, and when syncs began.
fn passes(duration: Duration) -> (Vec<Pass>, Vec<Instant>) {
    let folder = folders::scratch();
    let options = Options {
        partitions: 1,
        disk_reserve_bytes: 0,
        ..Options::default()
    };
    let (mut log, _) = Log::open_dir(folder.path(), options, now_ms(), 1).expect("a log");
    let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    let janitor = log.take_janitor().expect("taken once");
    writer
        .append(now_ms(), &[Record::default()])
        .expect("appended");
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, log) = (Arc::clone(&stop), &log);
    thread::scope(|scope| {
        let syncs = scope.spawn(move || look_after(janitor, log, &stopped));
        let passes = write(&mut writer, duration);
        stop.store(true, Ordering::Release);
        (passes, syncs.join().expect("the janitor does not panic"))
    })
}

fn write(writer: &mut Writer, duration: Duration) -> Vec<Pass> {
    let payload = [7; PAYLOAD_BYTES];
    let record = Record {
        kind: 1,
        key: 7,
        payload: &payload,
        ..Record::default()
    };
    let records = [record; BATCH_RECORDS];
    let interval = Duration::from_nanos(BATCH_RECORDS as u64 * 1_000_000_000 / RECORDS_PER_S);
    let count = (duration.as_nanos() / interval.as_nanos()) as u32;
    let mut passes = Vec::with_capacity(count as usize);
    let start = Instant::now();
    for index in 0..count {
        let now_ms = now_ms();
        let began = Instant::now();
        writer.append(now_ms, &records).expect("appended");
        let took = began.elapsed();
        let gap = clock_gaps::longest_until(start + interval * (index + 1));
        passes.push(Pass { began, took, gap });
    }
    passes
}

/// The janitor's work on the first core; gives when syncs began.
fn look_after(mut janitor: Janitor, log: &Log, stopped: &AtomicBool) -> Vec<Instant> {
    pin::to(pin::cores().first().copied().unwrap_or(0));
    let mut syncs = Vec::new();
    while !stopped.load(Ordering::Acquire) {
        let before = log.stats().syncs;
        let began = Instant::now();
        janitor.work(now_ms());
        if log.stats().syncs > before {
            syncs.push(began);
        }
        thread::sleep(JANITOR_PAUSE);
    }
    syncs
}
