//! Random operations against the plainest model of a log there is: a `Vec`.

mod common;

use std::sync::Arc;

use common::{append, drain, options, payload};
use proptest::prelude::*;
use skein_log::{Log, MemoryStorage, PartitionId, Writer};

const P: PartitionId = PartitionId(0);

#[derive(Clone, Debug)]
enum Step {
    Append {
        records: usize,
        bytes: usize,
        later_ms: u64,
    },
    ReadFrom(usize),
    ReadSince(u64),
    Sync,
    Poll {
        later_ms: u64,
    },
    Truncate(usize),
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..40, 0_usize..4_000, 0_u64..500).prop_map(|(records, bytes, later_ms)| {
            Step::Append { records, bytes, later_ms }
        }),
        1 => (1_usize..3, 60_000_usize..65_000, 0_u64..500).prop_map(|(records, bytes, later_ms)| {
            Step::Append { records: records.min(1), bytes, later_ms }
        }),
        3 => (0_usize..2_000).prop_map(Step::ReadFrom),
        2 => (0_u64..20_000).prop_map(Step::ReadSince),
        1 => Just(Step::Sync),
        1 => (0_u64..3_000).prop_map(|later_ms| Step::Poll { later_ms }),
        1 => (0_usize..60).prop_map(Step::Truncate),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

struct World {
    storage: Arc<MemoryStorage>,
    /// Taken only while the log is opened again.
    running: Option<(Log, Writer)>,
    /// Time and payload of each record, the first has offset 1.
    model: Vec<(u64, Vec<u8>)>,
    now: u64,
    stamp: u64,
}

impl World {
    fn open(&mut self) {
        let (mut log, report) =
            Log::open(self.storage.clone(), options(1), self.now, self.stamp).expect("open");
        assert!(!report.is_corrupt(), "{report}");
        let writer = log.take_writer(P).expect("writer");
        self.running = Some((log, writer));
    }

    fn step(&mut self, step: &Step) {
        let (log, writer) = self.running.as_mut().expect("open");
        match *step {
            Step::Append {
                records,
                bytes,
                later_ms,
            } => {
                self.now += later_ms;
                let payloads: Vec<Vec<u8>> = (0..records)
                    .map(|_| {
                        self.stamp += 1;
                        payload(self.stamp, bytes)
                    })
                    .take_while({
                        let mut left = writer.batch_bytes_max() - 40;
                        move |payload| {
                            let bytes = Writer::record_bytes(payload.len());
                            left = left.saturating_sub(bytes);
                            left > 0
                        }
                    })
                    .collect();
                let last = append(writer, self.now, &payloads);
                self.model
                    .extend(payloads.into_iter().map(|payload| (self.now, payload)));
                assert_eq!(last, self.model.len() as u64);
            }
            Step::ReadFrom(index) => {
                let mut reader = log.reader(P);
                reader.set_verify(true);
                reader.seek(index as u64 + 1);
                let (records, gaps) = drain(&mut reader);
                assert!(gaps.is_empty());
                let expected = self.model.iter().enumerate().skip(index);
                assert!(
                    records
                        .into_iter()
                        .eq(expected.map(|(i, (_, p))| (i as u64 + 1, p.clone())))
                );
            }
            Step::ReadSince(time) => {
                let mut reader = log.reader(P);
                reader.seek_time(time);
                let expected = self.model.iter().take_while(|(at, _)| *at < time).count();
                assert_eq!(
                    reader.position(),
                    expected as u64 + 1,
                    "first record at {time} or later"
                );
            }
            Step::Sync => {
                assert_eq!(
                    writer.sync_now(self.now).expect("sync"),
                    self.model.len() as u64
                );
            }
            Step::Poll { later_ms } => {
                self.now += later_ms;
                writer.poll(self.now + 4_000_000);
            }
            Step::Truncate(back) => {
                if !self.model.is_empty() {
                    let keep = self.model.len() - 1 - back.min(self.model.len() - 1);
                    writer
                        .truncate_after(self.now, keep as u64)
                        .expect("truncate");
                    self.model.truncate(keep);
                }
            }
            Step::Reopen => {
                let (log, writer) = self.running.take().expect("open");
                drop(writer);
                log.close(self.now).expect("close");
                self.open();
            }
            Step::Kill => {
                self.storage = self.storage.kill();
                self.running = None;
                self.open();
            }
        }
        let (log, writer) = self.running.as_ref().expect("open");
        assert_eq!(writer.next_offset(), self.model.len() as u64 + 1);
        assert_eq!(log.reader(P).appended(), self.model.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_log_is_a_vec_that_survives(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World {
            storage: MemoryStorage::new(),
            running: None,
            model: Vec::new(),
            now: 1,
            stamp: 0,
        };
        world.open();
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::ReadFrom(0));
    }
}
