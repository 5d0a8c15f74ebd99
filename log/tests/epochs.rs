//! Epochs count the starts that are not provably clean, and are durable before they are used.

mod common;

use common::{append, append_many, options, payload};
use skein_log::{EpochStart, Log, MemoryStorage, Operation, PartitionId, ReadError};

const P: PartitionId = PartitionId(0);

#[test]
fn a_clean_stop_keeps_the_epoch_and_any_other_starts_one() {
    let mut storage = MemoryStorage::new();
    let mut expected = vec![EpochStart {
        epoch: 1,
        first_offset: 1,
    }];
    for round in 0..20_u64 {
        let (mut log, report) = Log::open(storage.clone(), options(1), 0, round).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let clean = round == 0 || (round - 1) % 2 == 0;
        assert_eq!(report.clean, clean, "round {round}: {report}");
        if !clean {
            let first_offset = writer.next_offset();
            expected.push(EpochStart {
                epoch: expected.len() as u32 + 1,
                first_offset,
            });
        }
        assert_eq!(writer.epochs(), expected, "round {round}");
        append_many(&mut writer, 2, 10);
        if round % 2 == 0 {
            drop(writer);
            log.close().expect("close");
        } else {
            writer.sync_now().expect("sync");
        }
        storage = storage.crash(round);
    }
}

#[test]
fn a_crash_before_the_first_append_changes_nothing_about_the_epoch() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 0).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 2, 10);
    drop(writer);
    log.close().expect("close");
    // Opened, read, killed: the clean mark still stands.
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let writer = log.take_writer(P).expect("writer");
    let epoch = writer.epoch();
    let (_, report) = Log::open(storage.crash(5), options(1), 0, 2).expect("open");
    assert!(report.clean);
    assert_eq!(epoch, 1);
}

#[test]
fn opening_many_partitions_costs_no_sync_per_partition() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(64), 0, 0).expect("open");
    for number in 0..64 {
        append_many(
            &mut log.take_writer(PartitionId(number)).expect("writer"),
            1,
            10,
        );
    }
    let storage = storage.kill();
    let (mut log, report) = Log::open(storage.clone(), options(64), 0, 1).expect("open");
    assert_eq!(report.partitions.len(), 64);
    assert_eq!(storage.calls(Operation::Sync), 0);
    let directory_syncs = storage.calls(Operation::SyncDirectory);
    assert!(directory_syncs <= 2, "{directory_syncs} directory syncs");
    assert_eq!(storage.calls(Operation::Write), 0);
    // The first append of a partition pays for that partition.
    let mut writer = log.take_writer(PartitionId(9)).expect("writer");
    append(&mut writer, 0, &[payload(1, 10)]);
    assert_eq!(storage.calls(Operation::Write), 1);
    assert!(
        storage.calls(Operation::Sync) >= 1,
        "the recovered tail is durable first"
    );
}

#[test]
fn truncation_starts_an_epoch_and_readers_behind_it_are_told() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 0).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append(
        &mut writer,
        0,
        &[payload(1, 9), payload(2, 9), payload(3, 9)],
    );
    append(&mut writer, 0, &[payload(4, 9)]);
    let mut reader = log.reader(P);
    while reader.next_batch().expect("read").is_some() {}
    writer.truncate_after(0, 2).expect("inside a batch");
    assert!(writer.truncate_after(0, 7).is_err(), "beyond the end");
    assert_eq!(
        writer.epochs().last(),
        Some(&EpochStart {
            epoch: 2,
            first_offset: 3
        })
    );
    assert_eq!(
        reader.next_batch().expect_err("cut"),
        ReadError::Truncated {
            partition: P,
            next: 3
        }
    );
    append(&mut writer, 0, &[payload(33, 9)]);
    let batch = reader.next_batch().expect("read").expect("a batch");
    assert_eq!(
        batch.records().next().expect("one").1.payload,
        payload(33, 9)
    );

    writer.sync_now().expect("sync");
    for seed in 0..50 {
        let (log, report) = Log::open(storage.crash(seed), options(1), 0, 1).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let records: Vec<_> = common::all(&log, 0)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        assert_eq!(
            records,
            [payload(1, 9), payload(2, 9), payload(33, 9)],
            "seed {seed}"
        );
    }
}

#[test]
fn truncating_everything_starts_over_at_the_first_offset() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 0).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 5, 9);
    writer.truncate_after(0, 0).expect("truncate");
    assert_eq!(append(&mut writer, 0, &[payload(9, 9)]), 1);
    drop(writer);
    log.close().expect("close");
    let (log, report) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    assert!(report.clean, "{report}");
    assert_eq!(common::all(&log, 0), [(1, payload(9, 9))]);
}
