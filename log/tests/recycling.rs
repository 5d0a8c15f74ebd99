//! Files of dropped segments are used again: nothing of what was in them comes back, whoever still
//! reads them keeps them, and a full disk goes on with what it has.

mod common;

use common::{append_many, drain, options, payload};
use skein_log::{Inspector, Log, MemoryStorage, Options, PartitionId, Storage};

const P: PartitionId = PartitionId(0);

/// Time between two rounds of the janitor's housekeeping, with room.
const ROUND_MS: u64 = 10_000;

fn small() -> Options {
    Options {
        segment_bytes_max: 256 << 10,
        retention_bytes: Some(600 << 10),
        retention_needs_checkpoint: false,
        retention_age_ms: None,
        ..options(1)
    }
}

#[test]
fn what_is_recycled_holds_the_new_records_alone() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), small(), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    for round in 0..60 {
        // Of other lengths each time, so that old batches do not lie under new ones.
        append_many(&mut writer, 30, 700 + round as usize * 11);
        writer.sync_now().expect("sync");
        let report = janitor.work(round * ROUND_MS);
        assert!(report.refusals.is_empty(), "{:?}", report.refusals);
        let inspector = Inspector::of(storage.kill()).expect("inspect");
        let verified = inspector.verify(P).expect("verify");
        assert!(verified.problems.is_empty(), "{verified:?}");
        let after = storage.crash(round);
        let (log, report) = Log::open(after, small(), 0, 2).expect("open");
        assert!(!report.is_corrupt() && report.torn_bytes() == 0, "{report}");
        let mut reader = log.reader(P);
        reader.set_verify(true);
        reader.seek(reader.first_offset());
        let (records, gaps) = drain(&mut reader);
        assert!(gaps.is_empty());
        assert_eq!(records.last().expect("records").0, writer.appended());
        for (offset, bytes) in records {
            assert_eq!(bytes, payload(offset, bytes.len()));
        }
    }
    let stats = log.stats();
    assert!(stats.spares_recycled > 3, "{stats:?}");
    assert!(stats.segments_dropped >= stats.spares_recycled);
}

#[test]
fn a_file_that_is_read_is_not_used_again() {
    let (mut log, _) = Log::open(MemoryStorage::new(), small(), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut held = Vec::new();
    for round in 0..40 {
        append_many(&mut writer, 30, 1_000);
        writer.sync_now().expect("sync");
        let mut reader = log.reader(P);
        reader.seek(writer.appended());
        let batch = reader.next_batch().expect("valid").expect("the newest");
        held.push((batch.last_offset(), batch.bytes()));
        janitor.work(round * ROUND_MS);
    }
    assert_eq!(log.stats().spares_recycled, 0, "all of them are read");
    for (offset, bytes) in held {
        assert_eq!(&bytes[16..1_016], payload(offset, 1_000), "offset {offset}");
    }
}

#[test]
fn a_full_disk_goes_on_with_the_files_it_has() {
    let storage = MemoryStorage::new();
    let options = Options {
        retention_bytes: None,
        segment_bytes_min: 256 << 10,
        ..small()
    };
    let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    storage.set_capacity_bytes(Some(1 << 20));
    for round in 0..100 {
        append_many(&mut writer, 30, 1_000);
        janitor.work(round * ROUND_MS);
        janitor.work(round * ROUND_MS + 1);
    }
    append_many(&mut writer, 1, 10);
    assert!(!writer.degraded());
    assert_eq!(writer.sync_now().expect("on a file"), writer.appended());
    assert!(log.stats().spares_recycled > 3, "{:?}", log.stats());
    assert!(storage.list().expect("list").len() < 12);
}

#[test]
fn a_full_disk_keeps_up_with_a_writer_in_a_hurry() {
    let storage = MemoryStorage::new();
    let options = Options {
        retention_bytes: None,
        segment_bytes_min: 256 << 10,
        disk_reserve_bytes: 100 << 10,
        ..small()
    };
    let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    // At the end there is less than the reserve and a file, and more than the reserve.
    storage.set_capacity_bytes(Some((1 << 20) + (300 << 10)));
    for _ in 0..60 {
        append_many(&mut writer, 80, 1_000);
        writer.sync_now().expect("on a file");
        // No time passes: whatever is tried again after a while comes too late.
        janitor.work(0);
    }
    let stats = log.stats();
    assert!(stats.spares_recycled > 8, "{stats:?}");
    assert_eq!(stats.segments_in_memory, 0, "{stats:?}");
}
