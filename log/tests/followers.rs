//! Threads: a writer, its janitor and many followers at once, on disk. Every follower sees every
//! record once, in order, whole, while segments roll, are synced and are dropped.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{append, append_many, options, payload};
use skein_log::{Inspector, JanitorThread, Log, MemoryStorage, Options, PartitionId, ReadError};

const P: PartitionId = PartitionId(0);
const RECORDS: u64 = 60_000;

fn clock() -> impl Fn() -> u64 + Send + 'static {
    let start = Instant::now();
    move || start.elapsed().as_millis() as u64
}

fn follow(mut reader: skein_log::Reader, until: u64) -> u64 {
    let mut expected = 1;
    while expected <= until {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for run in batch.runs() {
                    for (offset, record) in run.records {
                        assert_eq!(offset, expected);
                        assert_eq!(record.payload, payload(offset, record.payload.len()));
                        expected += 1;
                    }
                }
            }
            Ok(None) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    expected - 1
}

#[test]
fn every_follower_sees_every_record_once_and_in_order() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        sync_interval_ms: 5,
        ..options(1)
    };
    let (mut log, _) = Log::open_dir(directory.path(), options.clone(), 0, 1).expect("open");
    let durable = Arc::new(AtomicU64::new(0));
    let heard = Arc::clone(&durable);
    log.on_durable(Box::new(move |_, offset| {
        let before = heard.swap(offset, Ordering::SeqCst);
        assert!(before < offset, "the mark only grows");
    }));
    let janitor = JanitorThread::spawn(log.take_janitor().expect("janitor"), clock(), |_| {})
        .expect("thread");
    let mut writer = log.take_writer(P).expect("writer");
    let followers: Vec<_> = (0..3)
        .map(|_| {
            let reader = log.reader(P);
            thread::spawn(move || follow(reader, RECORDS))
        })
        .collect();
    let outside = {
        let inspector = Inspector::open(directory.path()).expect("inspect");
        thread::spawn(move || {
            let mut tail = inspector.tail(P, 1).expect("tail");
            while tail.position() <= RECORDS {
                match tail.next_batch() {
                    Ok(Some(batch)) => {
                        for (offset, record) in batch.records() {
                            assert_eq!(record.payload, payload(offset, record.payload.len()));
                        }
                    }
                    Ok(None) => thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    while writer.next_offset() <= RECORDS {
        let next = writer.next_offset();
        let count = (1 + next % 40).min(RECORDS + 1 - next);
        let payloads: Vec<_> = (next..next + count)
            .map(|stamp| payload(stamp, 8 + (stamp % 90) as usize))
            .collect();
        append(&mut writer, 0, &payloads);
    }
    writer.request_sync();
    for follower in followers {
        assert_eq!(follower.join().expect("follower"), RECORDS);
    }
    outside
        .join()
        .expect("a tail in another process would do the same");
    let deadline = Instant::now() + Duration::from_secs(20);
    while durable.load(Ordering::SeqCst) < RECORDS {
        assert!(
            Instant::now() < deadline,
            "the janitor was asked and did not sync"
        );
        thread::yield_now();
    }
    drop((janitor.stop(), writer));
    log.close().expect("close");
    let (_, report) = Log::open_dir(directory.path(), options, 0, 2).expect("open");
    assert!(report.clean, "{report}");
}

#[test]
fn bytes_outlive_their_batch_their_file_and_the_log() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (mut log, _) = Log::open_dir(directory.path(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 20, 100);
    let mut reader = log.reader(P);
    let mut held = Vec::new();
    while let Some(batch) = reader.next_batch().expect("no gap") {
        let records = batch.records();
        held.extend(records.map(|(offset, record)| (offset, batch.payload_bytes(&record))));
    }
    drop((reader, writer, log, directory));
    assert_eq!(held.len(), 20);
    for (offset, bytes) in held {
        assert_eq!(bytes, payload(offset, 100));
    }
}

#[test]
fn a_follower_that_retention_overtakes_gets_gaps_and_no_wrong_record() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        retention_bytes: Some(256 << 10),
        retention_needs_checkpoint: false,
        sync_interval_ms: 1,
        ..options(1)
    };
    let (mut log, _) = Log::open_dir(directory.path(), options, 0, 1).expect("open");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut writer = log.take_writer(P).expect("writer");
    let mut reader = log.reader(P);
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    let follower = thread::spawn(move || {
        let (mut read, mut gaps) = (0, 0);
        loop {
            let last_round = finished.load(Ordering::SeqCst);
            match reader.next_batch() {
                Ok(Some(batch)) => {
                    for (offset, record) in batch.records() {
                        assert_eq!(record.payload, payload(offset, record.payload.len()));
                        read += 1;
                    }
                }
                Ok(None) if last_round => return (read, gaps, reader.position()),
                Ok(None) => thread::yield_now(),
                Err(ReadError::Gap { from, next, .. }) => {
                    assert!(from < next);
                    gaps += next - from;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    for round in 0..200 {
        append_many(&mut writer, 20, 1_000);
        janitor.work(round * 5_000);
    }
    done.store(true, Ordering::SeqCst);
    let (read, gaps, position) = follower.join().expect("follower");
    assert_eq!(read + gaps, 4_000, "every offset is read or reported");
    assert_eq!(position, 4_001);
    assert!(log.stats().segments_dropped > 0);
}

#[test]
fn who_waits_is_woken_by_records_and_by_a_truncation_and_not_by_silence() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut reader = log.reader(P);
    assert!(!reader.wait(Duration::from_millis(1)), "nothing is there");
    // Far longer than the test may take: it ends only because somebody is woken.
    let long = Duration::from_secs(3_600);
    let follower = thread::spawn(move || {
        let mut seen = 0;
        while seen < 200 {
            assert!(reader.wait(long));
            while let Some(batch) = reader.next_batch().expect("valid") {
                seen += batch.records().count();
            }
        }
        reader
    });
    for stamp in 1..=200 {
        append(&mut writer, 0, &[payload(stamp, 8)]);
        if stamp % 10 == 0 {
            thread::yield_now();
        }
    }
    let reader = follower.join().expect("follower");
    writer.truncate_after(0, 100).expect("truncate");
    assert!(reader.wait(long), "there is something to say");
}

#[test]
fn a_check_from_outside_is_not_misled_by_what_comes_meanwhile() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 10, 100);
    writer.close_segment();
    append_many(&mut writer, 10, 100);
    let inspector = Inspector::of(storage).expect("inspect");
    let (mut now, mut rounds) = (0, 0);
    let report = inspector.verify_with(P, |_| {
        // The log goes on, becomes durable and quiet, and says so in its directory.
        append_many(&mut writer, 10, 100);
        for _ in 0..3 {
            now += 2_000;
            janitor.work(now);
        }
        rounds += 1;
    });
    let report = report.expect("verify");
    assert_eq!(rounds, 2, "segments");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.records >= 20);
}
