//! A directory of format version 1, checked in. It is opened for ever, and what is written today
//! is byte for byte the same: a change of the format is a new version, a new fixture and a change
//! of `docs/LOG_FORMAT.md` in one commit.
//!
//! `cargo test -p skein-log --test format_v1 -- --ignored` writes the fixture of this version.

mod common;

use std::fs;
use std::path::Path;

use common::fixture::Fixture;
use common::options;
use skein_log::{Inspector, Log, LogId, PartitionId, Record};

const P: PartitionId = PartitionId(0);
const CREATED_AT: u64 = 1_700_000_000_000;
const FIXTURE: Fixture = Fixture {
    folder: "v1",
    files: &[
        "clean",
        "p00000-00000000000000000001.seg",
        "p00000.state",
        "skein-log",
    ],
};

fn records() -> Vec<Record<'static>> {
    vec![
        Record {
            kind: 1,
            flags: 0,
            key: 7,
            extension: 0x0102_0304_0506_0708,
            payload: b"started",
        },
        Record {
            kind: 2,
            flags: 1,
            key: 7,
            extension: 9,
            payload: b"",
        },
        Record {
            kind: 2,
            flags: 0,
            key: u32::MAX,
            extension: u64::MAX,
            payload: &[0xA5; 33],
        },
    ]
}

/// Two batches, a checkpoint over the second, closed.
fn write(directory: &Path) {
    let (mut log, _) = Log::open_dir(directory, options(1), CREATED_AT, 1).expect("open");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut writer = log.take_writer(P).expect("writer");
    writer.append(CREATED_AT + 1, &records()).expect("append");
    writer
        .append(CREATED_AT + 2, &records()[..1])
        .expect("append");
    writer.set_checkpoint(4, 4);
    janitor.work(CREATED_AT + 3);
    drop((writer, janitor));
    log.close().expect("close");
}

fn check(directory: &Path, clean: bool) {
    let (mut log, report) = Log::open_dir(directory, options(1), CREATED_AT + 5, 2).expect("open");
    assert_eq!(report.clean, clean, "{report}");
    assert!(!report.is_corrupt(), "{report}");
    assert_eq!(log.id(), LogId(0x910A_2DEC_8902_5CC1));
    let mut reader = log.reader(P);
    reader.set_verify(true);
    assert_eq!(reader.checkpoint(), Some(4));
    let mut read = Vec::new();
    while let Some(batch) = reader.next_batch().expect("valid") {
        for (offset, record) in batch.records() {
            assert_eq!(offset, read.len() as u64 + 1);
            read.push((
                record.kind,
                record.flags,
                record.key,
                record.extension,
                record.payload.to_vec(),
            ));
        }
    }
    let mut expected = records();
    expected.push(records()[0]);
    let expected: Vec<_> = expected
        .iter()
        .map(|r| (r.kind, r.flags, r.key, r.extension, r.payload.to_vec()))
        .collect();
    assert_eq!(read, expected);
    let mut writer = log.take_writer(P).expect("writer");
    assert_eq!(writer.epoch(), if clean { 1 } else { 2 });
    assert_eq!(
        *writer.append(0, &records()[..1]).expect("append").start(),
        5
    );
}

#[test]
fn a_clean_directory_of_version_1_opens() {
    check(FIXTURE.copy().path(), true);
}

#[test]
fn an_unclean_directory_of_version_1_opens() {
    let directory = FIXTURE.copy();
    fs::remove_file(directory.path().join("clean")).expect("remove");
    check(directory.path(), false);
}

#[test]
fn a_directory_of_version_1_can_be_inspected_where_it_lies() {
    let inspector = Inspector::open(FIXTURE.path()).expect("inspect");
    let report = inspector.verify(P).expect("verify");
    assert_eq!((report.batches, report.records), (2, 4));
    assert!(report.problems.is_empty(), "{report:?}");
    let stat = inspector.stat().expect("stat");
    assert!(
        stat.clean && stat.partitions[0].segments[0].closed,
        "{stat:?}"
    );
}

#[test]
fn what_is_written_today_is_version_1_byte_for_byte() {
    FIXTURE.assert_written_by(write);
}

#[test]
#[ignore = "writes the fixture of a new version"]
fn write_the_fixture() {
    FIXTURE.make(write);
}
