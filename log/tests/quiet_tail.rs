//! Damage to the very last batches, with nothing behind them: once the partition has been quiet for
//! a moment it is told from a torn tail, because the janitor has written down how far all was
//! durable. A truncation takes that back.

mod common;

use std::sync::Arc;

use common::{all, append, append_many, drain, options, payload};
use skein_log::{Inspector, Log, MemoryStorage, Operation, PartitionId, Record, Storage};

const P: PartitionId = PartitionId(0);
const SEGMENT: &str = "p00000-00000000000000000001.seg";

/// Time between two rounds of the janitor's housekeeping, with room.
const ROUND_MS: u64 = 10_000;

/// Two batches, 1 to 2 and 3 to 4, durable; then `rounds` of the janitor.
fn two_batches(rounds: u64) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    for batch in 0..2 {
        append(
            &mut writer,
            0,
            &[payload(batch * 2 + 1, 40), payload(batch * 2 + 2, 40)],
        );
    }
    writer.sync_now().expect("sync");
    for round in 0..rounds {
        janitor.work(round * ROUND_MS);
    }
    storage
}

const SECOND: usize = 4096 + 40 + 2 * 56;
const END: usize = SECOND + 40 + 2 * 56;

#[test]
fn each_flip_in_the_last_batch_of_a_quiet_partition_is_damage() {
    let base = two_batches(2);
    for byte in SECOND..END {
        let storage = base.kill();
        storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
        let inspector = Inspector::of(storage.clone()).expect("inspect");
        let problems = inspector.verify(P).expect("verify").problems;
        assert!(!problems.is_empty(), "byte {byte} is seen from outside");
        let (mut log, report) = Log::open(storage.clone(), options(1), 0, 2).expect("open");
        assert!(report.is_corrupt(), "byte {byte}: {report}");
        let corruption = &report.partitions[0].corruption[0];
        assert_eq!(corruption.lost, [(3, 4)], "byte {byte}");
        let (records, gaps) = drain(&mut log.reader(P));
        assert_eq!(
            (records.len(), &gaps[..]),
            (2, &[(3, 5)][..]),
            "byte {byte}"
        );
        let mut writer = log.take_writer(P).expect("writer");
        assert_eq!(writer.next_offset(), 5, "no offset is used again");
        append_many(&mut writer, 1, 10);
    }
}

#[test]
fn without_a_moment_of_quiet_it_is_a_torn_tail() {
    let storage = two_batches(1).kill();
    storage.flip_bit(SEGMENT, SECOND + 50, 1);
    let (log, report) = Log::open(storage, options(1), 0, 2).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    assert!(report.torn_bytes() > 0);
    assert_eq!(all(&log, 0).len(), 2);
}

#[test]
fn the_mark_costs_nothing_while_nothing_changes() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(8), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 5, 50);
    for round in 0..3 {
        janitor.work(round * ROUND_MS);
    }
    let writes = storage.calls(Operation::Write);
    for round in 3..20 {
        janitor.work(round * ROUND_MS);
    }
    assert_eq!(storage.calls(Operation::Write), writes);
}

#[test]
fn a_truncation_takes_the_mark_back() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 20, 50);
    janitor.work(0);
    janitor.work(ROUND_MS);
    assert!(storage.read("durable", 4096).is_ok(), "the mark is written");
    writer.truncate_after(ROUND_MS, 10).expect("truncate");
    for seed in 0..50 {
        let after = storage.crash(seed);
        let inspector = Inspector::of(after.clone()).expect("inspect");
        assert!(inspector.verify(P).expect("verify").problems.is_empty());
        let (log, report) = Log::open(after, options(1), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        assert_eq!(all(&log, 0).len(), 10, "seed {seed}");
    }
}

#[test]
fn a_damaged_mark_says_nothing_and_harms_nothing() {
    let base = two_batches(2);
    let bytes = base
        .read("durable", 4096)
        .expect("the mark is written")
        .len();
    for byte in 0..bytes {
        let storage = base.kill();
        storage.flip_bit("durable", byte, 3);
        let (log, report) = Log::open(storage, options(1), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "byte {byte}: {report}");
        assert_eq!(all(&log, 0).len(), 4, "byte {byte}");
    }
}

/// A partition that appends a batch each 100 ms and syncs each second, killed at any moment, and any
/// batch of it damaged: what a later batch or the mark file knows to have been durable is damage. The
/// bound is what became durable after the last batch was appended: while it is busy, less than a
/// sync interval of records; after two rounds of quiet, nothing.
#[test]
fn what_looks_torn_though_it_was_durable_is_bounded() {
    let sync_ms = options(1).sync_interval_ms;
    for (silence_ms, unsure_ms) in [(0, sync_ms), (1_000, sync_ms), (2_000, 0), (3_000, 0)] {
        let storage = MemoryStorage::new();
        let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let mut janitor = log.take_janitor().expect("janitor");
        let (mut places, mut now) = (Vec::new(), 0);
        for batch in 0..55_u64 {
            now = batch * 100;
            let payload = payload(batch, 40);
            let record = Record {
                payload: &payload,
                ..Record::default()
            };
            writer.append(now, &[record]).expect("append");
            janitor.work(now);
            places.push((batch + 1, now));
        }
        // As if the last sync came right behind the last batch: nothing tells of it yet.
        writer.sync_now().expect("sync");
        for later in (100..=silence_ms).step_by(100) {
            janitor.work(now + later);
        }
        for (offset, time) in &places {
            let after = storage.kill();
            let position = 4096 + (offset - 1) as usize * (40 + 56) + 40 + 20;
            after.flip_bit(SEGMENT, position, 1);
            let (_, report) = Log::open(after, options(1), 0, 2).expect("open");
            let is_sure = *time + unsure_ms <= now;
            assert!(
                report.is_corrupt() || !is_sure,
                "offset {offset} of {time} ms, after {silence_ms} ms of silence: {report}"
            );
        }
    }
}
