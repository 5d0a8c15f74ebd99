//! The end of a segment is missing or half written, at every length: what is whole stays, the rest
//! is zeroed, and nothing of it comes back behind new records.

mod common;

use common::{all, append, options, payload};
use skein_log::{Inspector, Log, MemoryStorage, PartitionId, Storage};

const P: PartitionId = PartitionId(0);

/// The one segment file; before the first sync it still has the name of a spare.
fn segment(storage: &MemoryStorage) -> String {
    let entries = storage.list().expect("list");
    let segment = entries
        .into_iter()
        .find(|entry| entry.name.ends_with(".seg"));
    segment.expect("one segment").name
}

#[test]
fn a_tail_cut_anywhere_leaves_the_batches_before_it() {
    let base = MemoryStorage::new();
    let (mut log, _) = Log::open(base.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    // Payloads without a zero byte, so that every cut byte is a change.
    let full = |stamp: u64| vec![1 + (stamp % 200) as u8; 72];
    for stamp in 1..=3 {
        append(&mut writer, stamp, &[full(stamp)]);
    }
    let batch = 40 + 16 + 72;
    for cut in 4096..4096 + 3 * batch {
        let storage = base.kill();
        for byte in cut..4096 + 3 * batch {
            storage.change_byte(&segment(&storage), byte, |_| 0);
        }
        let whole = ((cut - 4096) / batch) as u64;
        let (mut log, report) = Log::open(storage.clone(), options(1), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "cut at {cut}: {report}");
        let records = all(&log, 0);
        assert!(
            records.len() as u64 == whole,
            "cut at {cut}: {} records",
            records.len()
        );
        let mut writer = log.take_writer(P).expect("writer");
        assert_eq!(writer.next_offset(), whole + 1, "cut at {cut}");
        append(&mut writer, 9, &[payload(77, 24)]);
        writer.sync_now().expect("sync");
        let (log, report) = Log::open(storage.crash(cut as u64), options(1), 0, 3).expect("open");
        assert!(!report.is_corrupt(), "cut at {cut}: {report}");
        let records = all(&log, 0);
        assert_eq!(records.len() as u64, whole + 1, "cut at {cut}");
        assert_eq!(
            records.last().expect("one").1,
            payload(77, 24),
            "cut at {cut}"
        );
    }
}

#[test]
fn batches_behind_a_torn_one_do_not_come_back() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    for stamp in 1..=5 {
        append(&mut writer, stamp, &[payload(stamp, 72)]);
    }
    let storage = storage.kill();
    // The second batch is torn; the third to fifth are whole and lie where they would follow.
    storage.flip_bit(&segment(&storage), 4096 + 128 + 60, 3);
    let (mut log, report) = Log::open(storage.clone(), options(1), 0, 2).expect("open");
    assert!(
        !report.is_corrupt() && report.torn_bytes() == 4 * 128,
        "{report}"
    );
    let mut writer = log.take_writer(P).expect("writer");
    // The same size as the torn one: exactly in front of the old third batch.
    append(&mut writer, 9, &[payload(99, 72)]);
    for (seed, storage) in (0..40).map(|seed| (seed, storage.crash(seed))) {
        let (log, report) = Log::open(storage, options(1), 0, 3).expect("open");
        assert!(!report.is_corrupt(), "seed {seed}: {report}");
        let stamps: Vec<_> = all(&log, 0).into_iter().map(|(_, bytes)| bytes).collect();
        let expected = [payload(1, 72), payload(99, 72)];
        assert_eq!(
            stamps,
            expected[..stamps.len()],
            "seed {seed}: an old batch is back"
        );
    }
    let report = Inspector::of(storage.kill())
        .expect("inspect")
        .verify(P)
        .expect("verify");
    assert_eq!(
        (report.records, report.problems.len()),
        (2, 0),
        "{report:?}"
    );
}
