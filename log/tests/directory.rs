//! A directory that is not ours, not free, or not as it was: a clear error, and nothing touched.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{append_many, options};
use skein_log::{InspectError, Inspector, Log, OpenError, Options, PartitionId};

#[test]
fn a_directory_in_use_is_refused_and_free_again_afterwards() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (log, _) = Log::open_dir(directory.path(), options(1), 0, 1).expect("open");
    let error = Log::open_dir(directory.path(), options(1), 0, 1).expect_err("in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    drop(log);
    Log::open_dir(directory.path(), options(1), 0, 1).expect("free again");
}

#[test]
fn a_writer_keeps_the_directory_even_without_its_log() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (mut log, _) = Log::open_dir(directory.path(), options(1), 0, 1).expect("open");
    let writer = log.take_writer(PartitionId(0)).expect("writer");
    assert!(log.take_writer(PartitionId(0)).is_none(), "once each");
    assert!(
        log.take_writer(PartitionId(1)).is_none(),
        "there is one partition"
    );
    let error = log.close().expect_err("a writer is alive");
    assert!(
        error.to_string().contains("writer of partition 0"),
        "{error}"
    );
    assert!(Log::open_dir(directory.path(), options(1), 0, 1).is_err());
    drop(writer);
    Log::open_dir(directory.path(), options(1), 0, 1).expect("free again");
}

#[test]
fn foreign_files_are_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    fs::write(directory.path().join("notes.txt"), "mine").expect("write");
    let error = Log::open_dir(directory.path(), options(1), 0, 1).expect_err("foreign");
    assert!(
        matches!(&error, OpenError::ForeignDirectory { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(
        fs::read_to_string(directory.path().join("notes.txt")).expect("read"),
        "mine"
    );
    assert!(matches!(
        Inspector::open(directory.path()),
        Err(InspectError::Open(_))
    ));
    let empty = tempfile::tempdir().expect("temporary directory");
    assert!(matches!(
        Inspector::open(empty.path()),
        Err(InspectError::NoLog { .. })
    ));
}

#[test]
fn another_number_of_partitions_is_refused_with_the_right_one() {
    let directory = tempfile::tempdir().expect("temporary directory");
    drop(Log::open_dir(directory.path(), options(4), 0, 1).expect("open"));
    let error = Log::open_dir(directory.path(), options(8), 0, 1).expect_err("mismatch");
    assert!(error.to_string().contains("partitions = 4"), "{error}");
}

#[test]
fn a_damaged_or_missing_identity_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (mut log, _) = Log::open_dir(directory.path(), options(1), 0, 1).expect("open");
    append_many(&mut log.take_writer(PartitionId(0)).expect("writer"), 1, 10);
    drop(log);
    let identity = directory.path().join("skein-log");
    let good = fs::read(&identity).expect("read");
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&identity, &bad).expect("write");
    let error = Log::open_dir(directory.path(), options(1), 0, 1).expect_err("damaged");
    assert!(
        matches!(error, OpenError::DamagedIdentity { .. }),
        "{error}"
    );
    fs::remove_file(&identity).expect("remove");
    let error = Log::open_dir(directory.path(), options(1), 0, 1).expect_err("missing");
    assert!(
        matches!(error, OpenError::DamagedIdentity { .. }),
        "{error}"
    );
}

#[test]
fn a_file_of_another_log_is_put_aside() {
    let (a, b) = (
        tempfile::tempdir().expect("temp"),
        tempfile::tempdir().expect("temp"),
    );
    for (directory, seed) in [(&a, 1), (&b, 2)] {
        let (mut log, _) = Log::open_dir(directory.path(), options(1), 0, seed).expect("open");
        append_many(&mut log.take_writer(PartitionId(0)).expect("writer"), 3, 10);
        log.close().expect("close");
    }
    let segment = "p00000-00000000000000000001.seg";
    fs::copy(a.path().join(segment), b.path().join(segment)).expect("copy");
    let (log, report) = Log::open_dir(b.path(), options(1), 0, 3).expect("open");
    assert!(
        report.to_string().contains("belongs to another log"),
        "{report}"
    );
    assert_eq!(
        log.reader(PartitionId(0)).appended(),
        3,
        "offsets are not used again"
    );
}

#[test]
fn files_are_for_their_owner_only() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("deep/log");
    let (mut log, _) = Log::open_dir(&path, options(1), 0, 1).expect("open");
    append_many(&mut log.take_writer(PartitionId(0)).expect("writer"), 1, 10);
    let mode = |path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    for entry in fs::read_dir(&path).expect("list") {
        let file = entry.expect("entry").path();
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }
}

#[test]
fn options_out_of_range_name_the_option() {
    let check = |options: Options, name: &str| {
        let error = Log::open_dir("/nonexistent/never/made", options, 0, 1).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    };
    check(
        Options {
            partitions: 0,
            ..options(1)
        },
        "partitions",
    );
    check(
        Options {
            segment_bytes_min: 1,
            ..options(1)
        },
        "segment_bytes_min",
    );
    check(
        Options {
            segment_bytes_max: 2 << 30,
            ..options(1)
        },
        "segment_bytes_max",
    );
    check(
        Options {
            segment_bytes_min: 1 << 20,
            ..options(1)
        },
        "segment_bytes_min",
    );
    check(
        Options {
            segment_bytes_max: (256 << 10) + 1,
            ..options(1)
        },
        "segment_bytes_max",
    );
    check(
        Options {
            sync_interval_ms: 0,
            ..options(1)
        },
        "sync_interval_ms",
    );
}
