//! Random operations against the plainest model of a log there is: a `Vec`. In memory and on disk,
//! with both backends.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{drain, keyed, options, payload};
use proptest::prelude::*;
use skein_log::{
    Janitor, Log, MemoryStorage, Options, PartitionId, RecordRef, RewriteReport, Thinning, Writer,
    WriterBackend,
};
use tempfile::TempDir;

const P: PartitionId = PartitionId(0);

/// Keys of records.
const KEYS: u32 = 4;

/// Cases in memory, and on disk, where each sync is one.
const CASES: u32 = 400;
const CASES_ON_DISK: u32 = 40;

#[derive(Clone, Debug)]
enum Step {
    Append {
        records: usize,
        bytes: usize,
        later_ms: u64,
    },
    ReadFrom(usize),
    ReadSince(u64),
    Sync,
    Poll {
        later_ms: u64,
    },
    CloseSegment,
    Truncate(usize),
    /// Nothing before so many from the end is needed.
    Purge(usize),
    /// A key's records go; of those in the segment being written only with `close`.
    Erase {
        key: u32,
        close: bool,
    },
    Thin {
        interval_ms: u64,
    },
    SetMeta(Vec<u8>),
    /// A consumer has read all but so many.
    Commit(usize),
    /// The last so many records are a checkpoint.
    Checkpoint(usize),
    /// The janitor syncs, writes down, and drops what is too much.
    Janitor {
        later_ms: u64,
    },
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_usize..40, 0_usize..4_000, 0_u64..500).prop_map(|(records, bytes, later_ms)| {
            Step::Append { records, bytes, later_ms }
        }),
        1 => (60_000_usize..65_000, 0_u64..500).prop_map(|(bytes, later_ms)| {
            Step::Append { records: 1, bytes, later_ms }
        }),
        3 => (0_usize..2_000).prop_map(Step::ReadFrom),
        2 => (0_u64..20_000).prop_map(Step::ReadSince),
        1 => Just(Step::Sync),
        1 => (0_u64..3_000).prop_map(|later_ms| Step::Poll { later_ms }),
        1 => Just(Step::CloseSegment),
        1 => (0_usize..60).prop_map(Step::Truncate),
        1 => (0_usize..200).prop_map(Step::Purge),
        1 => (0..KEYS, any::<bool>()).prop_map(|(key, close)| Step::Erase { key, close }),
        1 => (1_u64..2_000).prop_map(|interval_ms| Step::Thin { interval_ms }),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::SetMeta),
        1 => (0_usize..50).prop_map(Step::Commit),
        2 => (0_usize..50).prop_map(Step::Checkpoint),
        2 => (0_u64..8_000).prop_map(|later_ms| Step::Janitor { later_ms }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

/// Where the log lies.
enum Place {
    Memory(Arc<MemoryStorage>),
    Disk(TempDir),
}

/// A record as it was appended.
struct Entry {
    time: u64,
    key: u32,
    payload: Vec<u8>,
    /// Erased or thinned.
    gone: bool,
}

struct Running {
    log: Log,
    writer: Writer,
    janitor: Janitor,
}

impl Running {
    fn first_offset(&self) -> u64 {
        self.log.reader(P).first_offset()
    }

    /// All that has been appended can be rewritten, if this writer has begun.
    fn close_all(&mut self) {
        self.writer.close_segment();
        self.writer.sync_now().expect("sync");
    }
}

struct World {
    place: Place,
    backend: WriterBackend,
    /// Taken only while the log is opened again.
    running: Option<Running>,
    /// The first has offset 1.
    model: Vec<Entry>,
    /// First offset that is held.
    first: u64,
    meta: Vec<u8>,
    /// Where the consumer goes on.
    consumed: u64,
    now: u64,
    stamp: u64,
    /// The writer has written something: before, it leaves the newest segment as it found it.
    begun: bool,
}

impl World {
    fn new(place: Place, backend: WriterBackend) -> World {
        let mut world = World {
            place,
            backend,
            running: None,
            model: Vec::new(),
            first: 1,
            meta: Vec::new(),
            consumed: 1,
            now: 1,
            stamp: 0,
            begun: false,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let options = Options {
            writer: self.backend,
            retention_age_ms: None,
            retention_bytes: Some(500 << 10),
            ..options(1)
        };
        let opened = match &self.place {
            Place::Memory(storage) => Log::open(storage.clone(), options, self.now, self.stamp),
            Place::Disk(directory) => Log::open_dir(directory.path(), options, self.now, 7),
        };
        let (mut log, report) = opened.expect("open");
        assert!(!report.is_corrupt(), "{report}");
        let writer = log.take_writer(P).expect("writer");
        let janitor = log.take_janitor().expect("janitor");
        self.running = Some(Running {
            log,
            writer,
            janitor,
        });
        self.begun = false;
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("open")
    }

    fn appended(&self) -> u64 {
        self.model.len() as u64
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append {
                records,
                bytes,
                later_ms,
            } => self.append(*records, *bytes, *later_ms),
            Step::ReadFrom(index) => self.read_from(*index as u64 + 1),
            Step::ReadSince(time) => self.read_since(*time),
            Step::Sync => {
                let appended = self.appended();
                let durable = self.running().writer.sync_now();
                assert_eq!(durable.expect("sync"), appended);
            }
            Step::Poll { later_ms } => {
                self.now += later_ms;
                let much_later = self.now + 4_000_000;
                self.running().writer.poll(much_later);
            }
            Step::CloseSegment => self.running().writer.close_segment(),
            Step::Truncate(back) => self.truncate(*back as u64),
            Step::Purge(back) => self.purge(*back as u64),
            Step::Erase { key, close } => self.erase(*key, *close),
            Step::Thin { interval_ms } => self.thin(*interval_ms),
            Step::SetMeta(meta) => {
                self.running().writer.set_meta(meta).expect("set");
                self.meta.clone_from(meta);
            }
            Step::Commit(back) => self.commit(*back as u64),
            Step::Checkpoint(count) => self.checkpoint(*count as u64),
            Step::Janitor { later_ms } => self.work(*later_ms),
            Step::Reopen => self.reopen(),
            Step::Kill => self.kill(),
        }
        self.check();
    }

    /// What is true after each step.
    fn check(&mut self) {
        let (appended, first, consumed) = (self.appended(), self.first, self.consumed);
        let meta = self.meta.clone();
        let running = self.running();
        assert_eq!(running.writer.next_offset(), appended + 1);
        assert_eq!(running.log.reader(P).appended(), appended);
        assert_eq!(running.first_offset(), first);
        assert_eq!(running.writer.meta(), meta);
        let consumer = running.log.consumer("reader").expect("consumer");
        assert_eq!(consumer.position(P), consumed);
    }

    fn append(&mut self, records: usize, bytes: usize, later_ms: u64) {
        self.now += later_ms;
        let mut left = self.running().writer.batch_bytes_max() - 40;
        let mut list = Vec::new();
        for _ in 0..records {
            let payload = payload(self.stamp + 1, bytes);
            left = left.saturating_sub(Writer::record_bytes(payload.len()));
            if left == 0 {
                break;
            }
            self.stamp += 1;
            list.push((self.stamp as u32 / 3 % KEYS, payload));
        }
        let now = self.now;
        let offsets = self.running().writer.append(now, &keyed(&list));
        self.model
            .extend(list.into_iter().map(|(key, payload)| Entry {
                time: now,
                key,
                payload,
                gone: false,
            }));
        assert_eq!(*offsets.expect("append").end(), self.appended());
        self.begun = true;
    }

    fn read_from(&mut self, from: u64) {
        let mut reader = self.running().log.reader(P);
        reader.set_verify(true);
        reader.seek(from);
        let (records, gaps) = drain(&mut reader);
        let begins = from.max(self.first);
        let mut missing = from;
        for (gap, next) in gaps {
            assert_eq!(gap, missing, "gaps follow each other");
            missing = next;
        }
        let skips = from < self.first && from <= self.appended();
        assert_eq!(missing, if skips { begins } else { from });
        let held = self.model.iter().zip(1..).skip(begins as usize - 1);
        let held = held.filter(|(entry, _)| !entry.gone);
        assert!(
            records
                .into_iter()
                .eq(held.map(|(entry, offset)| (offset, entry.payload.clone())))
        );
    }

    fn read_since(&mut self, time: u64) {
        let mut reader = self.running().log.reader(P);
        reader.seek_time(time);
        let later = self.model.iter().position(|entry| entry.time >= time);
        let exact = later.map_or(self.appended() + 1, |index| index as u64 + 1);
        let exact = exact.max(self.first);
        // What is left of several batches has one time, the oldest of theirs.
        let is_whole = !self.model.iter().any(|entry| entry.gone);
        if is_whole {
            assert_eq!(reader.position(), exact, "the first of {time} or later");
        } else {
            let range =
                exact as usize - 1..(reader.position() as usize - 1).max(exact as usize - 1);
            let skipped = &self.model[range];
            assert!(skipped.iter().all(|entry| entry.gone), "one is skipped");
        }
    }

    fn truncate(&mut self, back: u64) {
        if self.appended() < self.first {
            return;
        }
        let keep = (self.appended() - 1)
            .saturating_sub(back)
            .max(self.first - 1);
        let now = self.now;
        let cut = self.running().writer.truncate_after(now, keep);
        cut.expect("truncate");
        self.model.truncate(keep as usize);
        self.begun = true;
        self.consumed = self.consumed.min(keep + 1);
    }

    fn purge(&mut self, back: u64) {
        let floor = (self.appended() + 1).saturating_sub(back).max(1);
        self.running().writer.purge_before(floor).expect("purge");
        self.first = self.first.max(floor);
    }

    /// Takes out what is not there any more; what is, was not.
    fn learn_what_is_gone(&mut self) -> Vec<u64> {
        let first = self.first;
        let mut reader = self.running().log.reader(P);
        reader.set_verify(true);
        reader.seek(first);
        let (records, gaps) = drain(&mut reader);
        assert!(gaps.is_empty(), "what is taken out leaves no gap");
        let found: BTreeMap<u64, Vec<u8>> = records.into_iter().collect();
        let mut gone = Vec::new();
        for (entry, offset) in self.model.iter_mut().zip(1..).skip(first as usize - 1) {
            let held = found.get(&offset);
            assert!(held.is_none() || !entry.gone, "{offset} came back");
            if held.is_none() && !entry.gone {
                entry.gone = true;
                gone.push(offset);
            }
        }
        gone
    }

    fn erase(&mut self, key: u32, close: bool) {
        let running = self.running();
        if close {
            running.close_all();
        }
        let rewriter = running.log.rewriter();
        let report: RewriteReport = rewriter
            .erase(P, |_, record| record.key == key)
            .expect("erase");
        let gone = self.learn_what_is_gone();
        let of_key = |entry: &&Entry| entry.key == key;
        let entry = |offset: &u64| &self.model[*offset as usize - 1];
        assert!(gone.iter().map(entry).all(|entry| entry.key == key));
        // Those before the first that is held may be in its segment.
        assert!(gone.len() as u64 <= report.records_removed, "{report:?}");
        let held = self.model.iter().skip(self.first as usize - 1);
        let left = held.filter(of_key).filter(|entry| !entry.gone).count() as u64;
        assert!(left <= report.records_left, "{left} of {report:?}");
        let all = close && self.begun;
        assert!(!all || report.records_left == 0, "{report:?}");
        let is_left = |(entry, _): &(&Entry, u64)| entry.key == key && !entry.gone;
        let held = self.model.iter().zip(1..).skip(self.first as usize - 1);
        if let (Some((_, first_left)), Some(last)) = (held.into_iter().find(is_left), gone.last()) {
            assert!(*last < first_left, "only the newest are left");
        }
    }

    fn thin(&mut self, interval_ms: u64) {
        let now = self.now;
        let running = self.running();
        running.close_all();
        let needed = running.writer.checkpoint();
        let thinning = Thinning::new(0, |time, record: &RecordRef<'_>| {
            (record.kind == 0).then_some([time / interval_ms, 0])
        });
        let much_later = now + 1;
        let thinned = running.log.rewriter().thin(P, &thinning, much_later);
        thinned.expect("thin");
        let gone = self.learn_what_is_gone();
        let mut kept: BTreeMap<u32, u64> = BTreeMap::new();
        for (entry, offset) in self.model.iter().zip(1..).skip(self.first as usize - 1) {
            let is_near = |last: &u64| entry.time / interval_ms == last / interval_ms;
            let near = kept.get(&entry.key).is_some_and(is_near);
            if gone.contains(&offset) {
                // The one before it may lie before the first that is held, in the same segment.
                let hidden = self.first > 1 && !kept.contains_key(&entry.key);
                assert!(near || hidden, "{offset} has none near it");
                assert!(
                    needed.is_none_or(|begin| offset < begin),
                    "a replay needs it"
                );
            } else if !entry.gone {
                let all = self.begun && needed.is_none();
                assert!(!near || !all, "{offset} is one too many");
                kept.insert(entry.key, entry.time);
            }
        }
    }

    fn commit(&mut self, back: u64) {
        let next = (self.appended() + 1).saturating_sub(back).max(1);
        let log = &self.running().log;
        let mut consumer = log.consumer("reader").expect("consumer");
        consumer.commit_at(P, next);
        consumer.sync().expect("sync");
        self.consumed = next;
    }

    fn checkpoint(&mut self, count: u64) {
        let end = self.appended();
        let begin = end.saturating_sub(count).max(self.first);
        if begin <= end {
            self.running().writer.set_checkpoint(begin, end);
        }
    }

    fn work(&mut self, later_ms: u64) {
        self.now += later_ms;
        let (now, first, appended) = (self.now, self.first, self.appended());
        let running = self.running();
        let report = running.janitor.work(now);
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(report.refusals.is_empty(), "{:?}", report.refusals);
        let checkpoint = running.writer.checkpoint();
        assert!(checkpoint.is_none_or(|begin| begin <= appended));
        let now_first = running.first_offset();
        assert!(now_first >= first);
        let needed = checkpoint.unwrap_or(first).max(first);
        assert!(now_first <= needed, "from {needed} on it is needed");
        self.first = now_first;
    }

    fn reopen(&mut self) {
        let Running {
            log,
            writer,
            janitor,
        } = self.running.take().expect("open");
        drop((writer, janitor));
        log.close().expect("close");
        self.open();
    }

    fn kill(&mut self) {
        if let Place::Memory(storage) = &mut self.place {
            *storage = storage.kill();
        }
        self.running = None;
        self.open();
    }
}

fn run(place: Place, backend: WriterBackend, steps: &[Step]) {
    let mut world = World::new(place, backend);
    for step in steps {
        world.step(step);
    }
    world.step(&Step::ReadFrom(0));
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..50)
}

fn on_disk() -> Place {
    Place::Disk(tempfile::tempdir().expect("temporary directory"))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn a_log_is_a_vec_that_survives(steps in steps()) {
        run(Place::Memory(MemoryStorage::new()), WriterBackend::Mapped, &steps);
    }

    #[test]
    fn a_log_written_with_pwrite_is_a_vec_that_survives(steps in steps()) {
        run(Place::Memory(MemoryStorage::new()), WriterBackend::Pwrite, &steps);
    }
}

proptest! {
    #![proptest_config(config(CASES_ON_DISK))]

    #[test]
    fn a_log_on_disk_is_a_vec_that_survives(steps in steps()) {
        run(on_disk(), WriterBackend::Mapped, &steps);
    }

    #[test]
    fn a_log_on_disk_written_with_pwrite_is_a_vec_that_survives(steps in steps()) {
        run(on_disk(), WriterBackend::Pwrite, &steps);
    }
}
