//! A disk that fails or is full: the log goes on, says what it can't promise, and recovers to
//! exactly what it promised.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::{Seeded, all, append_many, drain, options, payload};
use skein_log::{
    Durability, Log, MemoryStorage, Operation, PartitionId, Record, Storage, SyncError, Writer,
};

const P: PartitionId = PartitionId(0);

fn open(storage: &Arc<MemoryStorage>) -> (Log, Writer) {
    let (mut log, _) = Log::open(storage.clone(), options(1), 1_000, 7).expect("open");
    let writer = log.take_writer(P).expect("writer");
    (log, writer)
}

type Losses = Arc<Mutex<Vec<(u64, u64)>>>;

fn losses(log: &Log) -> Losses {
    let losses = Losses::default();
    let told = Arc::clone(&losses);
    log.on_lost(Box::new(move |_, first, last| {
        told.lock().expect("losses").push((first, last))
    }));
    losses
}

#[test]
fn a_failed_sync_is_never_repeated_and_the_log_goes_on_behind_a_gap() {
    let storage = MemoryStorage::new();
    let (log, mut writer) = open(&storage);
    let told = losses(&log);
    append_many(&mut writer, 3, 100);
    assert_eq!(writer.sync_now().expect("good disk"), 3);

    append_many(&mut writer, 2, 100);
    storage.fail_call(Operation::Sync, 0);
    let error = writer.sync_now().expect_err("the disk fails");
    assert!(
        matches!(error, SyncError::Failed { from: 4, .. }),
        "{error}"
    );
    assert!(writer.degraded());
    assert_eq!(*told.lock().expect("losses"), [(4, 5)]);
    assert_eq!(writer.durability(4), Durability::Lost);

    // The kernel would report success now. The log does not ask.
    let before = storage.calls(Operation::Sync);
    writer.sync_now().expect_err("still the same file");
    assert_eq!(storage.calls(Operation::Sync), before);

    // The next record goes to another file and can be promised again.
    append_many(&mut writer, 2, 100);
    assert!(!writer.degraded());
    assert_eq!(writer.sync_now().expect("another file"), 7);
    assert_eq!(writer.durability(5), Durability::Lost);
    assert_eq!(writer.durability(6), Durability::Durable);

    // Followers in this process have noticed nothing.
    assert_eq!(all(&log, 0).len(), 7);

    // After a power failure the promises are kept, and the hole is explained.
    for seed in 0..50 {
        let (log, report) = Log::open(storage.crash(seed), options(1), 0, 8).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let mut reader = log.reader(P);
        let (records, gaps) = drain(&mut reader);
        let offsets: Vec<u64> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [1, 2, 3, 6, 7], "seed {seed}");
        assert_eq!(gaps, [(4, 6)], "seed {seed}");
    }
}

#[test]
fn a_file_with_nothing_durable_is_replaced_under_its_own_name() {
    let storage = MemoryStorage::new();
    let (_log, mut writer) = open(&storage);
    append_many(&mut writer, 2, 100);
    storage.fail_call(Operation::Sync, 0);
    writer.sync_now().expect_err("the disk fails");
    append_many(&mut writer, 2, 100);
    assert_eq!(writer.sync_now().expect("another file"), 4);
    for seed in 0..50 {
        let (log, report) = Log::open(storage.crash(seed), options(1), 0, 8).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let (records, _) = drain(&mut log.reader(P));
        assert_eq!(
            records.first().map(|(offset, _)| *offset),
            Some(3),
            "seed {seed}"
        );
        assert_eq!(records.len(), 2, "seed {seed}");
    }
}

#[test]
fn a_directory_sync_that_fails_is_no_acknowledgement() {
    let storage = MemoryStorage::new();
    let (_log, mut writer) = open(&storage);
    append_many(&mut writer, 1, 100);
    storage.fail_call(Operation::SyncDirectory, 0);
    writer.sync_now().expect_err("names are not durable");
    assert_eq!(writer.durable(), 0);
}

/// The second partition's file got its name before the sync of the first one's failed. The kernel would
/// report success to the second one now.
#[test]
fn a_directory_sync_that_failed_is_no_acknowledgement_for_others_either() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(2), 1_000, 7).expect("open");
    let take = |log: &mut Log, partition| log.take_writer(PartitionId(partition)).expect("writer");
    let (mut first, mut second) = (take(&mut log, 0), take(&mut log, 1));
    append_many(&mut first, 1, 100);
    append_many(&mut second, 1, 100);
    // At its sync the second file has its name, and the first one's fails.
    let fails = Arc::new(Mutex::new(Some(first)));
    let failing = Arc::clone(&fails);
    storage.observe(move |storage| {
        let entries = storage.list().expect("a directory");
        let is_named = entries.iter().any(|entry| entry.name.starts_with("p00001"));
        let first = is_named.then(|| failing.try_lock().ok()?.take()).flatten();
        if let Some(mut first) = first {
            storage.fail_call(Operation::SyncDirectory, 0);
            first.sync_now().expect_err("the directory fails");
        }
    });
    second
        .sync_now()
        .expect_err("the same sync of the directory");
    assert!(fails.lock().expect("taken").is_none(), "it has failed");
    assert_eq!(second.durable(), 0);
    append_many(&mut second, 1, 100);
    assert_eq!(second.sync_now().expect("another file"), 2);
    for seed in 0..50 {
        let (log, report) = Log::open(storage.crash(seed), options(2), 0, 8).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let (records, _) = drain(&mut log.reader(PartitionId(1)));
        assert_eq!(
            records.last().map(|(offset, _)| *offset),
            Some(2),
            "seed {seed}"
        );
    }
}

#[test]
fn what_was_lost_asks_for_a_checkpoint_until_one_begins_behind_it() {
    let storage = MemoryStorage::new();
    let (_log, mut writer) = open(&storage);
    append_many(&mut writer, 3, 100);
    writer.sync_now().expect("good disk");
    assert!(!writer.wants_checkpoint(), "nothing is lost");
    writer.set_checkpoint(1, 3);

    append_many(&mut writer, 2, 100);
    storage.fail_call(Operation::Sync, 0);
    writer.sync_now().expect_err("the disk fails");
    assert!(
        writer.wants_checkpoint(),
        "the one before holds nothing of it"
    );

    // One that is lost itself makes up for nothing.
    append_many(&mut writer, 2, 100);
    writer.set_checkpoint(6, 7);
    assert!(!writer.wants_checkpoint());
    storage.fail_call(Operation::Sync, 0);
    writer.sync_now().expect_err("the disk fails again");
    assert!(writer.wants_checkpoint());

    append_many(&mut writer, 2, 100);
    assert!(writer.wants_checkpoint(), "records are no checkpoint");
    writer.set_checkpoint(8, 9);
    assert!(!writer.wants_checkpoint());
    writer.sync_now().expect("another file");
    assert!(!writer.wants_checkpoint());
}

#[test]
fn a_partition_in_memory_asks_for_a_checkpoint_when_there_is_a_file_again() {
    let storage = MemoryStorage::new();
    let (mut log, mut writer) = open(&storage);
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 3, 100);
    janitor.work(0);
    storage.set_capacity_bytes(Some(0));
    let mut appended = 3;
    while !writer.degraded() {
        append_many(&mut writer, 1, 1_000);
        appended += 1;
    }
    janitor.work(10);
    assert!(!writer.wants_checkpoint(), "it would be lost, too");

    storage.set_capacity_bytes(None);
    janitor.work(100_000);
    assert!(
        writer.wants_checkpoint(),
        "also if nothing is appended any more"
    );
    append_many(&mut writer, 1, 100);
    writer.set_checkpoint(appended + 1, appended + 1);
    assert!(!writer.wants_checkpoint());
    assert_eq!(writer.sync_now().expect("a file"), appended + 1);
    janitor.work(200_000);
    assert_eq!(writer.checkpoint(), Some(appended + 1));
}

#[test]
fn a_full_disk_turns_a_partition_to_memory_and_back() {
    let storage = MemoryStorage::new();
    storage.set_capacity_bytes(Some(200 << 10));
    let (mut log, mut writer) = open(&storage);
    let told = losses(&log);
    let mut janitor = log.take_janitor().expect("janitor");
    let mut reader = log.reader(P);
    let mut read = Vec::new();
    let mut now = 0;
    while !writer.degraded() {
        append_many(&mut writer, 10, 1_000);
        now += 1_000;
        janitor.work(now);
        read.extend(drain(&mut reader).0);
    }
    let lost_from = writer.durable() + 1;
    for _ in 0..30 {
        append_many(&mut writer, 10, 1_000);
        now += 1_000;
        let report = janitor.work(now);
        assert!(
            matches!(report.failures[..], [SyncError::Degraded { .. }]),
            "{report:?}"
        );
        read.extend(drain(&mut reader).0);
    }
    writer.sync_now().expect_err("memory is not durable");
    assert!(
        log.stats().segment_bytes < 1 << 20,
        "memory stays bounded: {:?}",
        log.stats()
    );

    storage.set_capacity_bytes(Some(4 << 20));
    now += 2_000;
    janitor.work(now);
    let back_at = writer.next_offset();
    append_many(&mut writer, 1, 1_000);
    assert!(!writer.degraded(), "back by itself");
    assert_eq!(writer.sync_now().expect("on a file"), back_at);
    read.extend(drain(&mut reader).0);
    let offsets: Vec<u64> = read.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(
        offsets,
        (1..=back_at).collect::<Vec<_>>(),
        "the follower noticed nothing"
    );
    let told = told.lock().expect("losses").clone();
    assert_eq!(told.first().map(|range| range.0), Some(lost_from));
    assert_eq!(told.last().map(|range| range.1), Some(back_at - 1));

    for seed in 0..20 {
        let (log, report) = Log::open(storage.crash(seed), options(1), 0, 8).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let (records, gaps) = drain(&mut log.reader(P));
        assert_eq!(gaps, [(lost_from, back_at)], "seed {seed}");
        assert_eq!(
            records.last().map(|(offset, _)| *offset),
            Some(back_at),
            "seed {seed}"
        );
    }
}

#[test]
fn a_writer_that_syncs_by_itself_needs_no_janitor_to_come_back() {
    let storage = MemoryStorage::new();
    let (_log, mut writer) = open(&storage);
    storage.fail_call(Operation::Create, 0);
    append_many(&mut writer, 1, 100);
    assert!(writer.degraded());
    writer.sync_now().expect_err("in memory");
    append_many(&mut writer, 1, 100);
    assert_eq!(writer.sync_now().expect("on a file"), 2);
    assert_eq!(writer.durability(1), Durability::Lost);
}

#[test]
fn an_epoch_that_can_not_be_written_refuses_the_append_and_loses_nothing() {
    let storage = MemoryStorage::new();
    let (_log, mut writer) = open(&storage);
    // The second time without what was held back for it.
    storage.fail_call(Operation::Write, 0);
    storage.fail_call(Operation::Write, 1);
    let record = Record {
        payload: b"x",
        ..Record::default()
    };
    let error = writer
        .append(0, &[record])
        .expect_err("no epoch, no append");
    assert!(error.to_string().contains("epoch"), "{error}");
    assert!(writer.degraded(), "it says so");
    assert_eq!(
        *writer.append(0, &[record]).expect("the disk is back").end(),
        1
    );
    assert!(!writer.degraded());
}

/// Random faults of every kind: live followers see every record; after a crash everything is
/// there that was durable and not reported lost, and every hole was reported.
#[test]
fn random_faults_break_no_promise() {
    for seed in 0..1_000 {
        random_faults(seed);
    }
}

fn random_faults(seed: u64) {
    let mut seeded = Seeded::new(seed);
    let storage = MemoryStorage::new();
    let (mut log, mut writer) = open(&storage);
    let told = losses(&log);
    let mut janitor = log.take_janitor().expect("janitor");
    let mut reader = log.reader(P);
    let mut written = BTreeMap::new();
    let mut now = 1_000;
    let mut followed = 1;
    for _ in 0..60 {
        now += seeded.below(700);
        match seeded.below(12) {
            0 => storage.fail_call(Operation::Sync, seeded.below(3)),
            1 => storage.fail_call(Operation::Create, seeded.below(2)),
            2 if seeded.below(3) == 0 => storage.fail_call(Operation::SyncDirectory, 0),
            3 => storage.write_back_some(seeded.next()),
            4 => drop(writer.sync_now()),
            5..=6 => drop(janitor.work(now)),
            _ => {
                let next = writer.next_offset();
                let payloads: Vec<Vec<u8>> = (0..1 + seeded.below(8))
                    .map(|index| payload(next + index, 20 + seeded.below(4_000) as usize))
                    .collect();
                let record = |payload| Record {
                    payload,
                    ..Record::default()
                };
                let records: Vec<Record<'_>> = payloads.iter().map(|p| record(&p[..])).collect();
                // A first append without an epoch is refused, and leaves no trace.
                if writer.append(now, &records).is_ok() {
                    written.extend((next..).zip(payloads));
                }
            }
        }
        for (offset, payload) in drain(&mut reader).0 {
            assert_eq!(offset, followed, "seed {seed}: followers see every record");
            assert_eq!(
                written.get(&offset),
                Some(&payload),
                "seed {seed}: offset {offset}"
            );
            followed += 1;
        }
    }
    assert_eq!(followed, writer.next_offset(), "seed {seed}");
    let durable = writer.durable();
    let told = told.lock().expect("losses").clone();
    let is_lost = |offset: u64| {
        told.iter()
            .any(|(first, last)| (*first..=*last).contains(&offset))
    };
    for crash in 0..3 {
        let storage = storage.crash(seed * 10 + crash);
        let (log, report) = Log::open(storage, options(1), now, 9).expect("open");
        assert!(!report.is_corrupt(), "seed {seed} crash {crash}: {report}");
        let (records, gaps) = drain(&mut log.reader(P));
        for (offset, payload) in &records {
            assert_eq!(
                written.get(offset),
                Some(payload),
                "seed {seed} crash {crash}: {offset}"
            );
        }
        let there: BTreeMap<u64, Vec<u8>> = records.into_iter().collect();
        for offset in 1..=durable {
            let fine = there.contains_key(&offset) || is_lost(offset);
            assert!(
                fine,
                "seed {seed} crash {crash}: durable {offset} of {durable} is not there"
            );
        }
        for (from, next) in gaps {
            for offset in from..next {
                // A loss that nobody waited to hear of lies behind the durable mark.
                assert!(
                    offset > durable || is_lost(offset),
                    "seed {seed} crash {crash}: hole at {offset} unexplained"
                );
            }
        }
    }
}
