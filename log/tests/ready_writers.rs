//! A writer that asks beforehand (`Writer::is_ready_for`) never waits for the disk: what needs it is
//! done by the janitor's threads, from the first record on, at rolls, after a crash, and where the
//! disk is full.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{drain, options, payload};
use skein_log::{JanitorThread, Log, MemoryStorage, Operation, PartitionId, Record, Writer};

const P: PartitionId = PartitionId(0);

/// How long the janitor may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

/// A log with its janitor, and the writer on this thread.
struct Ours {
    writer: Writer,
    ready: Receiver<()>,
    /// Calls for the disk that this thread has made.
    waited: Arc<AtomicU64>,
    janitor: JanitorThread,
    log: Log,
}

impl Ours {
    fn open(storage: &Arc<MemoryStorage>) -> Ours {
        let (mut log, _) = Log::open(storage.clone(), options(1), now_ms(), 1).expect("a log");
        let writer = log.take_writer(P).expect("writer");
        let (told, ready) = mpsc::channel();
        log.on_ready(Box::new(move |_| told.send(()).unwrap_or_default()));
        let (own, waited) = (thread::current().id(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&waited);
        storage.observe(move |_| {
            if thread::current().id() == own {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let janitor = log.take_janitor().expect("janitor");
        let janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("threads");
        let ours = Ours {
            writer,
            ready,
            waited,
            janitor,
            log,
        };
        ours.wait_until("the janitor's threads", |log| {
            log.stats().spares_prepared > 0 || log.stats().segments > 0
        });
        ours
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Log) -> bool) {
        let began = Instant::now();
        while !holds(&self.log) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.log.stats());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Appends records as a shard does. How often it had to wait to be told.
    fn append_many(&mut self, records: u64) -> u64 {
        let mut told = 0;
        for _ in 0..records {
            let bytes = payload(self.writer.next_offset(), 1_500);
            let record = [Record {
                payload: &bytes,
                ..Record::default()
            }];
            while !self.writer.is_ready_for(now_ms(), &record) {
                let ready = self.ready.recv_timeout(PATIENCE);
                ready.expect("told that something is there");
                told += 1;
            }
            self.writer.append(now_ms(), &record).expect("appended");
        }
        told
    }

    fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    fn end(self) -> Log {
        drop(self.writer);
        drop(self.janitor.stop());
        self.log
    }
}

#[test]
fn a_writer_whose_epoch_the_disk_refuses_once_is_told_when_it_does_not() {
    let storage = MemoryStorage::new();
    let mut ours = Ours::open(&storage);
    storage.fail_call(Operation::Write, 0);
    storage.fail_call(Operation::Write, 1);
    assert!(ours.append_many(1) > 0);
    assert_eq!((ours.writer.appended(), ours.waited()), (1, 0));
    drop(ours.end());
}

#[test]
fn a_writer_that_asks_waits_for_no_disk_from_its_first_record_on() {
    let mut storage = MemoryStorage::new();
    for round in 1..=3 {
        let mut ours = Ours::open(&storage);
        let told = ours.append_many(600);
        assert!(
            told > 0,
            "round {round}: the epoch is made durable elsewhere"
        );
        assert_eq!(ours.waited(), 0, "round {round}");
        let stats = ours.log.stats();
        assert_eq!(stats.segments_prepared_inline, 0, "{stats:?}");
        assert_eq!(stats.segments_in_memory, 0, "{stats:?}");
        assert!(stats.segments > round * 3, "{stats:?}");
        assert_eq!(ours.writer.epoch(), round as u32, "no clean stop");
        let (records, gaps) = drain(&mut ours.log.reader(P));
        assert!(gaps.is_empty());
        assert_eq!(records.len() as u64, round * 600);
        for (offset, bytes) in records {
            assert_eq!(bytes, payload(offset, 1_500));
        }
        storage = storage.kill();
        drop(ours.end());
    }
}

#[test]
fn a_full_disk_holds_nobody_up_and_is_asked_elsewhere() {
    let storage = MemoryStorage::new();
    storage.set_capacity_bytes(Some(500 << 10));
    let mut ours = Ours::open(&storage);
    ours.append_many(1_000);
    assert!(ours.writer.degraded());
    assert_eq!(ours.waited(), 0);
    let stats = ours.log.stats();
    assert_eq!(stats.segments_prepared_inline, 0, "{stats:?}");
    assert!(stats.segments_in_memory > 1, "{stats:?}");

    storage.set_capacity_bytes(None);
    let began = Instant::now();
    while ours.writer.degraded() {
        assert!(began.elapsed() < PATIENCE, "back by itself");
        ours.append_many(1);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ours.waited(), 0);
    ours.writer.request_sync();
    let appended = ours.writer.appended();
    ours.wait_until("durable", |_| ours.writer.durable() == appended);
    drop(ours.end());
}

#[test]
fn what_was_held_ready_is_given_back() {
    let storage = MemoryStorage::new();
    let mut ours = Ours::open(&storage);
    ours.append_many(200);
    // Asked and not appended: the file for it is taken.
    let large = vec![7; 60_000];
    let record = [Record {
        payload: &large,
        ..Record::default()
    }];
    for _ in 0..3 {
        while !ours.writer.is_ready_for(now_ms(), &record) {
            ours.ready.recv_timeout(PATIENCE).expect("told");
        }
        ours.writer.append(now_ms(), &record).expect("appended");
        ours.writer.close_segment();
    }
    while !ours.writer.is_ready_for(now_ms(), &record) {
        ours.ready.recv_timeout(PATIENCE).expect("told");
    }
    assert_eq!(ours.waited(), 0);
    let appended = ours.writer.appended();
    let log = ours.end();
    log.close().expect("closed");
    let (log, report) = Log::open(storage, options(1), now_ms(), 2).expect("open");
    assert!(report.clean && !report.is_corrupt(), "{report}");
    let (records, _) = drain(&mut log.reader(P));
    assert_eq!(records.last().expect("records").0, appended);
}
