//! Files full of nonsense: opening either works or says why not, never panics, and what it gives
//! out afterwards is a log like any other.

mod common;

use std::sync::Arc;

use common::{Seeded, append, options, payload};
use skein_log::{Inspector, Log, MemoryStorage, PartitionId, ReadError, Storage};

const P: PartitionId = PartitionId(0);

fn written(seed: u64, clean: bool) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    let mut seeded = Seeded::new(seed);
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, seed).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    for _ in 0..40 {
        let stamp = writer.next_offset();
        append(
            &mut writer,
            stamp,
            &[payload(stamp, seeded.below(6_000) as usize)],
        );
        if seeded.below(8) == 0 {
            writer.sync_now().expect("sync");
        }
    }
    drop(writer);
    if clean {
        log.close().expect("close");
    }
    storage.kill()
}

/// Everything that can be read is read; whatever comes after an error is read as well.
fn exercise(storage: &Arc<MemoryStorage>, what: &str) {
    let inspector = Inspector::of(storage.clone());
    if let Ok(inspector) = &inspector {
        let _ = inspector.stat();
        let _ = inspector.verify(P);
        if let Ok(mut tail) = inspector.tail(P, 1) {
            let mut errors = 0;
            while errors < 1_000 {
                match tail.next_batch() {
                    Ok(Some(batch)) => assert!(batch.records().count() > 0, "{what}"),
                    Ok(None) => break,
                    Err(_) => errors += 1,
                }
            }
            assert!(errors < 1_000, "{what}: the tail does not get on");
        }
    }
    let Ok((mut log, _)) = Log::open(storage.clone(), options(1), 0, 77) else {
        return;
    };
    let mut reader = log.reader(P);
    reader.set_verify(true);
    let mut expected = 1;
    for _ in 0..1_000 {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for (offset, record) in batch.records() {
                    assert_eq!(offset, expected, "{what}: dense");
                    let length = record.payload.len();
                    assert_eq!(
                        record.payload,
                        payload(offset, length),
                        "{what}: offset {offset}"
                    );
                    expected += 1;
                }
            }
            Ok(None) => break,
            Err(ReadError::Gap { next, .. }) => expected = next,
            Err(_) => expected = reader.position(),
        }
    }
    assert_eq!(
        reader.position(),
        reader.appended() + 1,
        "{what}: the reader does not get on"
    );
    let mut writer = log.take_writer(P).expect("writer");
    let next = writer.next_offset();
    append(&mut writer, 0, &[payload(next, 50)]);
    writer.sync_now().expect("sync");
    let (log, _) = Log::open(storage.crash(1), options(1), 0, 78).expect("its own repair opens");
    assert_eq!(log.reader(P).appended(), next, "{what}");
}

#[test]
fn changed_bytes_anywhere_never_panic_and_never_give_a_wrong_record() {
    for seed in 0..400 {
        let mut seeded = Seeded::new(seed + 1_000);
        let storage = written(seed % 20, seed % 2 == 0);
        let files = storage.list().expect("list");
        for _ in 0..1 + seeded.below(6) {
            let file = &files[seeded.below(files.len() as u64) as usize];
            // The first pages are where most of the structure is.
            let bound = if seeded.below(2) == 0 {
                file.bytes.min(9_000)
            } else {
                file.bytes
            };
            let length = [1, 8, 64, 4_096][seeded.below(4) as usize];
            let start = seeded.below(bound);
            for byte in start..(start + length).min(file.bytes) {
                let value = seeded.next() as u8;
                storage.change_byte(&file.name, byte as usize, |_| value);
            }
        }
        exercise(&storage, &format!("seed {seed}"));
    }
}

#[test]
fn shortened_files_never_panic() {
    for seed in 0..100 {
        let mut seeded = Seeded::new(seed + 5_000);
        let storage = written(seed % 20, seed % 2 == 0);
        let files = storage.list().expect("list");
        let file = &files[seeded.below(files.len() as u64) as usize];
        let bytes = storage.read(&file.name, 1 << 30).expect("read");
        let cut = seeded.below(file.bytes + 1) as usize;
        storage.write(&file.name, &bytes[..cut]).expect("write");
        exercise(
            &storage,
            &format!("seed {seed}: {} cut at {cut}", file.name),
        );
    }
}

#[test]
fn files_of_noise_never_panic() {
    for seed in 0..100 {
        let mut seeded = Seeded::new(seed + 9_000);
        let storage = written(seed % 20, seed % 2 == 0);
        let names = [
            "p00000-00000000000000000001.seg",
            "p00000-00000000000000000999.seg",
            "p00000-00000000000000000005.salvage",
            "p00000-18446744073709551615.seg",
            "p00000-00000000000000000000.seg",
            "p00000.state",
            "clean",
            "spare-0000000000000001.seg",
        ];
        let name = names[seeded.below(names.len() as u64) as usize];
        let noise: Vec<u8> = (0..seeded.below(40_000))
            .map(|_| seeded.next() as u8)
            .collect();
        storage.write(name, &noise).expect("write");
        exercise(
            &storage,
            &format!("seed {seed}: {name} of {} bytes", noise.len()),
        );
    }
}
