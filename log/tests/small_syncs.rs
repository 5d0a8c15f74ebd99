//! A sync of little writes little: what it writes is what was appended, and a page or two, however
//! large the pieces are in which the system would hold the file. On a disk whose system reads ahead
//! by megabytes the difference is 2 MiB for each 4 KiB.

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::append_many;
use skein_log::{Log, Options, PartitionId, Writer};

const P: PartitionId = PartitionId(0);

/// So large that pieces of cache have grown to their largest where the file is looked at.
const FILE_BYTES: u64 = 64 << 20;

const ROUNDS: u64 = 20;

/// Bytes of pages that this thread has changed and that are to be written to a disk.
fn bytes_to_write() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/io").expect("a kernel that counts");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok())
        .expect("a number")
}

/// What one of many small appends has written, each with a sync.
fn written_per_sync(writer: &mut Writer) -> u64 {
    let before = bytes_to_write();
    for _ in 0..ROUNDS {
        append_many(writer, 1, 4_000);
        writer.sync_now().expect("a disk that works");
    }
    (bytes_to_write() - before) / ROUNDS
}

fn options() -> Options {
    Options {
        segment_bytes_min: FILE_BYTES,
        segment_bytes_max: FILE_BYTES,
        pretouch_window_bytes: FILE_BYTES as usize,
        ..common::options(1)
    }
}

/// Has the system forget what it holds of the directory's files, as after a start of the machine.
fn forget(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let file = File::open(entry.expect("an entry").path()).expect("a file");
        file.sync_all().expect("a disk that works");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
    }
}

#[test]
fn a_sync_of_one_record_writes_a_few_pages() {
    // The folder of the build: one for temporary files may be memory, of which nothing is written.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = directory.path();
    let (mut log, _) = Log::open_dir(path, options(), 0, 1).expect("a log");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    append_many(&mut writer, 1, 4_000);
    janitor.work(0);
    for _ in 0..11 {
        append_many(&mut writer, 1_000, 4_000);
        janitor.work(0);
    }
    writer.sync_now().expect("a disk that works");
    let ahead = written_per_sync(&mut writer);
    assert!(ahead <= 16 << 10, "touched ahead: {ahead} bytes a sync");

    // Recovery reads behind the tail, to be sure that nothing is there, and what it has read of the
    // file must not decide how the rest of it is held.
    drop((writer, janitor, log));
    forget(path);
    let options = Options {
        pretouch_window_bytes: 0,
        ..options()
    };
    let (mut log, report) = Log::open_dir(path, options, 0, 2).expect("a log");
    assert!(!report.clean);
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 500, 4_000); // Leaves the piece in which the tail lies.
    writer.sync_now().expect("a disk that works");
    let behind = written_per_sync(&mut writer);
    assert!(
        behind <= 16 << 10,
        "behind what recovery read: {behind} bytes a sync"
    );
    assert_eq!(
        log.stats().segments,
        1,
        "all in the file that was looked at"
    );
}
