//! Named consumers: they resume where they had committed, never skip a record that came in place of
//! one they had read, and are not waited for.

mod common;

use common::{append_many, drain, options};
use skein_log::{
    ConsumerError, Inspector, Log, MemoryStorage, Operation, PartitionId, ReadError, Storage,
};

const P: PartitionId = PartitionId(1);

/// Refuses the next small file, also when space is made for it.
fn refuse_write(storage: &MemoryStorage) {
    storage.fail_call(Operation::Write, 0);
    storage.fail_call(Operation::Write, 1);
}

#[test]
fn a_commit_is_resumed_after_every_crash_once_it_is_synced() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 20, 50);
    writer.sync_now().expect("sync");
    let mut consumer = log.consumer("sampler").expect("consumer");
    assert_eq!((consumer.position(P), consumer.lag(P)), (1, 20));
    let mut resumed = 1;
    for next in [5, 9, 21] {
        consumer.commit_at(P, next);
        for seed in 0..30 {
            let (log, _) = Log::open(storage.crash(seed), options(2), 0, 2).expect("open");
            let position = log.consumer("sampler").expect("consumer").position(P);
            assert_eq!(position, resumed, "before the sync");
        }
        consumer.sync().expect("sync");
        resumed = next;
        for seed in 0..30 {
            let (log, _) = Log::open(storage.crash(seed), options(2), 0, 2).expect("open");
            assert_eq!(log.consumers().expect("list"), ["sampler"]);
            let consumer = log.consumer("sampler").expect("consumer");
            assert_eq!((consumer.position(P), consumer.lag(P)), (next, 21 - next));
            let (records, gaps) = drain(&mut consumer.reader(P));
            assert_eq!((records.len() as u64, gaps.len()), (21 - next, 0));
        }
    }
}

#[test]
fn records_in_place_of_those_a_crash_took_are_read_again() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 10, 50);
    writer.sync_now().expect("sync");
    append_many(&mut writer, 10, 50);
    let mut consumer = log.consumer("sampler").expect("consumer");
    consumer.commit_at(P, 21);
    consumer.sync().expect("sync");
    let mut seen_shorter = 0;
    for seed in 0..50 {
        let (mut log, _) = Log::open(storage.crash(seed), options(2), 0, 2).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let kept = writer.appended();
        seen_shorter += u64::from(kept < 20);
        let consumer = log.consumer("sampler").expect("consumer");
        assert_eq!(consumer.position(P), kept + 1);
        // More than there had been: the place of before lies in the middle of other records.
        append_many(&mut writer, 30, 50);
        assert_eq!(consumer.position(P), kept + 1, "seed {seed}");
        assert_eq!(drain(&mut consumer.reader(P)).0.len(), 30);
    }
    assert!(seen_shorter > 10, "{seen_shorter} crashes took records");
}

#[test]
fn a_truncation_sends_a_consumer_back() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage, options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 10, 50);
    let mut consumer = log.consumer("sampler").expect("consumer");
    consumer.commit_at(P, 9);
    writer.truncate_after(0, 4).expect("truncate");
    append_many(&mut writer, 10, 50);
    assert_eq!(consumer.position(P), 5);
    consumer.commit_at(P, 9);
    assert_eq!(consumer.position(P), 9);
}

/// As many are in their place before it says that it has read the old ones.
#[test]
fn a_commit_of_what_was_taken_away_meanwhile_skips_nothing_that_came_in_its_place() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 10, 50);
    let mut consumer = log.consumer("sampler").expect("consumer");
    let mut reader = consumer.reader(P);
    assert_eq!(drain(&mut reader).0.len(), 10);
    writer.truncate_after(0, 5).expect("truncate");
    append_many(&mut writer, 5, 70);
    consumer.commit(&reader);
    assert_eq!(consumer.position(P), 6);
    consumer.sync().expect("sync");
    drop(consumer);
    let mut consumer = log.consumer("sampler").expect("consumer");
    let mut reader = consumer.reader(P);
    assert_eq!(drain(&mut reader).0.len(), 5, "the ones in their place");
    consumer.commit(&reader);
    assert_eq!(consumer.position(P), 11);
    consumer.sync().expect("sync");
    writer.sync_now().expect("durable");
    // And a start that was not clean begins another epoch, behind what was read.
    drop((consumer, reader, writer, log));
    let (mut log, _) = Log::open(storage.kill(), options(2), 0, 2).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 1, 50);
    let mut consumer = log.consumer("sampler").expect("consumer");
    let mut reader = consumer.reader(P);
    assert_eq!((consumer.position(P), drain(&mut reader).0.len()), (11, 1));
    consumer.commit(&reader);
    assert_eq!(consumer.position(P), 12);
}

#[test]
fn retention_does_not_wait_and_says_so() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut consumer = log.consumer("slow").expect("consumer");
    consumer.commit_at(P, 1);
    append_many(&mut writer, 500, 1_000);
    writer.purge_before(400).expect("purge");
    janitor.work(0);
    let gap = consumer.reader(P).next_batch();
    assert!(matches!(
        gap,
        Err(ReadError::Gap {
            from: 1,
            next: 400,
            ..
        })
    ));
}

#[test]
fn names_are_checked_and_taken_once() {
    let storage = MemoryStorage::new();
    let (log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    for name in ["", "a/b", "A", "a.tmp", &"x".repeat(65)] {
        let refused = log.consumer(name);
        assert!(
            matches!(refused, Err(ConsumerError::BadName { .. })),
            "{name}"
        );
    }
    let first = log.consumer("one").expect("consumer");
    assert!(matches!(
        log.consumer("one"),
        Err(ConsumerError::InUse { .. })
    ));
    drop(first);
    let mut again = log.consumer("one").expect("consumer");
    again.commit_at(P, 1);
    refuse_write(&storage);
    assert!(matches!(again.sync(), Err(ConsumerError::Storage { .. })));
    again.sync().expect("the next time");
    again.remove().expect("remove");
    assert!(log.consumers().expect("list").is_empty());
}

#[test]
fn every_flipped_bit_of_a_place_is_seen() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 3, 50);
    let mut consumer = log.consumer("one").expect("consumer");
    consumer.commit_at(P, 3);
    consumer.sync().expect("sync");
    drop(consumer);
    let bytes = storage.read("consumer-one", 4096).expect("read").len();
    for byte in 0..bytes {
        let storage = storage.kill();
        storage.flip_bit("consumer-one", byte, (byte % 8) as u8);
        let (log, _) = Log::open(storage, options(2), 0, 2).expect("open");
        let refused = log.consumer("one");
        assert!(
            matches!(refused, Err(ConsumerError::Damaged { .. })),
            "{byte}"
        );
    }
}

#[test]
fn a_tail_from_outside_begins_at_a_time() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 600, 1_000); // each at the time of its offset
    janitor.work(10_000);
    let inspector = Inspector::of(storage).expect("inspect");
    for (time, expect) in [(0, 1), (1, 1), (300, 300), (599, 599), (601, 601)] {
        let tail = inspector.tail_from_time(P, time).expect("tail");
        assert_eq!(tail.position(), expect, "time {time}");
    }
}
