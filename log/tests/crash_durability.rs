//! Power failures at random moments: of pages and names that were not made durable any subset
//! survives, in any order. Whatever survives, after recovery
//!
//! - every record that was acknowledged as durable is there, with its bytes;
//! - offsets are dense, and every record is the one that was appended there last: nothing that
//!   was cut before comes back;
//! - nothing is called damage, for nothing was damaged;
//! - the epoch has grown, and its first offset is the next one.
//!
//! The same test has to fail when syncs do nothing, and when acknowledgements come before them.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{Seeded, append, options, payload};
use skein_log::{Janitor, Log, MemoryStorage, PartitionId, SyncMode, Writer, WriterBackend};

const PARTITIONS: u16 = 2;

/// When the test counts a record as acknowledged.
#[derive(Clone, Copy, PartialEq)]
enum Acknowledge {
    WhenDurable,
    /// The bug that the test must find.
    WhenAppended,
}

/// What must hold of one partition.
#[derive(Default)]
struct Model {
    /// Stamp and length of the record at each offset; stamps are never used twice.
    records: BTreeMap<u64, Vec<u8>>,
    acknowledged: u64,
    /// Epoch of the newest writer, and whether it has appended: before its first append an epoch
    /// is nobody's and may come again.
    epoch: u32,
    epoch_used: bool,
    checkpoint: Option<(u64, u64)>,
}

struct World {
    seeded: Seeded,
    storage: Arc<MemoryStorage>,
    acknowledge: Acknowledge,
    writer: WriterBackend,
    models: Vec<Model>,
    stamp: u64,
    now: u64,
}

struct Running {
    log: Log,
    writers: Vec<Writer>,
    janitor: Janitor,
    durable: Arc<Vec<AtomicU64>>,
    lost: Arc<Mutex<Vec<(u16, u64, u64)>>>,
}

impl World {
    /// Odd seeds write with `pwrite`.
    fn new(seed: u64, mode: SyncMode, acknowledge: Acknowledge) -> World {
        let storage = MemoryStorage::new();
        storage.set_sync_mode(mode);
        World {
            seeded: Seeded::new(seed),
            storage,
            writer: if seed % 2 == 1 {
                WriterBackend::Pwrite
            } else {
                WriterBackend::Mapped
            },
            acknowledge,
            models: (0..PARTITIONS).map(|_| Model::default()).collect(),
            stamp: 0,
            now: 1_000,
        }
    }

    /// Opens and checks everything that must hold after any start.
    fn start(&mut self) -> Result<Running, String> {
        let mut options = options(PARTITIONS);
        options.retention_age_ms = Some(2_000);
        options.writer = self.writer;
        let storage = Arc::clone(&self.storage);
        let (mut log, report) = Log::open(storage, options, self.now, self.seeded.next())
            .map_err(|error| format!("open: {error}"))?;
        if report.is_corrupt() {
            return Err(format!("called damage: {report}"));
        }
        let durable: Arc<Vec<AtomicU64>> =
            Arc::new((0..PARTITIONS).map(|_| AtomicU64::new(0)).collect());
        let heard = Arc::clone(&durable);
        log.on_durable(Box::new(move |partition, offset| {
            heard[usize::from(partition.0)].store(offset, Ordering::SeqCst);
        }));
        let lost = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lost);
        log.on_lost(Box::new(move |partition, first, last| {
            told.lock()
                .expect("losses")
                .push((partition.0, first, last));
        }));
        let janitor = log.take_janitor().expect("janitor");
        let mut writers = Vec::new();
        for number in 0..PARTITIONS {
            let writer = log.take_writer(PartitionId(number)).expect("writer");
            self.check(&log, &writer, number, report.clean)?;
            writers.push(writer);
        }
        Ok(Running {
            log,
            writers,
            janitor,
            durable,
            lost,
        })
    }

    fn check(
        &mut self,
        log: &Log,
        writer: &Writer,
        number: u16,
        clean: bool,
    ) -> Result<(), String> {
        let model = &mut self.models[usize::from(number)];
        let fail = |what: String| Err(format!("partition {number}: {what}"));
        if writer.appended() < model.acknowledged {
            let (has, acked) = (writer.appended(), model.acknowledged);
            return fail(format!("acknowledged up to {acked}, there is {has}"));
        }
        let mut reader = log.reader(PartitionId(number));
        reader.set_verify(true);
        let first = reader.first_offset();
        if let Some((begin, _)) = model.checkpoint
            && first > begin
        {
            return fail(format!("starts at {first}, checkpoint at {begin}"));
        }
        reader.seek(first);
        let mut expected = first;
        loop {
            let batch = match reader.next_batch() {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => return fail(format!("at {expected}: {error}")),
            };
            for (offset, record) in batch.records() {
                if offset != expected {
                    return fail(format!("offset {offset} where {expected} is due"));
                }
                if model.records.get(&offset).map(Vec::as_slice) != Some(record.payload) {
                    return fail(format!("offset {offset} holds another record"));
                }
                expected += 1;
            }
        }
        if expected != writer.next_offset() {
            return fail(format!(
                "read up to {expected}, next is {}",
                writer.next_offset()
            ));
        }
        let grown = writer.epoch() > model.epoch;
        if model.epoch_used && !clean && !grown {
            return fail(format!("epoch {} again after a crash", model.epoch));
        }
        if clean && model.epoch > 0 && grown {
            return fail(format!(
                "epoch {} after a clean stop in {}",
                writer.epoch(),
                model.epoch
            ));
        }
        if !clean && writer.epochs().last().map(|last| last.first_offset) != Some(expected) {
            return fail(format!(
                "epochs {:?}, next offset {expected}",
                writer.epochs()
            ));
        }
        model.epoch_used &= clean;
        model.epoch = writer.epoch();
        model.records.retain(|offset, _| *offset < expected);
        Ok(())
    }

    fn step(&mut self, running: &mut Running) {
        self.now += self.seeded.below(50);
        let partition = self.seeded.below(u64::from(PARTITIONS)) as usize;
        match self.seeded.below(20) {
            0..=11 => self.append(running, partition),
            12 => {
                running.writers[partition].sync_now().expect("sync");
            }
            13..=14 => {
                running.writers[partition].request_sync();
                running.janitor.work(self.now);
            }
            15 => {
                running.janitor.work(self.now);
            }
            16 if self.seeded.below(2) == 0 => {
                // Long enough for housekeeping, and for a partition to count as quiet.
                for _ in 0..2 {
                    self.now += 5_000;
                    running.janitor.work(self.now);
                }
            }
            17 => {
                self.now += 1_000;
                running.writers[partition].poll(self.now);
            }
            16 => self.storage.write_back_some(self.seeded.next()),
            18 => self.checkpoint(running, partition),
            _ => self.truncate(running, partition),
        }
        for (model, durable) in self.models.iter_mut().zip(running.durable.iter()) {
            model.acknowledged = model.acknowledged.max(durable.load(Ordering::SeqCst));
        }
        assert!(
            running.lost.lock().expect("losses").is_empty(),
            "nothing fails here"
        );
    }

    fn append(&mut self, running: &mut Running, partition: usize) {
        let model = &mut self.models[partition];
        model.epoch_used = true;
        let count = 1 + self.seeded.below(12);
        let mut payloads = Vec::new();
        for index in 0..count {
            self.stamp += 1;
            let payload = payload(self.stamp, self.seeded.below(3_000) as usize);
            model.records.insert(
                running.writers[partition].next_offset() + index,
                payload.clone(),
            );
            payloads.push(payload);
        }
        let last = append(&mut running.writers[partition], self.now, &payloads);
        if self.acknowledge == Acknowledge::WhenAppended {
            model.acknowledged = last;
        }
    }

    fn checkpoint(&mut self, running: &mut Running, partition: usize) {
        let begin = running.writers[partition].next_offset();
        self.append(running, partition);
        let writer = &mut running.writers[partition];
        let end = writer.appended();
        writer.set_checkpoint(begin, end);
        running.janitor.work(self.now);
        let begin = running.writers[partition].checkpoint();
        self.models[partition].checkpoint = begin.map(|begin| (begin, end));
    }

    /// Rarely: cuts the newest records off, as a follower of a replicated log has to.
    fn truncate(&mut self, running: &mut Running, partition: usize) {
        let model = &mut self.models[partition];
        let writer = &mut running.writers[partition];
        let newest_needed = model.checkpoint.map_or(0, |(_, end)| end);
        let (first, last) = (newest_needed.max(1), writer.appended());
        let held = running.log.reader(writer.partition()).first_offset();
        if self.seeded.below(3) > 0 || last < first.max(held) + 2 {
            return;
        }
        let offset = last - self.seeded.below((last - first.max(held)).min(20));
        if offset >= last {
            return;
        }
        writer.truncate_after(self.now, offset).expect("truncate");
        model.records.retain(|held, _| *held <= offset);
        model.acknowledged = offset;
        model.epoch = writer.epoch();
        model.epoch_used = true;
        running.durable[partition].store(offset, Ordering::SeqCst);
    }

    fn run(&mut self) -> Result<(), String> {
        let rounds = 1 + self.seeded.below(3);
        for _ in 0..rounds {
            let mut running = self.start()?;
            for _ in 0..self.seeded.below(40) {
                self.step(&mut running);
            }
            match self.seeded.below(4) {
                0 => {
                    let Running {
                        log,
                        writers,
                        janitor,
                        ..
                    } = running;
                    drop((writers, janitor));
                    log.close().map_err(|error| format!("close: {error}"))?;
                    for model in &mut self.models {
                        model.acknowledged = model
                            .records
                            .last_key_value()
                            .map_or(0, |(offset, _)| *offset);
                    }
                    // After a clean stop nothing depends on luck.
                    if self.seeded.below(2) == 0 {
                        self.storage = self.storage.crash(self.seeded.next());
                    }
                }
                1 => self.storage = self.storage.kill(),
                _ => self.storage = self.storage.crash(self.seeded.next()),
            }
        }
        self.start().map(|_| ())
    }
}

fn violations(
    seeds: std::ops::Range<u64>,
    mode: SyncMode,
    acknowledge: Acknowledge,
) -> Vec<String> {
    let run = |seed| {
        World::new(seed, mode, acknowledge)
            .run()
            .err()
            .map(|e| format!("seed {seed}: {e}"))
    };
    seeds.filter_map(run).collect()
}

#[test]
fn durable_acknowledgements_survive_every_crash() {
    let found = violations(0..1_500, SyncMode::Honest, Acknowledge::WhenDurable);
    assert!(
        found.is_empty(),
        "{} violations: {:#?}",
        found.len(),
        &found[..found.len().min(5)]
    );
}

#[test]
fn the_test_finds_syncs_that_do_nothing() {
    let found = violations(0..100, SyncMode::Lie, Acknowledge::WhenDurable);
    assert!(found.len() > 10, "only {} violations found", found.len());
}

#[test]
fn the_test_finds_acknowledgements_that_come_too_early() {
    let found = violations(0..100, SyncMode::Honest, Acknowledge::WhenAppended);
    assert!(found.len() > 10, "only {} violations found", found.len());
}
