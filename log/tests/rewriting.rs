//! Records that are thinned or erased are gone from every file, all others stay where they were,
//! whatever happens meanwhile: followers, crashes at any moment, retention, truncation.

mod common;

use std::collections::BTreeMap;

use common::{Seeded, all, append_many, drain, options, payload};
use skein_log::{
    BATCH_HEADER_BYTES, Inspector, Log, MemoryStorage, Operation, PartitionId, ReadError, Record,
    RecordRef, RewriteError, RewriteReport, Storage, Thinning, Writer, WriterBackend,
};

const P: PartitionId = PartitionId(0);

/// Of some keys, in batches of every size, a batch at each millisecond. Gives what is in it.
fn fill(writer: &mut Writer, seed: u64, batches: u64) -> BTreeMap<u64, (u32, Vec<u8>)> {
    let mut seeded = Seeded::new(seed);
    let mut model = BTreeMap::new();
    for time in 1..=batches {
        let records: Vec<(u32, Vec<u8>)> = (0..1 + seeded.below(30))
            .map(|_| {
                let key = seeded.below(5) as u32;
                (key, payload(seeded.next(), seeded.below(200) as usize))
            })
            .collect();
        let first = writer.next_offset();
        let list: Vec<Record<'_>> = records
            .iter()
            .map(|(key, payload)| Record {
                kind: 1,
                key: *key,
                payload,
                ..Record::default()
            })
            .collect();
        writer.append(time, &list).expect("append");
        model.extend((first..).zip(records));
    }
    model
}

fn read(log: &Log) -> BTreeMap<u64, (u32, Vec<u8>)> {
    let mut reader = log.reader(P);
    reader.set_verify(true);
    let mut found = BTreeMap::new();
    while let Some(batch) = reader.next_batch().expect("no gap") {
        for (offset, record) in batch.records() {
            found.insert(offset, (record.key, record.payload.to_vec()));
        }
    }
    assert_eq!(reader.position(), reader.appended() + 1);
    found
}

#[test]
fn erased_keys_are_in_no_file_and_all_else_stays() {
    for writer_backend in [WriterBackend::Mapped, WriterBackend::Pwrite] {
        let storage = MemoryStorage::new();
        let mut options = options(1);
        options.writer = writer_backend;
        let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let mut janitor = log.take_janitor().expect("janitor");
        let mut model = fill(&mut writer, 1, 300);
        writer.close_segment();
        writer.sync_now().expect("sync");
        let mut behind = log.reader(P);
        behind.next_batch().expect("valid").expect("a batch");
        let held = log.reader(P).next_batch().expect("valid").expect("a batch");
        let held_bytes = held.bytes().to_vec();

        let gone = model.values().filter(|(key, _)| *key == 3).count() as u64;
        let report = log
            .rewriter()
            .erase(P, |_, record| record.key == 3)
            .expect("erase");
        assert_eq!((report.records_removed, report.records_left), (gone, 0));
        assert!(report.segments_rewritten >= 3, "{report:?}");
        assert!(report.bytes_after < report.bytes_before);
        let before = model.clone();
        model.retain(|_, (key, _)| *key != 3);
        assert_eq!(read(&log), model);
        // Who was in the old file finishes there; what it held does not change.
        assert!(drain(&mut behind).0.len() >= model.len() - 30);
        assert_eq!(held.bytes(), held_bytes);
        drop((behind, held));
        janitor.work(10_000);
        assert_eq!(log.stats().mapped_deleted_bytes, 0);
        for entry in storage.list().expect("list") {
            let bytes = storage.read(&entry.name, 1 << 30).expect("read");
            for (key, payload) in before.values().filter(|(key, p)| *key == 3 && p.len() > 24) {
                let there = bytes.windows(24).any(|window| window == &payload[..24]);
                assert!(!there, "{} holds a record of {key}", entry.name);
            }
        }
        // Every place can be sought, also those in the middle of what is gone.
        for offset in (1..before.len() as u64).step_by(7) {
            let mut reader = log.reader(P);
            reader.seek(offset);
            let batch = reader.next_batch().expect("no gap").expect("more");
            let (first, _) = batch.records().next().expect("a record");
            assert_eq!(Some(&first), model.range(offset..).next().map(|(o, _)| o));
        }
        let again = log.rewriter().erase(P, |_, record| record.key == 3);
        assert_eq!(again.expect("erase").segments_rewritten, 0);

        append_many(&mut writer, 3, 10);
        for offset in writer.appended() - 2..=writer.appended() {
            model.insert(offset, (0, payload(offset, 10)));
        }
        drop((writer, janitor));
        let inspector = Inspector::of(storage.kill()).expect("inspect");
        let verified = inspector.verify(P).expect("verify");
        assert!(verified.problems.is_empty(), "{verified:?}");
        assert_eq!(verified.removed_offsets, gone);
        let (unclean, report) = Log::open(storage.kill(), options.clone(), 0, 2).expect("open");
        assert!(!report.is_corrupt(), "{report}");
        assert_eq!(read(&unclean), model);
        log.close().expect("close");
        let (log, report) = Log::open(storage, options, 0, 3).expect("open");
        assert!(report.clean, "{report}");
        assert_eq!(read(&log), model);
    }
}

#[test]
fn what_can_not_be_rewritten_is_reported() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let model = fill(&mut writer, 2, 10);
    let gone = model.values().filter(|(key, _)| *key == 3).count() as u64;
    let erase = |log: &Log| {
        let report = log.rewriter().erase(P, |_, record| record.key == 3);
        let report = report.expect("erase");
        (report.records_removed, report.records_left)
    };
    assert_eq!(erase(&log), (0, gone), "it is being written");
    writer.close_segment();
    assert_eq!(erase(&log), (0, gone), "it is not durable");
    writer.sync_now().expect("sync");
    assert_eq!(erase(&log), (gone, 0));
}

/// Records of kind 1, the first that was appended in each window.
fn thinning(
    age_ms: u64,
    window_ms: u64,
) -> Thinning<impl Fn(u64, &RecordRef<'_>) -> Option<[u64; 2]> + Clone> {
    Thinning::new(age_ms, move |time, record: &RecordRef<'_>| {
        (record.kind == 1).then_some([time / window_ms, 0])
    })
}

#[test]
fn old_points_are_thinned_and_promises_are_not() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    for time in 0..2_000 {
        let point = |extension| Record {
            kind: 1,
            flags: 0,
            key: 7,
            extension,
            payload: b"somewhere",
        };
        let promise = Record {
            kind: 5,
            flags: 0,
            key: 7,
            extension: 1,
            payload: b"started",
        };
        writer
            .append(time, &[point(1), promise, point(2)])
            .expect("append");
    }
    writer.close_segment();
    writer.sync_now().expect("sync");
    let thinning = thinning(1_000, 100);
    let report = log.rewriter().thin(P, &thinning, 3_500).expect("thin");
    assert!(report.segments_rewritten >= 1, "{report:?}");
    let mut reader = log.reader(P);
    let (mut promises, mut points) = (0, BTreeMap::new());
    while let Some(batch) = reader.next_batch().expect("no gap") {
        for (_, record) in batch.records() {
            if record.kind == 5 {
                promises += 1;
            } else {
                let times: &mut Vec<u64> = points.entry(record.extension).or_default();
                times.push(batch.append_time());
            }
        }
    }
    assert_eq!(promises, 2_000, "nothing of another kind is touched");
    assert_eq!(points.len(), 2);
    for times in points.values() {
        assert_eq!(times.len(), 20);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100));
    }
    let again = log.rewriter().thin(P, &thinning, 3_500).expect("thin");
    assert_eq!(again.segments_rewritten, 0, "nothing is left to thin");
    let young = log.rewriter().thin(P, &thinning, 2_000).expect("thin");
    assert!(young.segments < report.segments, "young segments stay");
}

/// All came at the same time: only the owner knows that they tell of different ones.
#[test]
fn what_came_at_once_is_thinned_by_what_the_owner_says() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    for minute in 0..60_u8 {
        let record = Record {
            kind: 1,
            payload: &[minute],
            ..Record::default()
        };
        let other = Record { key: 8, ..record };
        writer.append(5, &[record, record, other]).expect("append");
    }
    writer.close_segment();
    writer.sync_now().expect("sync");
    let group = |_, record: &RecordRef<'_>| match record.payload[0] {
        59 => None,
        minute => Some([u64::from(minute) / 10, 0]),
    };
    let thinning = Thinning::new(1_000, group);
    log.rewriter().thin(P, &thinning, 60_000).expect("thin");
    let left = |of: u32| -> Vec<u8> {
        let left = read(&log).into_values().filter(|(key, _)| *key == of);
        left.map(|(_, payload)| payload[0]).collect()
    };
    assert_eq!(left(0), [0, 10, 20, 30, 40, 50, 59, 59]);
    assert_eq!(left(8), [0, 10, 20, 30, 40, 50, 59]);
}

#[test]
fn segments_are_thinned_a_few_at_a_time_the_oldest_first() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let record = Record {
        kind: 1,
        payload: b"here",
        ..Record::default()
    };
    for count in 1..=25 {
        writer.append(5, &[record]).expect("append");
        if count % 10 == 0 {
            writer.close_segment();
        }
    }
    writer.sync_now().expect("sync");
    let mut step = thinning(0, 1_000);
    step.segments_max = 1;
    let mut thin = || {
        let report = log.rewriter().thin(P, &step, 60_000).expect("thin");
        step.from = report.next.max(step.from);
        (report.segments, report.records_removed, step.from)
    };
    assert_eq!(thin(), (1, 9, 11));
    assert_eq!(thin(), (1, 9, 21));
    assert_eq!(thin(), (0, 0, 21), "the open one is not looked at");
}

/// A new file is there beside the old one for a while.
#[test]
fn thinning_leaves_the_reserve_alone_and_erasing_does_not_wait_for_space() {
    let storage = MemoryStorage::new();
    let reserve = skein_log::Options {
        disk_reserve_bytes: 1 << 20,
        ..options(1)
    };
    let (mut log, _) = Log::open(storage.clone(), reserve, 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    fill(&mut writer, 1, 100);
    writer.close_segment();
    writer.sync_now().expect("sync");
    let used: u64 = storage
        .list()
        .expect("list")
        .iter()
        .map(|it| it.bytes)
        .sum();
    storage.set_capacity_bytes(Some(used + (1 << 20)));
    let thin = || log.rewriter().thin(P, &thinning(1_000, 10), 60_000);
    let refused = thin().expect_err("into the reserve").to_string();
    assert!(refused.contains("reserved"), "{refused}");
    let erased = log.rewriter().erase(P, |_, record| record.key == 3);
    assert!(erased.expect("erased").records_removed > 0);
    storage.set_capacity_bytes(None);
    assert!(thin().expect("thinned").records_removed > 0);
}

#[test]
fn a_crash_in_a_rewrite_leaves_the_old_segment_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for write in 0..12 {
        let before = MemoryStorage::new();
        let (mut log, _) = Log::open(before.clone(), options(1), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let model = fill(&mut writer, 3, 150);
        writer.close_segment();
        writer.sync_now().expect("sync");
        let left = model.iter().filter(|(_, (key, _))| *key != 3);
        let left: BTreeMap<_, _> = left.map(|(o, r)| (*o, r.clone())).collect();
        // The write that fails stands for the moment of the crash.
        before.fail_call(Operation::WriteAt, write);
        let outcome = log.rewriter().erase(P, |_, record| record.key == 3);
        if let Err(error) = &outcome {
            assert!(matches!(error, RewriteError::Storage { .. }), "{error}");
        }
        assert!(read(&log).len() >= left.len());
        for seed in 0..20 {
            let after = before.crash(seed);
            let (log, report) = Log::open(after, options(1), 0, 3).expect("open");
            assert!(!report.is_corrupt(), "write {write}, seed {seed}: {report}");
            let found = read(&log);
            assert!(left.iter().all(|(o, r)| found.get(o) == Some(r)));
            assert!(found.iter().all(|(o, r)| model.get(o) == Some(r)));
            if found.len() == model.len() {
                old += 1;
            }
            new += u64::from(found.len() == left.len());
        }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

#[test]
fn segments_that_leave_meanwhile_stay_away() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    fill(&mut writer, 4, 300);
    writer.close_segment();
    writer.sync_now().expect("sync");
    let last = writer.appended();
    // While the first segment is looked at, all of them are cut or purged.
    let mut first = true;
    let rewriter = log.rewriter();
    let report = rewriter.erase(P, |_, record| {
        if std::mem::take(&mut first) {
            writer.truncate_after(0, last - 10).expect("truncate");
            writer.purge_before(last - 20).expect("purge");
            janitor.work(100_000);
        }
        record.key == 3
    });
    report.expect("erase");
    append_many(&mut writer, 2, 10);
    writer.sync_now().expect("sync");
    let (log, report) = Log::open(storage.crash(1), options(1), 0, 2).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let records = all(&log, 0);
    assert_eq!(records.last().expect("records").0, last - 8);
    assert!(records[0].0 >= last - 20);
}

#[test]
fn metadata_is_in_order_with_records_and_survives_truncation_and_crash() {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    assert!(writer.meta().is_empty());
    append_many(&mut writer, 10, 50);
    writer.set_meta(b"term 7, vote b").expect("set");
    assert_eq!(writer.durable(), 10, "what came before is durable");
    append_many(&mut writer, 5, 50);
    writer.truncate_after(0, 4).expect("truncate");
    for seed in 0..50 {
        let after = storage.crash(seed);
        let (mut log, _) = Log::open(after, options(1), 0, 2).expect("open");
        let writer = log.take_writer(P).expect("writer");
        assert_eq!(writer.meta(), b"term 7, vote b");
    }
    let long = writer.set_meta(&[0; 5_000]).expect_err("too long");
    assert!(long.to_string().contains("4096"), "{long}");
    writer.set_meta(b"").expect("forget");
    assert!(writer.meta().is_empty());
}

#[test]
fn what_a_replay_needs_is_never_thinned() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("a log");
    let mut writer = log.take_writer(P).expect("taken once");
    let record = Record {
        kind: 1,
        payload: b"here",
        ..Record::default()
    };
    for time in 1..=30 {
        writer.append(time, &[record]).expect("append");
        if time % 10 == 0 {
            writer.close_segment();
        }
    }
    // A replay begins in the second segment.
    writer.set_checkpoint(15, 16);
    writer.sync_now().expect("durable");
    let mut janitor = log.take_janitor().expect("taken once");
    janitor.work(60_000);
    assert_eq!(writer.checkpoint(), Some(15));
    let mut thinning = thinning(1_000, 1_000);
    let report = log.rewriter().thin(P, &thinning, 60_000).expect("thin");
    assert_eq!((report.records_removed, report.next), (9, 11));
    thinning.from = report.next;
    let report = log.rewriter().thin(P, &thinning, 60_000).expect("thin");
    assert_eq!(report.segments, 0, "thinned before");
}

/// Three closed segments of ten records each, the second with a flipped bit in its fourth batch.
fn damaged_in_the_middle() -> (Log, Writer) {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let record = Record {
        kind: 1,
        key: 7,
        payload: b"here, there",
        ..Record::default()
    };
    for count in 1..=30 {
        writer.append(5, &[record]).expect("append");
        if count % 10 == 0 {
            writer.close_segment();
        }
    }
    writer.sync_now().expect("sync");
    let batch = BATCH_HEADER_BYTES + Writer::record_bytes(record.payload.len());
    let payload_of_fourth = 4_096 + 3 * batch + BATCH_HEADER_BYTES + 20;
    storage.flip_bit(DAMAGED, payload_of_fourth, 1);
    (log, writer)
}

const DAMAGED: &str = "p00000-00000000000000000011.seg";

/// The damaged segment as it is reported, with how many records were removed, and from which segments.
fn what_was_done(report: &RewriteReport) -> (u64, u64, Vec<(&str, u64)>) {
    let damaged = report.damaged.iter();
    let damaged = damaged.map(|it| (it.file.as_str(), it.position));
    (
        report.segments_rewritten,
        report.records_removed,
        damaged.collect(),
    )
}

#[test]
fn a_damaged_segment_is_passed_over_and_said_and_those_behind_it_are_rewritten() {
    let fourth = 4_096 + 3 * (BATCH_HEADER_BYTES + Writer::record_bytes(11)) as u64;
    let expected = (2, 19, vec![(DAMAGED, fourth)]);
    let (log, _writer) = damaged_in_the_middle();
    let thinned = log.rewriter().thin(P, &thinning(1, 1_000), 60_000);
    let thinned = thinned.expect("thinned");
    // Of one group the first stays, and it lies in the first segment.
    assert_eq!(what_was_done(&thinned), expected);
    assert_eq!((thinned.segments, thinned.next), (3, 31));

    let (log, _writer) = damaged_in_the_middle();
    let erased = log.rewriter().erase(P, |offset, _| offset != 30);
    let erased = erased.expect("erased");
    assert_eq!(what_was_done(&erased), expected);
    // What is damaged was not copied with a checksum that fits it.
    let mut reader = log.reader(P);
    reader.set_verify(true);
    reader.seek(14);
    let error = reader.next_batch().expect_err("the fourth batch");
    assert!(
        matches!(error, ReadError::Damaged { offset: 14, .. }),
        "{error}"
    );
}

#[test]
fn two_rewrites_at_once_leave_what_both_leave() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("a log");
    let mut writer = log.take_writer(P).expect("taken once");
    let model = fill(&mut writer, 5, 300);
    writer.close_segment();
    writer.sync_now().expect("durable");
    std::thread::scope(|scope| {
        for key in 0..4 {
            let rewriter = log.rewriter();
            scope.spawn(move || {
                let erased = rewriter.erase(P, |_, record| record.key == key);
                assert_eq!(erased.expect("erased").records_left, 0);
            });
        }
    });
    let left: BTreeMap<_, _> = model
        .into_iter()
        .filter(|(_, (key, _))| *key == 4)
        .collect();
    assert_eq!(read(&log), left);
}

/// What was written while a clock was ahead, and until it has come there again, has one time.
#[test]
fn what_a_clock_that_was_ahead_has_left_is_not_thinned_before_the_clock_is_there() {
    const AHEAD_MS: u64 = 1_000_000_000;
    let (mut log, _) = Log::open(MemoryStorage::new(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut model = fill(&mut writer, 1, 100);
    writer.close_segment();
    let before = writer.next_offset();
    append_many(&mut writer, 1, 10);
    writer
        .append(AHEAD_MS, &[Record::default()])
        .expect("append");
    model.extend(fill(&mut writer, 2, 100)); // The clock is right again, and goes on.
    writer.close_segment();
    writer.sync_now().expect("sync");

    let thinning = thinning(1_000, 10);
    let thin = |now_ms| log.rewriter().thin(P, &thinning, now_ms).expect("thinned");
    let report = thin(AHEAD_MS);
    assert!(report.records_removed > 0, "{report:?}");
    let left = read(&log);
    let from = |all: &BTreeMap<u64, (u32, Vec<u8>)>| {
        all.range(before + 2..)
            .map(|(o, r)| (*o, r.clone()))
            .collect::<Vec<_>>()
    };
    assert!(left.range(..before).count() < model.range(..before).count());
    assert_eq!(
        from(&left),
        from(&model),
        "all that came with the wrong time"
    );
    // Then nobody knows any more how far apart they were.
    let report = thin(AHEAD_MS + 1_001);
    assert!(report.records_removed > 0, "{report:?}");
}
