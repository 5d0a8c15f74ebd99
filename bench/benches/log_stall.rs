//! How long a pass of a writer lasts while its log is synced: 200,000 records a second, synced once
//! a second. In turn: as the server does it; without touching pages ahead; and with the sync in the
//! writer's own pass, which is what the janitor is there to prevent.
//!
//! Between two passes the same thread looks at the clock without a pause; the longest time between
//! two looks is what the machine took away meanwhile, and stands beside the worst pass.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use skein_bench::floors::clock_gaps;
use skein_bench::folders;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::pin;
use skein_bench::quantile::quantile;
use skein_bench::run::Run;
use skein_bench::server::now_ms;
use skein_log::{Janitor, JanitorThread, Log, Options, PartitionId, Record, WorkReport, Writer};

/// Records per second.
const RECORDS_PER_S: u64 = 200_000;

/// Records of a pass.
const BATCH_RECORDS: usize = 64;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// Time between two syncs.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Passes that start so soon after a sync are the ones that it may hold up.
const AFTER_SYNC: Duration = Duration::from_millis(20);

/// Longest interval that the log takes: the janitor syncs nothing by itself.
const NO_SYNC_MS: u64 = 3_600_000;

/// This part.
pub const PART: Part<Run> = Part {
    name: "log_stall",
    figures: &[
        SERVER.after_sync_p99,
        SERVER.worst,
        OF_MACHINE,
        UNTOUCHED.after_sync_p99,
        UNTOUCHED.worst,
        OWN_SYNC.after_sync_p99,
        OWN_SYNC.worst,
    ],
    seconds: [9, 121],
    laps: Laps::Last,
    measure,
};

/// A way to run a log, and the names of its figures.
struct Way {
    says: &'static str,
    after_sync_p99: &'static str,
    worst: &'static str,
    /// The janitor touches pages ahead of the tail.
    touches_ahead: bool,
    /// The writer syncs in its pass; else the janitor does.
    writer_syncs: bool,
}

/// What the server does.
const SERVER: Way = Way {
    says: "stalls of a writer",
    after_sync_p99: "stall_after_sync_p99_us",
    worst: "stall_worst_us",
    touches_ahead: true,
    writer_syncs: false,
};

const UNTOUCHED: Way = Way {
    says: "the same, without touching pages ahead",
    after_sync_p99: "stall_untouched_after_sync_p99_us",
    worst: "stall_untouched_worst_us",
    touches_ahead: false,
    ..SERVER
};

const OWN_SYNC: Way = Way {
    says: "the same, with the sync in the pass",
    after_sync_p99: "stall_own_sync_after_sync_p99_us",
    worst: "stall_own_sync_worst_us",
    writer_syncs: true,
    ..SERVER
};

/// The longest time that the machine took away from the writer, for [`SERVER`].
const OF_MACHINE: &str = "stall_worst_of_machine_us";

/// When a pass began, how long it lasted, and the longest gap before the next one.
struct Pass {
    began: Instant,
    took: Duration,
    gap: Duration,
}

fn measure(run: &mut Run) {
    // The other two only show by how much they are worse.
    let (ours, others) = match run.effort() {
        Effort::Full => (Duration::from_secs(60), Duration::from_secs(30)),
        Effort::Quick => (Duration::from_secs(5), Duration::from_secs(2)),
        Effort::Check => (Duration::from_millis(50), Duration::from_millis(50)),
    };
    if run.floors_only() {
        let gap = clock_gaps::longest_until(Instant::now() + ours);
        println!("floor of stall_worst_us: {:.1} us", micros(gap));
        return;
    }
    if run.wants_any(&[SERVER.after_sync_p99, SERVER.worst, OF_MACHINE]) {
        let gap = measure_way(run, &SERVER, ours);
        run.value(OF_MACHINE, "us", micros(gap));
    }
    for way in [&UNTOUCHED, &OWN_SYNC] {
        if run.wants_any(&[way.after_sync_p99, way.worst]) {
            measure_way(run, way, others);
        }
    }
}

/// Measures one way; gives the longest time that the machine took away meanwhile.
fn measure_way(run: &mut Run, way: &Way, duration: Duration) -> Duration {
    run.say(way.says);
    let (passes, syncs) = passes(way, duration);
    let soon = |pass: &&Pass| {
        let mut since = syncs.iter().filter(|sync| **sync <= pass.began);
        since.any(|sync| pass.began - *sync < AFTER_SYNC)
    };
    let after = passes.iter().filter(soon);
    let mut after: Vec<f64> = after.map(|pass| micros(pass.took)).collect();
    let worst = passes.iter().map(|pass| pass.took).max();
    run.value(way.after_sync_p99, "us", quantile(&mut after, 0.99));
    run.value(way.worst, "us", micros(worst.unwrap_or_default()));
    let gap = passes.iter().map(|pass| pass.gap).max();
    gap.unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// All passes of so long, and when syncs began.
fn passes(way: &Way, duration: Duration) -> (Vec<Pass>, Vec<Instant>) {
    let folder = folders::scratch();
    let defaults = Options::default();
    let options = Options {
        partitions: 1,
        disk_reserve_bytes: 0,
        pretouch_window_bytes: match way.touches_ahead {
            true => defaults.pretouch_window_bytes,
            false => 0,
        },
        sync_interval_ms: match way.writer_syncs {
            true => NO_SYNC_MS,
            false => SYNC_INTERVAL.as_millis() as u64,
        },
        ..defaults
    };
    let (mut log, _) = Log::open_dir(folder.path(), options, now_ms(), 1).expect("a log");
    let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    let janitor = log.take_janitor().expect("taken once");
    writer
        .append(now_ms(), &[Record::default()])
        .expect("appended");
    let janitor = JanitorOfBench::start(janitor);
    let sync_every = way.writer_syncs.then_some(SYNC_INTERVAL);
    let (passes, mut syncs) = write(&mut writer, duration, sync_every);
    syncs.extend(janitor.stop());
    (passes, syncs)
}

/// Writes at the rate; gives the passes, and when those began that synced.
fn write(
    writer: &mut Writer,
    duration: Duration,
    sync_every: Option<Duration>,
) -> (Vec<Pass>, Vec<Instant>) {
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
    let mut syncs = Vec::new();
    let start = Instant::now();
    let mut sync_due = sync_every.map(|_| start);
    for index in 0..count {
        let now_ms = now_ms();
        let began = Instant::now();
        writer.append(now_ms, &records).expect("appended");
        if sync_due.is_some_and(|due| due <= began) {
            writer.sync_now().expect("synced");
            sync_due = sync_every.map(|every| began + every);
            syncs.push(began);
        }
        let took = began.elapsed();
        let gap = clock_gaps::longest_until(start + interval * (index + 1));
        passes.push(Pass { began, took, gap });
    }
    (passes, syncs)
}

thread_local! {
    /// When the janitor's thread began its step: it asks for the time then.
    static STEP_BEGAN: Cell<Instant> = Cell::new(Instant::now());
}

/// The janitor as a server runs it, on the first core.
struct JanitorOfBench {
    threads: JanitorThread,
    syncs: Arc<Mutex<Vec<Instant>>>,
}

impl JanitorOfBench {
    fn start(janitor: Janitor) -> Self {
        let syncs = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&syncs);
        let clock = || {
            STEP_BEGAN.set(Instant::now());
            now_ms()
        };
        let observe = move |report: &WorkReport| {
            if report.synced > 0 {
                let mut seen = seen.lock().expect("no panic inside");
                seen.push(STEP_BEGAN.get());
            }
        };
        // Threads run where the one that makes them does.
        let spawn = move || {
            pin::to(pin::cores().first().copied().unwrap_or(0));
            JanitorThread::spawn(janitor, clock, observe)
        };
        let threads = thread::spawn(spawn).join().expect("no panic inside");
        Self {
            threads: threads.expect("threads"),
            syncs,
        }
    }

    /// When syncs began.
    fn stop(self) -> Vec<Instant> {
        drop(self.threads.stop());
        std::mem::take(&mut *self.syncs.lock().expect("no panic inside"))
    }
}
