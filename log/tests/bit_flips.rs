//! A bit flips at every byte of three durable batches, of the header page, of the footer. Recovery
//! never gives out a wrong byte, loses only what was hit, says what it lost, and keeps the file.

mod common;

use std::sync::Arc;

use common::{Read, append, drain, options, payload};
use skein_log::{
    Inspector, Log, MemoryStorage, Operation, Options, PartitionId, RecoveryReport, Storage,
};

const P: PartitionId = PartitionId(0);
const SEGMENT: &str = "p00000-00000000000000000001.seg";

/// Offsets of the three batches: 1 to 2, 3 to 4, 5 to 6; then a fourth that says that they are
/// durable.
fn three_batches() -> (Arc<MemoryStorage>, Vec<Read>, [usize; 4]) {
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut starts = [4096; 4];
    for batch in 0..4 {
        let payloads = [payload(batch * 2 + 1, 40), payload(batch * 2 + 2, 21)];
        append(&mut writer, batch, &payloads);
        if batch < 3 {
            starts[batch as usize + 1] = starts[batch as usize] + 40 + (16 + 40) + (16 + 24);
        }
        writer.sync_now().expect("sync");
    }
    let (records, _) = drain(&mut log.reader(P));
    (storage, records, starts)
}

fn recover(storage: &Arc<MemoryStorage>) -> (Log, RecoveryReport) {
    Log::open(storage.clone(), options(1), 0, 2).expect("damage is no reason not to open")
}

#[test]
fn each_flip_in_a_durable_batch_is_damage_and_costs_that_batch_alone() {
    let (base, records, starts) = three_batches();
    for byte in starts[0]..starts[3] {
        let storage = base.kill();
        storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
        let hit = starts
            .iter()
            .rposition(|start| *start <= byte)
            .expect("in a batch") as u64;
        let problems = Inspector::of(storage.clone())
            .expect("inspect")
            .verify(P)
            .expect("verify")
            .problems;
        assert!(
            !problems.is_empty(),
            "byte {byte} was not noticed from outside"
        );

        let (log, report) = recover(&storage);
        let corruption = &report.partitions[0].corruption;
        assert_eq!(corruption.len(), 1, "byte {byte}: {report}");
        assert_eq!(
            corruption[0].lost,
            [(hit * 2 + 1, hit * 2 + 2)],
            "byte {byte}"
        );
        let (read, gaps) = drain(&mut log.reader(P));
        let expected: Vec<_> = records
            .iter()
            .filter(|(offset, _)| (offset - 1) / 2 != hit)
            .cloned()
            .collect();
        assert_eq!(read, expected, "byte {byte}");
        assert_eq!(gaps, [(hit * 2 + 1, hit * 2 + 3)], "byte {byte}");
        drop(log);

        // The repair is lasting, and the evidence is kept.
        let (log, report) = recover(&storage);
        assert!(!report.is_corrupt(), "byte {byte}: {report}");
        assert_eq!(drain(&mut log.reader(P)).0, expected, "byte {byte}");
        let stat = Inspector::of(storage)
            .expect("inspect")
            .stat()
            .expect("stat");
        assert_eq!(stat.quarantined, [corruption[0].quarantine.clone()]);
    }
}

/// Footers say that all is well, and who replays would come upon the damage.
#[test]
fn a_flip_before_a_clean_stop_is_found_from_the_checkpoint_on_where_that_is_asked_for() {
    let asking = Options {
        verify_from_checkpoint: true,
        ..options(1)
    };
    for checkpoint in [None, Some((3, 4))] {
        let (base, records, starts) = three_batches();
        let (mut log, _) = Log::open(base.clone(), options(1), 0, 2).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        if let Some((begin, end)) = checkpoint {
            writer.set_checkpoint(begin, end);
        }
        drop(writer);
        log.close().expect("close");
        for byte in starts[0]..starts[3] {
            let storage = base.kill();
            storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
            let hit = starts.iter().rposition(|start| *start <= byte);
            let hit = hit.expect("in a batch") as u64;
            let (_, trusting) = Log::open(storage.kill(), options(1), 0, 2).expect("open");
            let is_first = hit == 0;
            assert!(
                trusting.clean || is_first,
                "byte {byte}: footers are trusted"
            );

            let (log, report) = Log::open(storage, asking.clone(), 0, 2).expect("open");
            // Before the checkpoint nobody looks, but at the first batch of a file.
            if checkpoint.is_some() && is_first && trusting.clean {
                continue;
            }
            assert!(!report.clean, "byte {byte}: {report}");
            let corruption = &report.partitions[0].corruption;
            let lost: Vec<_> = corruption.iter().flat_map(|one| &one.lost).collect();
            assert_eq!(lost, [&(hit * 2 + 1, hit * 2 + 2)], "byte {byte}");
            let (read, _) = drain(&mut log.reader(P));
            let expected: Vec<_> = records
                .iter()
                .filter(|(offset, _)| (offset - 1) / 2 != hit)
                .cloned()
                .collect();
            assert_eq!(read, expected, "byte {byte}");
        }
        let (_, report) = Log::open(base.kill(), asking.clone(), 0, 2).expect("open");
        assert!(report.clean, "nothing is damaged: {report}");
    }
}

#[test]
fn an_interrupted_repair_is_finished_by_the_next_start() {
    let (base, records, starts) = three_batches();
    let expected: Vec<_> = records
        .iter()
        .filter(|(offset, _)| (offset - 1) / 2 != 1)
        .cloned()
        .collect();
    let mut interrupted = 0;
    for operation in [Operation::Sync, Operation::SyncDirectory, Operation::Create] {
        for call in 0..4 {
            for seed in 0..20 {
                let storage = base.kill();
                storage.sync_directory().expect("what is there is durable");
                storage.flip_bit(SEGMENT, starts[1] + 50, 1);
                storage.fail_call(operation, call);
                interrupted += u32::from(Log::open(storage.clone(), options(1), 0, 2).is_err());
                let (log, _) = recover(&storage.crash(seed));
                let what = format!("{operation:?} {call} seed {seed}");
                assert_eq!(
                    drain(&mut log.reader(P)),
                    (expected.clone(), vec![(3, 5)]),
                    "{what}"
                );
            }
        }
    }
    assert!(interrupted >= 80, "{interrupted} repairs were interrupted");
}

#[test]
fn a_flip_in_the_newest_batch_is_a_torn_tail() {
    let (base, records, starts) = three_batches();
    for byte in starts[3]..starts[3] + 136 {
        let storage = base.kill();
        storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
        let (log, report) = recover(&storage);
        assert!(!report.is_corrupt(), "byte {byte}: {report}");
        assert!(report.torn_bytes() > 0, "byte {byte}: {report}");
        assert_eq!(
            drain(&mut log.reader(P)),
            (records[..6].to_vec(), vec![]),
            "byte {byte}"
        );
    }
}

#[test]
fn a_flip_in_the_header_page_costs_nothing() {
    let (base, records, _) = three_batches();
    for byte in 0..64 {
        let storage = base.kill();
        storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
        let (log, report) = recover(&storage);
        assert!(report.is_corrupt(), "byte {byte}: {report}");
        assert_eq!(
            drain(&mut log.reader(P)),
            (records.clone(), vec![]),
            "byte {byte}"
        );
    }
}

#[test]
fn a_damaged_small_file_is_noticed_and_costs_no_record() {
    let (base, records, _) = three_batches();
    let state_bytes = 8 + 8 + 8 + 24 + 16 + 4;
    for byte in 0..state_bytes {
        let storage = base.kill();
        storage.flip_bit("p00000.state", byte, (byte % 8) as u8);
        let (mut log, report) = recover(&storage);
        assert_eq!(
            drain(&mut log.reader(P)).0,
            records,
            "byte {byte}: {report}"
        );
        let writer = log.take_writer(P).expect("writer");
        assert!(
            writer.epoch() > 1_000,
            "earlier epochs are invalid: {:?}",
            writer.epochs()
        );
        assert_eq!(writer.epochs().len(), 1);
    }
}

#[test]
fn a_flip_in_a_file_of_a_clean_log_never_gives_a_wrong_byte() {
    let base = MemoryStorage::new();
    let (mut log, _) = Log::open(base.clone(), options(1), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    for batch in 0..3 {
        append(&mut writer, batch, &[payload(batch + 1, 64)]);
    }
    drop(writer);
    log.close().expect("close");
    let footer = (64 << 10) - 64 - 3 * 24;
    for byte in (4096..4096 + 3 * 120).chain(footer..footer + 128) {
        let storage = base.kill();
        storage.flip_bit(SEGMENT, byte, (byte % 8) as u8);
        let (log, _) = recover(&storage);
        let mut reader = log.reader(P);
        reader.set_verify(true);
        let mut seen = 0;
        loop {
            match reader.next_batch() {
                Ok(Some(batch)) => {
                    for (offset, record) in batch.records() {
                        assert_eq!(record.payload, payload(offset, 64), "byte {byte}");
                        seen += 1;
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert!(seen >= 2, "byte {byte}: {seen} records");
    }
}
