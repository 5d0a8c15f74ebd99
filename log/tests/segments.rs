//! When a partition goes on in another file: when one is full, each next one larger, and when one has
//! become old, which is not the same moment for all of them; whatever the clock says.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{append, append_many, options, payload};
use skein_log::{Inspector, Janitor, Log, MemoryStorage, Options, PartitionId, Storage, Writer};

const P: PartitionId = PartitionId(0);

/// Age (ms) at which segments are closed.
const AGE_MS: u64 = 8_000;

/// A time (ms) of today, and one of years later.
const TODAY: u64 = 1_700_000_000_000;
const YEARS_LATER: u64 = 2_150_000_000_000;

fn files(storage: &MemoryStorage) -> Vec<u64> {
    let files = storage.list().expect("list").into_iter();
    let segments = files.filter(|file| file.name.starts_with('p') && file.name.ends_with(".seg"));
    segments.map(|file| file.bytes).collect()
}

fn open(options: Options, now_ms: u64) -> (Arc<MemoryStorage>, Log, Writer, Janitor) {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options, now_ms, 1).expect("open");
    let writer = log.take_writer(P).expect("writer");
    let janitor = log.take_janitor().expect("janitor");
    (storage, log, writer, janitor)
}

#[test]
fn there_is_no_file_before_a_record_and_each_next_one_is_twice_as_large() {
    let (storage, _log, mut writer, mut janitor) = open(options(1), 0);
    janitor.work(0);
    assert_eq!(files(&storage), [], "spares are no segments");
    for round in 0..90 {
        append_many(&mut writer, 10, 1_000);
        writer.sync_now().expect("sync");
        janitor.work(round);
    }
    let kib: Vec<u64> = files(&storage).iter().map(|bytes| bytes >> 10).collect();
    assert_eq!(kib[..4], [64, 128, 256, 256], "{kib:?}");
    assert!(kib.iter().skip(3).all(|kib| *kib == 256), "{kib:?}");
}

/// Partitions that are written alike need their next files at different times.
#[test]
fn full_segments_are_closed_within_an_eighth_of_their_size_and_not_all_at_once() {
    const PARTITIONS: u16 = 16;
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(PARTITIONS), 0, 1).expect("open");
    for partition in (0..PARTITIONS).map(PartitionId) {
        let mut writer = log.take_writer(partition).expect("writer");
        append_many(&mut writer, 600, 1_000);
    }
    let stat = Inspector::of(storage).expect("inspect");
    let stat = stat.stat().expect("stat").partitions;
    let used = stat
        .iter()
        .map(|partition| partition.segments[0].used_bytes);
    let used: Vec<u64> = used.collect();
    let apart = used.iter().collect::<BTreeSet<_>>().len();
    assert!(apart > 4, "{used:?}");
    for segment in stat.iter().flat_map(|partition| {
        let closed = partition.segments.len() - 1;
        &partition.segments[..closed]
    }) {
        // A batch may not have fitted, and the footer takes some.
        assert!(
            segment.used_bytes + 2_048 > segment.bytes * 7 / 8 - 2_048,
            "{segment:?}"
        );
    }
}

#[test]
fn old_segments_are_closed_within_an_eighth_of_their_age_and_not_all_at_once() {
    const PARTITIONS: u16 = 32;
    let options = Options {
        segment_age_ms: AGE_MS,
        ..options(PARTITIONS)
    };
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage, options, TODAY, 1).expect("open");
    let mut writers: Vec<Writer> = (0..PARTITIONS)
        .map(|partition| log.take_writer(PartitionId(partition)).expect("writer"))
        .collect();
    for writer in &mut writers {
        append(writer, TODAY, &[payload(1, 100)]);
    }
    // A partition that goes on has two segments; one that has a segment to go on in has one.
    let mut before = u64::from(PARTITIONS);
    assert_eq!(log.stats().segments, before);
    let mut moments = 0;
    for now_ms in (TODAY..=TODAY + AGE_MS + AGE_MS / 8).step_by(50) {
        for writer in &mut writers {
            append(writer, now_ms, &[payload(2, 8)]);
        }
        let segments = log.stats().segments;
        assert!(
            now_ms >= TODAY + AGE_MS || segments == before,
            "closed before its age"
        );
        moments += u64::from(segments > before);
        before = segments;
    }
    assert_eq!(before, 2 * u64::from(PARTITIONS), "all are closed");
    assert!(moments > 8, "closed at {moments} different moments");
}

#[test]
fn a_clock_that_was_years_ahead_stops_neither_closing_nor_retention() {
    let options = Options {
        segment_age_ms: AGE_MS,
        retention_age_ms: Some(AGE_MS),
        retention_needs_checkpoint: false,
        ..options(1)
    };
    let (_storage, log, mut writer, mut janitor) = open(options, TODAY);
    append(&mut writer, TODAY, &[payload(1, 8)]);
    append(&mut writer, YEARS_LATER, &[payload(2, 8)]); // In a file made then.
    append(&mut writer, YEARS_LATER + 2 * AGE_MS, &[payload(3, 8)]); // And another one.
    let segments = log.stats().segments;
    assert_eq!(segments, 3);

    // The clock is right again. Times of records do not go back; files have the clock's.
    append(&mut writer, TODAY + 1_000, &[payload(4, 8)]);
    assert_eq!(log.stats().segments, 4, "the file of years later is closed");
    append(&mut writer, TODAY + 1_100, &[payload(5, 8)]);
    assert_eq!(log.stats().segments, 4, "that of today is not");
    let mut reader = log.reader(P);
    let mut times = Vec::new();
    while let Some(batch) = reader.next_batch().expect("no gap") {
        times.push(batch.append_time());
    }
    assert!(times.is_sorted(), "{times:?}");

    writer.sync_now().expect("sync");
    janitor.work(TODAY + 1_200 + AGE_MS);
    assert_eq!(log.reader(P).first_offset(), 4, "older ones are dropped");

    // One that is idle is closed as well, and goes when something came behind it.
    writer.poll(TODAY + 2_000 + 2 * AGE_MS);
    append(&mut writer, TODAY + 2_000 + 2 * AGE_MS, &[payload(6, 8)]);
    writer.sync_now().expect("sync");
    janitor.work(TODAY + 20_000 + 4 * AGE_MS);
    assert_eq!(log.reader(P).first_offset(), 6);
}
