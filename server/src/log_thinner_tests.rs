//! How far the thinner is and what it passes over, on a log in memory.

use std::sync::Arc;

use skein_engine::journal::Entry;
use skein_log::{Janitor, Log, MemoryStorage, Operation, Options, PartitionId, Record, Writer};
use skein_wire::ids::{ChatHandle, Counter, SessionId};
use skein_wire::point::{Fix, Payload, Point, Position};

use crate::config::settings::LogSettings;
use crate::log_thinner::{LOOK_INTERVAL, THINNER_METRICS, Work};
use crate::metrics::{MetricRow, MetricsBoard};

const PARTITION: PartitionId = PartitionId(0);

/// Points of a segment; all come within one interval of thinning, so that one of them stays.
const POINTS: u64 = 10;

/// When they came, and when they are old.
const CAME_MS: u64 = 600_000;
const OLD_MS: u64 = 6_000_000;

/// Places of what is asserted in [`THINNER_METRICS`].
const SEGMENTS: usize = 0;
const RECORDS: usize = 1;
const FAILURES: usize = 3;
const DAMAGED: usize = 4;

struct Stage {
    storage: Arc<MemoryStorage>,
    log: Log,
    writer: Writer,
    janitor: Janitor,
    counts: Arc<MetricRow>,
}

impl Stage {
    /// So many closed segments of points, and a checkpoint behind them.
    fn new(segments: u64) -> Self {
        let storage = MemoryStorage::new();
        let options = Options {
            partitions: 1,
            ..Options::default()
        };
        let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("a log");
        let mut stage = Self {
            storage,
            writer: log.take_writer(PARTITION).expect("taken once"),
            janitor: log.take_janitor().expect("taken once"),
            log,
            counts: MetricsBoard::default().once(THINNER_METRICS),
        };
        for _ in 0..segments {
            stage.segment();
        }
        stage.checkpoint();
        stage
    }

    fn append(&mut self, entry: &Entry) {
        let record = entry.encode(ChatHandle(1));
        let record = Record {
            kind: record.kind,
            flags: record.flags,
            key: record.key,
            extension: record.extension,
            payload: record.payload.as_slice(),
        };
        self.writer.append(CAME_MS, &[record]).expect("appended");
    }

    /// A segment of points, closed and durable.
    fn segment(&mut self) {
        for counter in 1..=POINTS {
            let position = Position {
                lat_e6: 1,
                lon_e6: 2,
            };
            let point = Point {
                counter: Counter(counter),
                captured_at_ms: CAME_MS as i64,
                payload: Payload::Fix(Fix {
                    position,
                    ..Fix::default()
                }),
            };
            let session = SessionId(7);
            self.append(&Entry::Point { session, point });
        }
        self.writer.close_segment();
        self.writer.sync_now().expect("synced");
        self.janitor.work(CAME_MS);
    }

    /// A restart begins behind all that is there.
    fn checkpoint(&mut self) {
        let begin = self.writer.next_offset();
        self.append(&Entry::CheckpointBegin { number: begin });
        self.append(&Entry::CheckpointEnd { number: begin });
        self.writer.set_checkpoint(begin, begin + 1);
        self.writer.sync_now().expect("synced");
        self.janitor.work(CAME_MS);
    }

    /// The thinner of a start.
    fn work(&self, every_ms: u64) -> Work {
        let settings = LogSettings {
            thin_after_ms: 1_000,
            thin_every_ms: every_ms,
            ..LogSettings::default()
        };
        Work::new(&settings, &self.log, Arc::clone(&self.counts)).expect("a consumer")
    }

    fn counts(&self, of: [usize; 2]) -> [u64; 2] {
        of.map(|index| self.counts.get(index))
    }
}

/// Segments that are looked at until there is none.
fn looked_at(work: &mut Work) -> u64 {
    let mut segments = 0;
    while work.step(OLD_MS) != LOOK_INTERVAL {
        segments += 1;
    }
    segments
}

#[test]
fn what_was_looked_at_is_not_looked_at_again_by_the_next_start() {
    let mut stage = Stage::new(3);
    let mut work = stage.work(60_000);
    assert_eq!(looked_at(&mut work), 3);
    // The group of a segment begins anew: each was thinned by itself.
    assert_eq!(stage.counts([SEGMENTS, RECORDS]), [3, 3 * (POINTS - 1)]);
    assert_eq!(looked_at(&mut work), 0);
    drop(work);
    let mut work = stage.work(60_000);
    assert_eq!(looked_at(&mut work), 0, "the place is durable");
    stage.segment();
    stage.checkpoint();
    assert_eq!(looked_at(&mut work), 1, "the new one");
    drop(work);
    let mut work = stage.work(120_000);
    assert_eq!(looked_at(&mut work), 4, "another interval: from the start");
    let consumers = stage.log.consumers().expect("listed");
    assert_eq!(consumers, ["thinner-120000"]);
}

#[test]
fn a_disk_that_refuses_leaves_the_place_where_it_was() {
    let stage = Stage::new(2);
    let mut work = stage.work(60_000);
    stage.storage.fail_call(Operation::Create, 0);
    assert_eq!(looked_at(&mut work), 0);
    assert_eq!(work.consumer.position(PARTITION), 1);
    assert_eq!(looked_at(&mut work), 2, "tried again");
    assert_eq!(stage.counts([FAILURES, SEGMENTS]), [1, 2]);
}

#[test]
fn a_damaged_segment_is_counted_once_and_those_behind_it_are_thinned() {
    let stage = Stage::new(3);
    let middle = format!("p00000-{:020}.seg", POINTS + 1);
    // In the body of its first batch.
    stage.storage.flip_bit(&middle, 4_096 + 60, 1);
    let mut work = stage.work(60_000);
    assert_eq!(looked_at(&mut work), 3);
    assert_eq!(stage.counts([SEGMENTS, RECORDS]), [2, 2 * (POINTS - 1)]);
    assert_eq!(stage.counts([DAMAGED, FAILURES]), [1, 0]);
    assert_eq!(looked_at(&mut work), 0);
    drop(work);
    assert_eq!(looked_at(&mut stage.work(60_000)), 0);
    assert_eq!(stage.counts([DAMAGED, FAILURES]), [0, 0]);
}
