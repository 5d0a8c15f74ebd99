//! The power fails before and after every call that syncs, writes a small file or changes a name:
//! most crash bugs sit right there. One run after the other does everything a log can do; at each
//! moment the storage is crashed in several ways, opened, and must hold
//!
//! - every record that was durable then, at its offset, and none that had been taken away before;
//! - the metadata and the consumer's place of before or of after the call in progress;
//! - nothing that is called damage.
//!
//! The same test has to fail where names are not synced, and where contents are not.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::watched::{Names, Watched};
use common::{Seeded, keyed, options, payload};
use skein_log::{
    Janitor, Log, MemoryStorage, Options, PartitionId, SyncMode, Writer, WriterBackend,
};

const P: PartitionId = PartitionId(0);

/// Runs, each with other operations; `SKEIN_LOG_CRASH_RUNS` asks for more.
const RUNS: u64 = 16;

/// Crashes at each moment.
const CRASHES: u64 = 2;

/// Key that is erased.
const ERASED: u32 = 3;

/// What must hold at a crash.
#[derive(Clone, Default)]
struct Truth {
    /// Stamps of the records that may be at an offset: one, or none, or, while a truncation is in
    /// progress, still the old one.
    stamps: BTreeMap<u64, (u32, u64)>,
    /// Everything up to here is there.
    durable: u64,
    /// What lies behind is being cut off: that it becomes durable before is no promise.
    cut: Option<u64>,
    /// What is going on, for the message.
    doing: String,
    /// Records of the erased key up to here may be missing; up to the other, they must.
    erased_perhaps: u64,
    erased_surely: u64,
    /// Nothing before must be there.
    floor: u64,
    metas: Vec<Vec<u8>>,
    places: Vec<u64>,
}

impl Truth {
    /// Compares with what a start finds.
    fn check(&self, storage: Arc<MemoryStorage>) -> Result<(), String> {
        let (mut log, report) =
            Log::open(storage, plain(), 0, 99).map_err(|error| format!("open: {error}"))?;
        if report.is_corrupt() {
            return Err(format!("called damage: {report}"));
        }
        let mut reader = log.reader(P);
        reader.set_verify(true);
        let first = reader.first_offset();
        if first > self.floor.max(1) && first <= self.durable {
            return Err(format!("begins at {first}, not at {}", self.floor));
        }
        reader.seek(first);
        let mut found = BTreeMap::new();
        while let Some(batch) = reader.next_batch().map_err(|error| error.to_string())? {
            for (offset, record) in batch.records() {
                let stamp = u64::from_le_bytes(record.payload[..8].try_into().expect("8 bytes"));
                found.insert(offset, (record.key, stamp));
            }
        }
        for (offset, record) in &found {
            if self.stamps.get(offset) != Some(record) {
                return Err(format!("{offset} holds {record:?}, which was taken away"));
            }
            if record.0 == ERASED && *offset <= self.erased_surely {
                return Err(format!("{offset} was erased and is there"));
            }
        }
        let needed = self.stamps.range(first.max(self.floor)..);
        for (offset, record) in needed.take_while(|(offset, _)| **offset <= self.durable) {
            let erased = record.0 == ERASED && *offset <= self.erased_perhaps;
            if !erased && !found.contains_key(offset) {
                return Err(format!("{offset} was durable and is not there"));
            }
        }
        let meta = log.take_writer(P).expect("writer").meta();
        if !self.metas.contains(&meta) {
            return Err(format!("metadata {meta:?} of {:?}", self.metas));
        }
        let place = log.consumer("c").map_err(|e| e.to_string())?.position(P);
        let (least, end) = (self.places.iter().min(), reader.appended() + 1);
        if place < *least.expect("one at least").min(&end) {
            return Err(format!("the consumer is at {place} of {:?}", self.places));
        }
        Ok(())
    }
}

/// Segments of one size, so that the file of any of them can be used again for the next one.
fn plain() -> Options {
    Options {
        segment_bytes_min: 256 << 10,
        retention_needs_checkpoint: false,
        retention_age_ms: None,
        ..options(1)
    }
}

struct Run {
    seeded: Seeded,
    storage: Arc<Watched>,
    truth: Arc<Mutex<Truth>>,
    moments: Arc<AtomicU64>,
    /// Moments at which a file was being made blank, to be used again.
    moments_recycling: Arc<AtomicU64>,
    recycled: u64,
    failures: Arc<Mutex<Vec<String>>>,
    writer: WriterBackend,
    stamp: u64,
    now: u64,
}

struct Open {
    log: Log,
    writer: Writer,
    janitor: Janitor,
}

impl Run {
    fn new(seed: u64, names: Names, contents: SyncMode) -> Run {
        let memory = MemoryStorage::new();
        memory.set_sync_mode(contents);
        let storage = Watched::new(Arc::clone(&memory), names);
        let truth = Arc::new(Mutex::new(Truth {
            metas: vec![Vec::new()],
            places: vec![1],
            floor: 1,
            ..Truth::default()
        }));
        let (moments, failures) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let moments_recycling = Arc::new(AtomicU64::new(0));
        let run = Run {
            seeded: Seeded::new(seed),
            storage: Arc::clone(&storage),
            truth: Arc::clone(&truth),
            moments: Arc::clone(&moments),
            moments_recycling: Arc::clone(&moments_recycling),
            recycled: 0,
            failures: Arc::clone(&failures),
            writer: [WriterBackend::Mapped, WriterBackend::Pwrite][seed as usize % 2],
            stamp: seed << 32,
            now: 1_000,
        };
        // Weakly: it holds the memory, which holds this.
        let storage = Arc::downgrade(&storage);
        memory.observe(move |memory| {
            let moment = moments.fetch_add(1, Ordering::SeqCst);
            let is_recycling = storage.upgrade().is_some_and(|it| it.is_recycling());
            moments_recycling.fetch_add(u64::from(is_recycling), Ordering::SeqCst);
            let truth = truth.lock().expect("truth").clone();
            for crash in 0..CRASHES {
                let after = memory.crash(moment * CRASHES + crash + seed);
                if let Err(what) = truth.check(after) {
                    let at = format!("seed {seed}, moment {moment}, crash {crash}");
                    let what = format!("{at}, {}: {what}", truth.doing);
                    failures.lock().expect("failures").push(what);
                }
            }
        });
        run
    }

    fn truth<T>(&self, change: impl FnOnce(&mut Truth) -> T) -> T {
        change(&mut self.truth.lock().expect("truth"))
    }

    fn open(&mut self) -> Open {
        let options = Options {
            writer: self.writer,
            ..plain()
        };
        let storage = Arc::clone(&self.storage);
        let (mut log, _) = Log::open(storage, options, self.now, self.seeded.next()).expect("open");
        let truth = Arc::clone(&self.truth);
        log.on_durable(Box::new(move |_, offset| {
            let mut truth = truth.lock().expect("truth");
            let offset = truth.cut.map_or(offset, |cut| offset.min(cut));
            truth.durable = truth.durable.max(offset);
        }));
        let writer = log.take_writer(P).expect("writer");
        let janitor = log.take_janitor().expect("janitor");
        Open {
            log,
            writer,
            janitor,
        }
    }

    fn step(&mut self, open: &mut Open) {
        self.now += self.seeded.below(200);
        let what = self.seeded.below(17);
        let doing = format!("step {what}, next {}", open.writer.next_offset());
        self.truth(|truth| truth.doing = doing);
        match what {
            0..=6 => self.append(open),
            7 => {
                open.writer.sync_now().expect("sync");
            }
            8 => {
                open.writer.request_sync();
                open.janitor.work(self.now);
            }
            9 => {
                self.now += 5_000;
                open.janitor.work(self.now);
            }
            10 => open.writer.close_segment(),
            11 => self.truncate(open),
            12 => self.set_meta(open),
            13 => self.commit(open),
            14 => self.erase(open),
            15 => self.purge(open, 60),
            _ => self.go_round(open),
        }
    }

    fn append(&mut self, open: &mut Open) {
        let next = open.writer.next_offset();
        let mut records = Vec::new();
        for offset in next..next + 1 + self.seeded.below(12) {
            self.stamp += 1;
            let key = self.seeded.below(5) as u32;
            let bytes = payload(self.stamp, self.seeded.below(3_000) as usize);
            self.truth(|truth| truth.stamps.insert(offset, (key, self.stamp)));
            records.push((key, bytes));
        }
        open.writer
            .append(self.now, &keyed(&records))
            .expect("append");
    }

    fn truncate(&mut self, open: &mut Open) {
        let (first, last) = (open.log.reader(P).first_offset(), open.writer.appended());
        if last < first + 4 || self.seeded.below(2) > 0 {
            return;
        }
        let offset = last - 1 - self.seeded.below(3);
        self.truth(|truth| {
            truth.durable = truth.durable.min(offset);
            truth.cut = Some(offset);
            truth.places.push(offset + 1);
        });
        open.writer.truncate_after(self.now, offset).expect("cut");
        self.truth(|truth| {
            truth.cut = None;
            truth.stamps.retain(|held, _| *held <= offset);
            // What was cut and comes again is not erased.
            truth.erased_surely = truth.erased_surely.min(offset);
            truth.erased_perhaps = truth.erased_perhaps.min(offset);
        });
    }

    fn set_meta(&mut self, open: &mut Open) {
        let meta = self.seeded.next().to_le_bytes().to_vec();
        self.truth(|truth| truth.metas.push(meta.clone()));
        open.writer.set_meta(&meta).expect("set");
        self.truth(|truth| truth.metas = vec![meta]);
    }

    fn commit(&mut self, open: &mut Open) {
        let mut consumer = open.log.consumer("c").expect("consumer");
        let next = open.writer.durable() + 1;
        self.truth(|truth| truth.places.push(next));
        consumer.commit_at(P, next);
        consumer.sync().expect("sync");
        self.truth(|truth| truth.places = vec![next]);
    }

    fn erase(&mut self, open: &mut Open) {
        let end = open.writer.appended();
        self.truth(|truth| truth.erased_perhaps = truth.erased_perhaps.max(end));
        let erased = open
            .log
            .rewriter()
            .erase(P, |_, record| record.key == ERASED);
        if erased.expect("erase").records_left == 0 {
            self.truth(|truth| truth.erased_surely = truth.erased_surely.max(end));
        }
    }

    /// Keeps this many of the durable records, and with them what lies in their segments.
    fn purge(&mut self, open: &mut Open, keep: u64) {
        let floor = open.writer.durable().saturating_sub(keep).max(1);
        self.truth(|truth| truth.floor = truth.floor.max(floor));
        open.writer.purge_before(floor).expect("purge");
    }

    /// Goes on in another file, so that nothing is needed any more of the one before, nor of the
    /// spare: the janitor makes a spare of it.
    fn go_round(&mut self, open: &mut Open) {
        open.writer.close_segment();
        self.append(open);
        open.writer.sync_now().expect("sync");
        self.purge(open, 0);
        self.now += 5_000;
        open.janitor.work(self.now);
    }

    fn run(mut self) -> Seen {
        for _ in 0..3 {
            let mut open = self.open();
            for _ in 0..30 {
                self.step(&mut open);
            }
            let Open {
                log,
                writer,
                janitor,
            } = open;
            self.recycled += log.stats().spares_recycled;
            let appended = writer.appended();
            drop((writer, janitor));
            if self.seeded.below(2) == 0 {
                log.close().expect("close");
                self.truth(|truth| truth.durable = appended);
            }
        }
        let failures = std::mem::take(&mut *self.failures.lock().expect("failures"));
        Seen {
            moments: self.moments.load(Ordering::SeqCst),
            moments_recycling: self.moments_recycling.load(Ordering::SeqCst),
            recycled: self.recycled,
            failures,
        }
    }
}

/// What runs have seen.
#[derive(Default)]
struct Seen {
    moments: u64,
    moments_recycling: u64,
    /// Files that were used again.
    recycled: u64,
    failures: Vec<String>,
}

fn run_all(runs: u64, names: Names, contents: SyncMode) -> Seen {
    let mut all = Seen::default();
    for seed in 0..runs {
        let seen = Run::new(seed, names, contents).run();
        all.moments += seen.moments;
        all.moments_recycling += seen.moments_recycling;
        all.recycled += seen.recycled;
        all.failures.extend(seen.failures);
    }
    all
}

#[test]
fn a_crash_at_any_sync_point_keeps_every_promise() {
    let asked = std::env::var("SKEIN_LOG_CRASH_RUNS").ok();
    let runs = asked.map_or(RUNS, |text| text.parse().expect("a number of runs"));
    let seen = run_all(runs, Names::Synced, SyncMode::Honest);
    let (moments, failures) = (seen.moments, seen.failures);
    assert!(moments * CRASHES > 3_000, "only {moments} moments");
    assert!(
        failures.is_empty(),
        "{} of {}: {:#?}",
        failures.len(),
        moments * CRASHES,
        &failures[..failures.len().min(5)]
    );
    let (recycled, inside) = (seen.recycled, seen.moments_recycling);
    assert!(recycled > runs / 2, "only {recycled} files used again");
    assert!(
        inside >= recycled * 3,
        "only {inside} moments in {recycled}"
    );
}

#[test]
fn the_test_finds_names_that_are_not_synced() {
    let seen = run_all(2, Names::Forgotten, SyncMode::Honest);
    let (found, crashes) = (seen.failures.len() as u64, seen.moments * CRASHES);
    assert!(found > crashes / 10, "only {found} failures in {crashes}");
}

#[test]
fn the_test_finds_contents_that_are_not_synced() {
    let seen = run_all(2, Names::Synced, SyncMode::Lie);
    let (found, crashes) = (seen.failures.len() as u64, seen.moments * CRASHES);
    assert!(found > crashes / 10, "only {found} failures in {crashes}");
}
