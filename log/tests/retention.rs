//! Old segments go as a whole, never what a checkpoint needs, never because a reader is slow, and
//! what a reader still holds stays readable.

mod common;

use std::sync::Arc;

use common::{all, append, append_many, options, payload};
use skein_log::{Janitor, Log, MemoryStorage, Options, PartitionId, ReadError, Storage, Writer};

const P: PartitionId = PartitionId(0);

fn open(storage: &Arc<MemoryStorage>, options: Options) -> (Log, Writer, Janitor) {
    let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("open");
    let writer = log.take_writer(P).expect("writer");
    let janitor = log.take_janitor().expect("janitor");
    (log, writer, janitor)
}

fn aged(age: u64) -> Options {
    Options {
        retention_age_ms: Some(age),
        segment_age_ms: 1_000_000,
        ..options(1)
    }
}

/// About six segments.
fn fill(writer: &mut Writer) {
    append_many(writer, 600, 1_500);
}

#[test]
fn without_a_checkpoint_nothing_is_dropped() {
    let (log, mut writer, mut janitor) = open(&MemoryStorage::new(), aged(10));
    fill(&mut writer);
    let segments = log.stats().segments;
    assert!(segments > 3);
    assert_eq!(janitor.work(1_000_000).segments_dropped, 0);
    assert_eq!(log.stats().segments, segments);
}

#[test]
fn age_drops_what_lies_before_the_checkpoint() {
    let storage = MemoryStorage::new();
    let (log, mut writer, mut janitor) = open(&storage, aged(10));
    fill(&mut writer);
    let begin = writer.next_offset() - 100;
    writer.set_checkpoint(begin, writer.appended());
    assert_eq!(writer.checkpoint(), None, "not before it is durable");
    let report = janitor.work(1_000_000);
    assert_eq!(writer.checkpoint(), Some(begin));
    assert!(report.segments_dropped > 0, "{report:?}");
    let reader = log.reader(P);
    assert!(
        (2..=begin).contains(&reader.first_offset()),
        "starts at {}",
        reader.first_offset()
    );

    // A reader that was behind hears of it and goes on.
    let mut reader = log.reader(P);
    let first = reader.first_offset();
    assert_eq!(
        reader.next_batch().expect_err("gap"),
        ReadError::Gap {
            partition: P,
            from: 1,
            next: first
        }
    );
    assert_eq!(
        reader
            .next_batch()
            .expect("goes on")
            .expect("a batch")
            .base_offset(),
        first
    );

    // The hint and the floor are durable, whatever names a crash brings back.
    for seed in 0..50 {
        let (log, report) = Log::open(storage.crash(seed), aged(10), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        assert_eq!(log.reader(P).checkpoint(), Some(begin), "seed {seed}");
        assert_eq!(log.reader(P).first_offset(), first, "seed {seed}");
        assert_eq!(all(&log, 0).last().expect("records").0, 600, "seed {seed}");
    }
}

/// What came while a clock was years ahead, and after it, has that time.
#[test]
fn bytes_spare_no_partition_for_a_clock_that_was_ahead() {
    const YEARS_MS: u64 = 100_000_000_000;
    let options = Options {
        retention_age_ms: None,
        retention_bytes: Some(2 << 20),
        retention_needs_checkpoint: false,
        segment_age_ms: 1_000_000_000,
        ..options(2)
    };
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("open");
    let mut writers = [P, PartitionId(1)].map(|it| log.take_writer(it).expect("writer"));
    let mut janitor = log.take_janitor().expect("janitor");
    append(&mut writers[0], YEARS_MS, &[vec![1; 100]]);
    for now in 1..3_000 {
        for writer in &mut writers {
            append(writer, now, &[vec![1; 1_500]]);
            writer.request_sync();
        }
        janitor.work(now);
    }
    let [ahead, right] = [P, PartitionId(1)].map(|it| log.reader(it).first_offset());
    assert!(ahead > 1 && right > 1, "{ahead} {right}");
    assert!(
        ahead.abs_diff(right) < 400,
        "the oldest go first: {ahead} {right}"
    );
}

#[test]
fn bytes_drop_the_oldest_until_it_fits() {
    let options = Options {
        retention_age_ms: None,
        retention_bytes: Some(512 << 10),
        retention_needs_checkpoint: false,
        ..options(1)
    };
    let (log, mut writer, mut janitor) = open(&MemoryStorage::new(), options);
    fill(&mut writer);
    assert!(log.stats().segment_bytes > 512 << 10);
    let report = janitor.work(10);
    assert!(log.stats().segment_bytes <= 512 << 10, "{:?}", log.stats());
    assert_eq!(report.segments_dropped as u64, log.stats().segments_dropped);
    assert_eq!(all(&log, 0).last().expect("records").0, 600);
    // A writer in a hurry fills segments between two rounds of housekeeping.
    fill(&mut writer);
    writer.request_sync(); // What is not durable is not dropped.
    janitor.work(11);
    assert!(log.stats().segment_bytes <= 512 << 10, "{:?}", log.stats());
}

#[test]
fn a_file_system_below_its_reserve_gets_back_what_it_lacks_and_no_more() {
    let storage = MemoryStorage::new();
    let options = Options {
        retention_age_ms: None,
        retention_needs_checkpoint: false,
        disk_reserve_bytes: 100 << 10,
        ..options(1)
    };
    let (log, mut writer, mut janitor) = open(&storage, options);
    fill(&mut writer);
    janitor.work(0);
    let before = log.stats();
    assert!(before.segments >= 5, "{before:?}");
    // 36 KiB are lacking: the smallest, oldest segment has more than that.
    let used: u64 = storage
        .list()
        .expect("list")
        .iter()
        .map(|entry| entry.bytes)
        .sum();
    storage.set_capacity_bytes(Some(used + (64 << 10)));
    let report = janitor.work(10_000);
    assert_eq!(report.segments_dropped, 1, "{report:?}");
    assert_eq!(janitor.work(20_000).segments_dropped, 0, "that was enough");
}

#[test]
fn a_checkpoint_that_was_lost_protects_nothing_and_drops_nothing() {
    let storage = MemoryStorage::new();
    let (log, mut writer, mut janitor) = open(&storage, aged(10));
    fill(&mut writer);
    janitor.work(1_000);
    append_many(&mut writer, 5, 100);
    writer.set_checkpoint(601, 605);
    storage.fail_call(skein_log::Operation::Sync, 0);
    let report = janitor.work(2_000);
    assert!(
        report
            .refusals
            .iter()
            .any(|text| text.contains("checkpoint")),
        "{report:?}"
    );
    assert_eq!(writer.checkpoint(), None);
    assert_eq!(log.stats().segments_dropped, 0);
}

#[test]
fn held_bytes_stay_readable_after_their_segment_is_gone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        retention_needs_checkpoint: false,
        ..aged(10)
    };
    let (mut log, _) = Log::open_dir(directory.path(), options, 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    fill(&mut writer);
    let batch = log.reader(P).next_batch().expect("read").expect("a batch");
    let (_, record) = batch.records().next().expect("a record");
    let held = batch.payload_bytes(&record);
    assert_eq!(held.as_ptr(), record.payload.as_ptr(), "no copy");
    drop(batch);

    let report = janitor.work(1_000_000);
    assert!(report.segments_dropped > 0, "{report:?}");
    let segment = directory.path().join("p00000-00000000000000000001.seg");
    assert!(!segment.exists(), "the file is gone");
    assert_eq!(held, payload(1, 1_500), "the bytes are not");
    assert_eq!(log.stats().mapped_deleted_bytes, 64 << 10);
    drop(held);
    janitor.work(1_000_001);
    assert_eq!(
        log.stats().mapped_deleted_bytes,
        0,
        "unmapped by the janitor"
    );
}

#[test]
fn an_idle_partition_can_become_empty_and_keeps_counting() {
    let storage = MemoryStorage::new();
    let options = Options {
        segment_age_ms: 1_000,
        retention_needs_checkpoint: false,
        ..aged(2_000)
    };
    let (log, mut writer, mut janitor) = open(&storage, options.clone());
    append_many(&mut writer, 3, 100);
    janitor.work(10);
    writer.poll(5_000);
    janitor.work(10_000);
    assert_eq!(
        log.stats().segments,
        0,
        "a segment that is old enough goes without a successor"
    );
    assert_eq!(log.reader(P).first_offset(), 4);
    drop((writer, janitor));
    log.close().expect("close");
    let (log, mut writer, _janitor) = open(&storage, options);
    assert_eq!(append(&mut writer, 0, &[payload(9, 9)]), 4);
    assert_eq!(all(&log, 0).len(), 1);
}

#[test]
fn purging_is_durable_and_readers_get_a_gap() {
    let storage = MemoryStorage::new();
    let (log, mut writer, mut janitor) = open(&storage, aged(1 << 40));
    fill(&mut writer);
    janitor.work(0);
    writer.purge_before(300).expect("purge");
    assert!(writer.purge_before(602).is_err(), "beyond the end");
    let mut reader = log.reader(P);
    assert!(matches!(
        reader.next_batch(),
        Err(ReadError::Gap {
            from: 1,
            next: 300,
            ..
        })
    ));
    assert_eq!(
        reader
            .next_batch()
            .expect("read")
            .expect("a batch")
            .base_offset(),
        300
    );
    assert!(janitor.work(10_000).segments_dropped > 0);
    for seed in 0..20 {
        let (log, report) = Log::open(storage.crash(seed), aged(10), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        assert_eq!(log.reader(P).first_offset(), 300, "seed {seed}");
    }
}
