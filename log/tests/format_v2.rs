//! A directory of format version 2, checked in: metadata in the state file, a rewritten segment with
//! sparse batches, a durable mark, a consumer. It is opened for ever, and what is written today is
//! byte for byte the same. Directories that need none of this are still written as version 1
//! (`format_v1.rs`).
//!
//! `cargo test -p skein-log --test format_v2 -- --ignored` writes the fixture of this version.

mod common;

use std::fs;
use std::path::Path;

use common::fixture::Fixture;
use common::{keyed, options};
use skein_log::{Inspector, Log, PartitionId, Record};

const P: PartitionId = PartitionId(0);
const CREATED_AT: u64 = 1_700_000_000_000;
const FIXTURE: Fixture = Fixture {
    folder: "v2",
    files: &[
        "clean",
        "consumer-exporter",
        "durable",
        "p00000-00000000000000000001.seg",
        "p00000-00000000000000000009.seg",
        "p00000.state",
        "skein-log",
    ],
};

/// Key and payload of the record at an offset.
fn record(offset: u64) -> (u32, Vec<u8>) {
    let key = if offset == 4 { 2 } else { (offset % 3) as u32 };
    (key, format!("record {offset}").into_bytes())
}

/// Which records are left.
fn is_left(offset: u64) -> bool {
    record(offset).0 != 2
}

/// Three batches, 1 to 3, 4 to 5, 6 to 8, of which records of key 2 are erased: all of them sparse;
/// then one in a segment of its own.
fn write(directory: &Path) {
    let (mut log, _) = Log::open_dir(directory, options(1), CREATED_AT, 1).expect("open");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut writer = log.take_writer(P).expect("writer");
    for (first, last) in [(1, 3), (4, 5), (6, 8)] {
        append(&mut writer, first, last);
    }
    writer.close_segment();
    writer.sync_now().expect("sync");
    let erased = log.rewriter().erase(P, |_, record| record.key == 2);
    assert_eq!(erased.expect("erase").records_removed, 4);
    append(&mut writer, 9, 9);
    writer.set_meta(b"term 3, vote 1").expect("metadata");
    janitor.work(CREATED_AT + 10);
    janitor.work(CREATED_AT + 10_000);
    let mut exporter = log.consumer("exporter").expect("consumer");
    exporter.commit_at(P, 6);
    exporter.sync().expect("sync");
    drop((writer, janitor, exporter));
    log.close().expect("close");
}

fn append(writer: &mut skein_log::Writer, first: u64, last: u64) {
    let records: Vec<_> = (first..=last).map(record).collect();
    writer
        .append(CREATED_AT + first, &keyed(&records))
        .expect("append");
}

fn check(directory: &Path, clean: bool) {
    let (mut log, report) = Log::open_dir(directory, options(1), CREATED_AT, 2).expect("open");
    assert_eq!(report.clean, clean, "{report}");
    assert!(!report.is_corrupt(), "{report}");
    let mut reader = log.reader(P);
    reader.set_verify(true);
    let mut read = Vec::new();
    while let Some(batch) = reader.next_batch().expect("valid") {
        for (offset, found) in batch.records() {
            assert_eq!((found.key, found.payload.to_vec()), record(offset));
            read.push(offset);
        }
    }
    let left: Vec<u64> = (1..=9).filter(|offset| is_left(*offset)).collect();
    assert_eq!(read, left);
    assert_eq!(log.consumer("exporter").expect("consumer").position(P), 6);
    let mut writer = log.take_writer(P).expect("writer");
    assert_eq!(writer.meta(), b"term 3, vote 1");
    let next = writer.append(0, &[Record::default()]).expect("append");
    assert_eq!(*next.start(), 10);
}

#[test]
fn a_clean_directory_of_version_2_opens() {
    check(FIXTURE.copy().path(), true);
}

#[test]
fn an_unclean_directory_of_version_2_opens() {
    let directory = FIXTURE.copy();
    fs::remove_file(directory.path().join("clean")).expect("remove");
    check(directory.path(), false);
}

#[test]
fn a_directory_of_version_2_can_be_inspected_where_it_lies() {
    let inspector = Inspector::open(FIXTURE.path()).expect("inspect");
    let report = inspector.verify(P).expect("verify");
    assert_eq!((report.records, report.removed_offsets), (5, 4));
    assert!(report.problems.is_empty(), "{report:?}");
}

#[test]
fn what_is_written_today_is_version_2_byte_for_byte() {
    FIXTURE.assert_written_by(write);
}

#[test]
#[ignore = "writes the fixture of a new version"]
fn write_the_fixture() {
    FIXTURE.make(write);
}
