//! One suite over every way to write and every medium: mapped and `pwrite`, on disk and in memory.
//! What an owner relies on holds for each of them, and the files are the same, byte for byte.

mod common;

use std::sync::Arc;

use common::{Seeded, all, append, append_many, drain, options, payload};
use skein_log::{
    AppendError, DiskStorage, Log, MemoryStorage, Operation, Options, PartitionId, ReadError,
    Record, Storage, WriterBackend,
};

const P: PartitionId = PartitionId(0);
const BACKENDS: [WriterBackend; 2] = [WriterBackend::Mapped, WriterBackend::Pwrite];

/// Runs `check` for every medium and backend.
fn each(check: impl Fn(Arc<dyn Storage>, Options)) {
    for writer in BACKENDS {
        let options = Options {
            writer,
            ..options(1)
        };
        check(MemoryStorage::new(), options.clone());
        let directory = tempfile::tempdir().expect("temporary directory");
        let disk = DiskStorage::new(directory.path().join("log")).expect("disk storage");
        check(disk, options);
    }
}

fn is_whole(log: &Log, last: u64) {
    let records = all(log, 0);
    assert_eq!(records.len() as u64, last);
    for (offset, bytes) in records {
        assert_eq!(bytes, payload(offset, bytes.len()), "offset {offset}");
    }
}

#[test]
fn what_is_appended_is_read_across_rolls_and_both_kinds_of_stop() {
    each(|storage, options| {
        let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let mut janitor = log.take_janitor().expect("janitor");
        let mut reader = log.reader(P);
        let mut followed = 0;
        for round in 0..60 {
            append_many(&mut writer, 10, 1_000);
            janitor.work(round * 100);
            followed += drain(&mut reader).0.len() as u64;
        }
        assert_eq!(followed, 600);
        assert!(log.stats().segments > 3, "{:?}", log.stats());
        is_whole(&log, 600);
        drop((reader, writer, janitor));
        log.close().expect("close");

        let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 2).expect("open");
        assert!(report.clean, "{report}");
        let mut writer = log.take_writer(P).expect("writer");
        append_many(&mut writer, 50, 1_000);
        drop((writer, log));

        let (mut log, report) = Log::open(storage, options, 0, 3).expect("open");
        assert!(!report.clean && !report.is_corrupt(), "{report}");
        is_whole(&log, 650);
        let mut writer = log.take_writer(P).expect("writer");
        append_many(&mut writer, 50, 1_000);
        is_whole(&log, 700);
    });
}

#[test]
fn refused_batches_leave_nothing_behind() {
    each(|storage, options| {
        let (mut log, _) = Log::open(storage, options, 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        assert!(matches!(writer.append(0, &[]), Err(AppendError::Empty)));
        let long = vec![0; 65_536];
        let long = Record {
            payload: &long,
            ..Record::default()
        };
        let refused = writer.append(0, &[long]);
        assert!(matches!(refused, Err(AppendError::PayloadTooLarge { .. })));
        append_many(&mut writer, 3, 10);
        is_whole(&log, 3);
        assert_eq!(writer.sync_now().expect("sync"), 3);
    });
}

#[test]
fn cut_and_purged_records_are_gone_and_the_log_goes_on() {
    each(|storage, options| {
        let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        append_many(&mut writer, 200, 1_000);
        let mut beyond = log.reader(P);
        beyond.seek(150);
        beyond.next_batch().expect("read");
        writer.truncate_after(0, 120).expect("truncate");
        let cut = beyond.next_batch();
        assert!(matches!(cut, Err(ReadError::Truncated { next: 121, .. })));
        append_many(&mut writer, 30, 1_000);
        writer.purge_before(50).expect("purge");
        drop((beyond, writer, log));
        let (log, report) = Log::open(storage, options, 0, 2).expect("open");
        assert!(!report.is_corrupt(), "{report}");
        let records = all(&log, 0);
        assert!(records[0].0 >= 50);
        assert_eq!(records.last().expect("records").0, 150);
    });
}

/// The same operations from the same seed, whatever the backend.
fn run(storage: Arc<dyn Storage>, writer: WriterBackend) {
    let options = Options {
        writer,
        ..options(2)
    };
    let (mut log, _) = Log::open(storage, options, 5, 77).expect("open");
    let mut writers = [0, 1].map(|p| log.take_writer(PartitionId(p)).expect("writer"));
    let mut janitor = log.take_janitor().expect("janitor");
    let mut seeded = Seeded::new(3);
    for step in 0..400 {
        let writer = &mut writers[seeded.below(2) as usize];
        let payloads: Vec<_> = (0..1 + seeded.below(9))
            .map(|index| payload(step * 10 + index, seeded.below(900) as usize))
            .collect();
        append(writer, 1_000 + step, &payloads);
        if seeded.below(10) == 0 {
            janitor.work(1_000 + step);
        }
        if seeded.below(60) == 0 {
            let last = writer.appended();
            writer.truncate_after(1_000 + step, last - 1).expect("cut");
        }
    }
    drop((writers, janitor));
    log.close().expect("close");
}

#[test]
fn every_backend_writes_the_same_bytes() {
    let mut images = Vec::new();
    for writer in BACKENDS {
        let directory = tempfile::tempdir().expect("temporary directory");
        let disk = DiskStorage::new(directory.path()).expect("disk storage");
        for storage in [MemoryStorage::new() as Arc<dyn Storage>, disk] {
            run(storage.clone(), writer);
            let entries = storage.list().expect("list");
            let image: Vec<_> = entries
                .into_iter()
                .map(|entry| {
                    let bytes = storage.read(&entry.name, 1 << 30).expect("read");
                    (entry.name, bytes)
                })
                .collect();
            images.push(image);
        }
    }
    for image in &images[1..] {
        for ((name, bytes), (other_name, other)) in image.iter().zip(&images[0]) {
            assert_eq!(name, other_name);
            assert!(bytes == other, "{name} differs");
        }
        assert_eq!(image.len(), images[0].len());
    }
}

#[test]
fn a_write_that_fails_moves_the_partition_to_memory_and_back() {
    let storage = MemoryStorage::new();
    let options = Options {
        writer: WriterBackend::Pwrite,
        ..options(1)
    };
    let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut reader = log.reader(P);
    append_many(&mut writer, 5, 100);
    assert_eq!(writer.sync_now().expect("sync"), 5);

    // The body is stored, the length word is not.
    storage.fail_call(Operation::WriteAt, 1);
    append_many(&mut writer, 5, 100);
    assert!(writer.degraded());
    assert_eq!(log.stats().write_failures, 1);
    assert_eq!(drain(&mut reader).0.len(), 10, "followers see everything");
    assert_eq!(writer.durable(), 5);

    // Back on a file; its header fails once, too.
    janitor.work(5_000);
    storage.fail_call(Operation::WriteAt, 0);
    append_many(&mut writer, 1, 100);
    assert!(writer.degraded());
    janitor.work(10_000);
    append_many(&mut writer, 1, 100);
    assert!(!writer.degraded());
    assert_eq!(writer.sync_now().expect("sync"), 12);
    drop((reader, writer, janitor));
    log.close().expect("close");

    let (log, report) = Log::open(storage, options, 0, 2).expect("open");
    assert!(report.clean, "{report}");
    let (records, gaps) = drain(&mut log.reader(P));
    assert_eq!(gaps, [(6, 12)], "the hole is explained");
    let offsets: Vec<u64> = records.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5, 12]);
}
