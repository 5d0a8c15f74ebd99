//! The hand-overs between the threads of an open log, run by the model checker in every order that the
//! memory model allows: `watermark` has those of single numbers.
//!
//! Here it is the code itself, with a storage in memory: the reader that waits, what is known of lost
//! records, the writer that asks before it appends. What only one thread uses is as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loom::model::Builder;
use loom::thread;

use crate::directory::{Opened, open};
use crate::janitor::part::Part;
use crate::janitor::preparer::Preparer;
use crate::janitor::syncer::Syncer;
use crate::options::Options;
use crate::partition::{Durability, LostRange};
use crate::position::PartitionId;
use crate::reader::Reader;
use crate::record::Record;
use crate::shared::Shared;
use crate::storage_memory::MemoryStorage;
use crate::work_report::WorkReport;
use crate::writer::Writer;

/// For ever; a model knows no time.
const LONG: Duration = Duration::from_secs(3_600);

/// Where one thread may be interrupted by another in one run: three places find what two threads do
/// to each other, and keep the number of runs bounded.
const PREEMPTIONS: usize = 3;

/// Steps of one run, at most.
const STEPS_MAX: usize = 20_000;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = STEPS_MAX;
    builder.check(run);
}

struct Ours {
    shared: Arc<Shared>,
    writer: Writer,
}

impl Ours {
    fn open() -> Ours {
        let options = Options {
            partitions: 1,
            segment_bytes_min: 64 << 10,
            segment_bytes_max: 256 << 10,
            disk_reserve_bytes: 0,
            ..Options::default()
        };
        let opened = open(MemoryStorage::new(), options, 0, 1).expect("open");
        let Opened { shared, starts, .. } = opened;
        let start = starts[0].clone();
        let writer = Writer::new(
            Arc::clone(&shared),
            Arc::clone(&shared.partitions[0]),
            start.epochs,
            start.tail_unsynced,
        );
        Ours { shared, writer }
    }

    fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared.partitions[0]))
    }

    /// As with the janitor's threads: a writer that asks is told. Counts how often.
    fn count_told(&self) -> Arc<AtomicU64> {
        self.shared.janitor_runs.store(true, Ordering::Release);
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let listener = move |_: PartitionId| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        self.shared.add_ready_listener(Box::new(listener));
        told
    }
}

fn append(writer: &mut Writer) {
    writer.append(0, &[Record::default()]).expect("append");
}

#[test]
fn loom_who_waits_for_a_record_is_woken() {
    model(|| {
        let mut ours = Ours::open();
        let reader = ours.reader();
        let writer = thread::spawn(move || append(&mut ours.writer));
        assert!(reader.wait(LONG));
        writer.join().unwrap();
    });
}

#[test]
fn loom_who_waits_is_woken_by_a_truncation() {
    model(|| {
        let mut ours = Ours::open();
        append(&mut ours.writer);
        append(&mut ours.writer);
        let mut reader = ours.reader();
        while reader.next_batch().expect("valid").is_some() {}
        let cut = move || ours.writer.truncate_after(0, 1).expect("truncate");
        let writer = thread::spawn(cut);
        assert!(reader.wait(LONG), "there is something to say");
        writer.join().unwrap();
    });
}

/// The first record is lost, and the mark passes it: nobody may take it for durable, ever.
#[test]
fn loom_who_sees_the_mark_sees_the_loss() {
    model(|| {
        let ours = Ours::open();
        let reader = ours.reader();
        let syncer = thread::spawn(move || {
            // In the order in which a sync tells them.
            let partition = &ours.shared.partitions[0];
            partition.note_lost(LostRange { from: 1, end: 2 });
            partition.publish_durable(2);
        });
        assert_ne!(reader.durability(1), Durability::Durable, "it is lost");
        assert_ne!(reader.durability(2), Durability::Lost, "it is not");
        syncer.join().unwrap();
        assert_eq!(reader.durability(1), Durability::Lost);
        assert_eq!(reader.durability(2), Durability::Durable);
    });
}

/// A part of the janitor takes a step for some reason of its own while the writer asks, and the one
/// for which the writer has woken it afterwards. Then the writer is ready, or has been told to ask
/// again.
fn is_told(prepare: fn(&mut Ours), part: fn(&Arc<Shared>) -> Box<dyn Part + Send>) {
    model(move || {
        let mut ours = Ours::open();
        let told = ours.count_told();
        prepare(&mut ours);
        let mut part = part(&ours.shared);
        let worker = thread::spawn(move || {
            part.step(0, &mut WorkReport::default());
            part
        });
        let is_ready = ours.writer.is_ready_for(0, &[Record::default()]);
        let mut part = worker.join().unwrap();
        part.step(0, &mut WorkReport::default());
        assert!(
            is_ready || told.load(Ordering::SeqCst) > 0,
            "nobody tells it"
        );
    });
}

#[test]
fn loom_a_writer_that_waits_for_its_epoch_is_told() {
    let prepare = |ours: &mut Ours| {
        // So that only the epoch is missing.
        let spare = ours.shared.create_spare(64 << 10).expect("memory");
        ours.shared.put_spare(spare);
    };
    is_told(prepare, |shared| Box::new(Syncer::new(Arc::clone(shared))));
}

#[test]
fn loom_a_writer_that_waits_for_a_file_is_told() {
    let prepare = |ours: &mut Ours| {
        // So that only a file is missing.
        append(&mut ours.writer);
        ours.writer.close_segment();
    };
    is_told(prepare, |shared| {
        Box::new(Preparer::new(Arc::clone(shared), Arc::default()))
    });
}
