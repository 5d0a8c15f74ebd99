//! The partitions that a shard writes.
//!
//! Splits what a pass appends into batches that the log takes, keeps what would have to wait for the
//! disk until it need not, and promises that the log did not take until it does, counts bytes and
//! time towards the next checkpoint, and notices when a durable mark moved.

use skein_engine::ids::PartitionId;
use skein_engine::journal::kind;
use skein_engine::record::OwnedRecord;
use skein_engine::time::Timestamp;
use skein_log::{Record, Writer};

/// Bytes appended to a partition after which its owner writes a new checkpoint: what a restart
/// has to replay at least, beside the checkpoint itself.
pub const CHECKPOINT_EVERY_BYTES: u64 = 8 * 1024 * 1024;

/// Longest time that a change waits for a checkpoint, milliseconds, where the log has a retention: what
/// lies before a checkpoint is what retention can drop.
const CHECKPOINT_AGE_MS_MAX: u64 = 3_600_000;

/// Shortest such time, milliseconds.
const CHECKPOINT_AGE_MS_MIN: u64 = 1_000;

/// Of a retention of the log, so much may pass before a quiet partition gets a checkpoint: a quarter, or
/// retention would keep much longer than it says. `None`: everything is kept, so nothing waits for it.
pub fn checkpoint_age_ms(retention_age_ms: u64) -> Option<u64> {
    let quarter = (retention_age_ms / 4).clamp(CHECKPOINT_AGE_MS_MIN, CHECKPOINT_AGE_MS_MAX);
    (retention_age_ms > 0).then_some(quarter)
}

/// Shortest time between two checkpoints that are written because records were lost, milliseconds: a
/// disk that fails again and again is not to get the whole state each time.
const CHECKPOINT_AFTER_LOSS_MS: u64 = 5_000;

/// A checkpoint of many sessions is large: this many times its size of other records is appended
/// before the next one, so that checkpoints stay a small part of what is written.
const CHECKPOINT_SIZES_BETWEEN: u64 = 3;

/// Records of one log batch. Bounds the time that a follower spends in one step.
const RECORDS_PER_BATCH_MAX: usize = 4096;

/// Records that are kept of a partition while the log takes none. Promises are few, and what waits
/// for a file waits for some milliseconds; beyond this promises are lost to live viewers until the
/// next start, which reconciles them.
const RECORDS_KEPT_MAX: usize = 65_536;

/// Bytes that the log puts before the records of a batch.
const LOG_BATCH_HEADER_BYTES: usize = 40;

/// No place.
const NOBODY: u16 = u16::MAX;

/// What became of records that were to be appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// In the log.
    pub appended: u64,
    /// Kept, to be offered again.
    pub kept: u64,
    /// Given up: points and heartbeats, which the next ones heal.
    pub dropped: u64,
}

impl Taken {
    fn add(&mut self, other: Taken) {
        self.appended += other.appended;
        self.kept += other.kept;
        self.dropped += other.dropped;
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Appended,
    /// The log has refused it, and said why.
    Refused,
    /// The log would have waited for the disk: it prepares what is missing.
    Waits,
}

#[derive(Debug)]
struct Owned {
    partition: PartitionId,
    writer: Writer,
    /// What the engine was last told to be durable.
    durable_told: u64,
    /// What the log did not take yet, oldest first.
    kept: Vec<OwnedRecord>,
    /// The first of them would have waited for the disk when it was last offered.
    waits: bool,
    /// An append may wait for the disk.
    may_wait: bool,
    checkpoint: CheckpointPace,
    lost: u64,
}

/// When the next checkpoint is due. What a checkpoint appends counts for its size only: one that is
/// larger than the distance to the next would call for it, and that one again, for ever.
#[derive(Clone, Copy, Debug)]
struct CheckpointPace {
    every_bytes_min: u64,
    /// Bytes of other records since the last one began.
    since: u64,
    /// When the first of what no checkpoint by age covers was appended.
    oldest_at: Option<Timestamp>,
    /// Bytes of the last whole one.
    size: u64,
    /// Bytes so far of the one being written.
    growing: u64,
    /// No sooner is one written because records were lost.
    after_loss_at: Timestamp,
}

impl CheckpointPace {
    fn new(every_bytes_min: u64) -> Self {
        Self {
            every_bytes_min,
            since: 0,
            oldest_at: None,
            size: 0,
            growing: 0,
            after_loss_at: Timestamp(0),
        }
    }

    fn appended(&mut self, now: Timestamp, record: &OwnedRecord) {
        let bytes = Writer::record_bytes(record.payload.as_slice().len()) as u64;
        match record.kind {
            kind::CHECKPOINT_BEGIN => self.growing = bytes,
            kind::CHECKPOINT_CHAT | kind::CHECKPOINT_ROW | kind::CHECKPOINT_MEMBER => {
                self.growing += bytes;
            }
            kind::CHECKPOINT_END => self.size = self.growing + bytes,
            _ => {
                self.since += bytes;
                self.oldest_at.get_or_insert(now);
            }
        }
    }

    fn is_aged(&self, now: Timestamp, age_ms: u64) -> bool {
        self.oldest_at
            .is_some_and(|oldest| now.since_ms(oldest) >= age_ms)
    }

    fn is_due(&self) -> bool {
        let every = self
            .every_bytes_min
            .max(self.size * CHECKPOINT_SIZES_BETWEEN);
        self.since >= every
    }
}

impl Owned {
    fn offer(&mut self, now: Timestamp, records: &[OwnedRecord]) -> Taken {
        let mut taken = Taken::default();
        let mut rest = records;
        while !rest.is_empty() {
            let count = batch_len(rest, self.writer.batch_bytes_max());
            let (batch, after) = rest.split_at(count);
            match self.append_batch(now, batch) {
                Outcome::Appended => taken.appended += count as u64,
                Outcome::Refused => self.keep_promises(batch, &mut taken),
                Outcome::Waits => {
                    // Nothing may overtake it.
                    self.waits = true;
                    self.keep(rest, &mut taken);
                    break;
                }
            }
            rest = after;
        }
        taken
    }

    fn append_batch(&mut self, now: Timestamp, records: &[OwnedRecord]) -> Outcome {
        let batch = records.iter().map(record);
        if !self.may_wait && !self.writer.is_ready_for_from(now.0, batch.clone()) {
            return Outcome::Waits;
        }
        match self.writer.append_from(now.0, batch) {
            Ok(_) => {
                for record in records {
                    self.checkpoint.appended(now, record);
                }
                Outcome::Appended
            }
            Err(error) => {
                let (partition, records) = (self.partition.0, records.len());
                tracing::error!(partition, records, %error, "records could not be appended");
                Outcome::Refused
            }
        }
    }

    /// Keeps what no later record makes up for.
    fn keep_promises(&mut self, records: &[OwnedRecord], taken: &mut Taken) {
        for record in records {
            if is_movement(record) {
                taken.dropped += 1;
                self.lost += 1;
            } else {
                self.keep(std::slice::from_ref(record), taken);
            }
        }
    }

    fn keep(&mut self, records: &[OwnedRecord], taken: &mut Taken) {
        let room = RECORDS_KEPT_MAX.saturating_sub(self.kept.len());
        let (kept, dropped) = records.split_at(room.min(records.len()));
        self.kept.extend_from_slice(kept);
        taken.kept += kept.len() as u64;
        taken.dropped += dropped.len() as u64;
        self.lost += dropped.len() as u64;
    }

    /// Offers what was kept again, in its order, before anything newer.
    fn offer_kept(&mut self, now: Timestamp) -> Taken {
        self.waits = false;
        let kept = std::mem::take(&mut self.kept);
        self.offer(now, &kept)
    }
}

/// Whether the next record of its session makes up for the loss of this one.
fn is_movement(record: &OwnedRecord) -> bool {
    matches!(
        record.kind,
        kind::POINT | kind::HISTORICAL_POINT | kind::HEARTBEAT
    )
}

/// How many of the records in front make a batch that the log takes.
fn batch_len(records: &[OwnedRecord], bytes_max: usize) -> usize {
    let mut bytes = LOG_BATCH_HEADER_BYTES;
    let fits = records
        .iter()
        .take(RECORDS_PER_BATCH_MAX)
        .take_while(|record| {
            bytes += Writer::record_bytes(record.payload.as_slice().len());
            bytes <= bytes_max
        });
    // One record always goes: if it is too large, the log says so.
    fits.count().max(1)
}

fn record(owned: &OwnedRecord) -> Record<'_> {
    Record {
        kind: owned.kind,
        flags: owned.flags,
        key: owned.key,
        extension: owned.extension,
        payload: owned.payload.as_slice(),
    }
}

/// The writers of the partitions that one shard owns.
#[derive(Debug)]
pub struct LogWriters {
    owned: Vec<Owned>,
    /// Places in `owned`, by partition: to look for one among dozens costs more than what is done with it.
    places: Vec<u16>,
}

impl LogWriters {
    /// Takes over the writers of this shard's partitions. Unless appends may wait for the disk, the
    /// log's janitor has to run in threads of its own.
    pub fn new(
        writers: Vec<(PartitionId, Writer)>,
        checkpoint_every_bytes: u64,
        may_wait: bool,
    ) -> Self {
        let owned = writers.into_iter().map(|(partition, writer)| Owned {
            partition,
            durable_told: writer.durable(),
            writer,
            kept: Vec::new(),
            waits: false,
            may_wait,
            checkpoint: CheckpointPace::new(checkpoint_every_bytes),
            lost: 0,
        });
        let owned: Vec<Owned> = owned.collect();
        let mut places = Vec::new();
        for (place, one) in owned.iter().enumerate() {
            let partition = usize::from(one.partition.0);
            places.resize(places.len().max(partition + 1), NOBODY);
            places[partition] = place as u16;
        }
        Self { owned, places }
    }

    /// Appends records that are grouped by key.
    ///
    /// # Panics
    /// When the partition is not one of this shard's: the engine's bug.
    pub fn append(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        records: &[OwnedRecord],
    ) -> Taken {
        let owned = self.get_mut(partition);
        let mut taken = owned.offer_kept(now);
        if owned.waits {
            owned.keep(records, &mut taken);
        } else {
            taken.add(owned.offer(now, records));
        }
        taken
    }

    /// Offers again what waits for the log to prepare something. `told` hears what became of it.
    pub fn offer_waiting(&mut self, now: Timestamp, mut told: impl FnMut(PartitionId, Taken)) {
        for owned in self.owned.iter_mut().filter(|owned| owned.waits) {
            told(owned.partition, owned.offer_kept(now));
        }
    }

    /// Whether something waits for the log to prepare it.
    pub fn has_waiting(&self) -> bool {
        self.owned.iter().any(|owned| owned.waits)
    }

    /// Offers again what the log did not take, and lets it close segments that are old enough. `told`
    /// hears what became of what was offered.
    pub fn upkeep(&mut self, now: Timestamp, mut told: impl FnMut(PartitionId, Taken)) {
        for owned in &mut self.owned {
            told(owned.partition, owned.offer_kept(now));
            owned.writer.poll(now.0);
        }
    }

    /// Whether the log is to be offered something again.
    pub fn has_kept(&self) -> bool {
        self.owned.iter().any(|owned| !owned.kept.is_empty())
    }

    /// Asks for a sync of one partition soon.
    pub fn request_sync(&self, partition: PartitionId) {
        if let Some(place) = self.place(partition) {
            self.owned[place].writer.request_sync();
        }
    }

    /// Takes what a restart had to replay for appended: it counts towards the next checkpoint, of
    /// which the last one, `checkpoint_bytes`, is no part. Or every restart would make the next longer.
    pub fn note_replayed(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        bytes: u64,
        checkpoint_bytes: u64,
    ) {
        let pace = &mut self.get_mut(partition).checkpoint;
        pace.oldest_at = (bytes > 0).then_some(now);
        pace.since += bytes;
        pace.size = checkpoint_bytes;
    }

    /// Begins the checkpoints of partitions of which a restart would have to replay more than
    /// `bytes` beside their last one. `begin` says whether it did.
    pub fn begin_checkpoints_beyond(
        &mut self,
        bytes: u64,
        mut begin: impl FnMut(PartitionId) -> bool,
    ) {
        for owned in &mut self.owned {
            if owned.checkpoint.since > bytes && begin(owned.partition) {
                owned.checkpoint.since = 0;
            }
        }
    }

    /// Begins the checkpoint of a partition if it is due. `begin` says whether it did.
    pub fn begin_checkpoint_due(
        &mut self,
        partition: PartitionId,
        begin: impl FnOnce(PartitionId) -> bool,
    ) {
        let pace = &mut self.get_mut(partition).checkpoint;
        if pace.is_due() && begin(partition) {
            pace.since = 0;
        }
    }

    /// Begins checkpoints of partitions in which something has waited so long for one, each behind a
    /// closed segment, so that all before it can be dropped in its time. `begin` says, where it did,
    /// whether the checkpoint holds something that will be forgotten: then there is another one later.
    pub fn begin_checkpoints_aged(
        &mut self,
        now: Timestamp,
        age_ms: u64,
        mut begin: impl FnMut(PartitionId) -> Option<bool>,
    ) {
        for owned in &mut self.owned {
            if !owned.checkpoint.is_aged(now, age_ms) {
                continue;
            }
            if let Some(again) = begin(owned.partition) {
                owned.writer.close_segment();
                owned.writer.request_sync();
                owned.checkpoint.since = 0;
                owned.checkpoint.oldest_at = again.then_some(now);
            }
        }
    }

    /// Begins checkpoints of partitions of which the disk has lost something that is in no checkpoint:
    /// what was quiet since would be lost with the next crash. `begin` says whether it did.
    pub fn begin_checkpoints_after_losses(
        &mut self,
        now: Timestamp,
        mut begin: impl FnMut(PartitionId) -> bool,
    ) {
        for owned in &mut self.owned {
            let pace = &mut owned.checkpoint;
            let is_time = now >= pace.after_loss_at;
            if is_time && owned.writer.wants_checkpoint() && begin(owned.partition) {
                pace.since = 0;
                pace.after_loss_at = Timestamp(now.0 + CHECKPOINT_AFTER_LOSS_MS);
            }
        }
    }

    /// Whether a partition has lost something that is in no checkpoint yet.
    pub fn has_losses(&self) -> bool {
        let mut writers = self.owned.iter().map(|owned| &owned.writer);
        writers.any(|writer| writer.degraded() || writer.wants_checkpoint())
    }

    /// Closes the segment of one partition and asks for its sync.
    pub fn close_segment(&mut self, partition: PartitionId) {
        let owned = self.get_mut(partition);
        owned.writer.close_segment();
        owned.writer.request_sync();
    }

    /// Notes that a checkpoint begins that was not due.
    pub fn note_checkpoint(&mut self, partition: PartitionId) {
        self.get_mut(partition).checkpoint.since = 0;
    }

    /// Notes that a whole checkpoint lies at these offsets.
    pub fn set_checkpoint(&mut self, partition: PartitionId, begin: u64, end: u64) {
        self.get_mut(partition).writer.set_checkpoint(begin, end);
    }

    /// The partitions whose durable mark has moved since the last call.
    pub fn durable_moved(&mut self) -> impl Iterator<Item = (PartitionId, &Writer)> {
        self.owned.iter_mut().filter_map(|owned| {
            let durable = owned.writer.durable();
            let moved = durable > owned.durable_told;
            owned.durable_told = durable;
            moved.then_some((owned.partition, &owned.writer))
        })
    }

    /// The partitions of which nothing becomes durable for now, and from which offset on.
    pub fn lost_from(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        let all = self.owned.iter();
        all.filter_map(|owned| Some((owned.partition, owned.writer.lost_from()?)))
    }

    /// The same of one partition.
    pub fn lost_from_in(&self, partition: PartitionId) -> Option<u64> {
        self.owned[self.place(partition)?].writer.lost_from()
    }

    /// Records that no partition would take, since the start.
    pub fn lost(&self) -> u64 {
        self.owned.iter().map(|owned| owned.lost).sum()
    }

    /// Whether any partition runs in memory, because the disk is full or has failed.
    pub fn degraded(&self) -> bool {
        self.owned.iter().any(|owned| owned.writer.degraded())
    }

    fn get_mut(&mut self, partition: PartitionId) -> &mut Owned {
        let place = self.place(partition);
        let place =
            place.unwrap_or_else(|| panic!("partition {partition} belongs to another shard"));
        &mut self.owned[place]
    }

    fn place(&self, partition: PartitionId) -> Option<usize> {
        let place = self.places.get(usize::from(partition.0));
        place
            .filter(|place| **place != NOBODY)
            .map(|place| usize::from(*place))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use skein_engine::record::RecordPayload;
    use skein_log::{JanitorThread, Log, MemoryStorage, Operation, Options};

    use super::*;

    fn writers(storage: &std::sync::Arc<MemoryStorage>) -> (Log, LogWriters) {
        let options = Options {
            partitions: 1,
            ..Options::default()
        };
        let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("a fresh log");
        let writer = log.take_writer(skein_log::PartitionId(0)).expect("once");
        (
            log,
            LogWriters::new(vec![(PartitionId(0), writer)], 1_000, false),
        )
    }

    fn record_of(kind: u8) -> OwnedRecord {
        let mut payload = RecordPayload::new();
        payload.push(&[7; 32]);
        OwnedRecord {
            kind,
            flags: 0,
            key: 1,
            extension: 2,
            payload,
        }
    }

    #[test]
    fn a_promise_that_the_log_did_not_take_is_offered_again_before_anything_newer() {
        let storage = MemoryStorage::new();
        let (log, mut writers) = writers(&storage);
        // The first append must make the epoch durable, which fails.
        storage.fail_call(Operation::Write, 0);
        storage.fail_call(Operation::Write, 1);
        let records = [record_of(kind::POINT), record_of(kind::ENDED)];
        let taken = writers.append(Timestamp(1), PartitionId(0), &records);
        assert_eq!(
            taken,
            Taken {
                appended: 0,
                kept: 1,
                dropped: 1
            }
        );
        assert!(writers.has_kept());
        writers.append(Timestamp(2), PartitionId(0), &[record_of(kind::STARTED)]);
        assert!(!writers.has_kept());
        let mut reader = log.reader(skein_log::PartitionId(0));
        let mut kinds = Vec::new();
        while let Some(batch) = reader.next_batch().expect("readable") {
            kinds.extend(batch.records().map(|(_, record)| record.kind));
        }
        assert_eq!(kinds, [kind::ENDED, kind::STARTED]);
    }

    #[test]
    fn a_change_waits_for_a_checkpoint_so_long_and_a_quiet_partition_has_none() {
        let storage = MemoryStorage::new();
        let (_log, mut writers) = writers(&storage);
        let due = |writers: &mut LogWriters, now, again| {
            let mut begun = false;
            writers.begin_checkpoints_aged(Timestamp(now), 100, |_| {
                begun = true;
                Some(again)
            });
            begun
        };
        assert!(!due(&mut writers, 1_000, false), "nothing is there");
        writers.append(Timestamp(1_000), PartitionId(0), &[record_of(kind::POINT)]);
        writers.append(Timestamp(1_090), PartitionId(0), &[record_of(kind::POINT)]);
        assert!(!due(&mut writers, 1_099, false));
        assert!(due(&mut writers, 1_100, true), "the first of them counts");
        writers.append(
            Timestamp(1_101),
            PartitionId(0),
            &[record_of(kind::CHECKPOINT_ROW)],
        );
        assert!(!due(&mut writers, 1_199, false));
        assert!(
            due(&mut writers, 1_200, false),
            "it held something that goes"
        );
        assert!(
            !due(&mut writers, 9_999, false),
            "a checkpoint calls for none"
        );
        assert_eq!(checkpoint_age_ms(0), None);
        assert_eq!(checkpoint_age_ms(2_000), Some(1_000));
        assert_eq!(checkpoint_age_ms(86_400_000), Some(3_600_000));
    }

    #[test]
    fn what_would_wait_for_the_disk_is_kept_whole_and_in_order() {
        let storage = MemoryStorage::new();
        let (mut log, mut writers) = writers(&storage);
        let (told, ready) = std::sync::mpsc::channel();
        log.on_ready(Box::new(move |_| told.send(()).unwrap_or_default()));
        let janitor = log.take_janitor().expect("once");
        let janitor = JanitorThread::spawn(janitor, || 0, |_| {}).expect("threads");
        // The first append must make the epoch durable: not here.
        let first = [record_of(kind::STARTED), record_of(kind::POINT)];
        let taken = writers.append(Timestamp(1), PartitionId(0), &first);
        assert_eq!((taken.appended, taken.kept, taken.dropped), (0, 2, 0));
        assert!(writers.has_waiting());
        let mut appended = 0;
        while writers.has_waiting() {
            let told = ready.recv_timeout(Duration::from_secs(20));
            told.expect("told that something is there");
            writers.offer_waiting(Timestamp(2), |_, taken| appended += taken.appended);
        }
        assert_eq!(appended, 2);
        let taken = writers.append(Timestamp(3), PartitionId(0), &[record_of(kind::ENDED)]);
        assert_eq!(taken.appended, 1);
        let mut reader = log.reader(skein_log::PartitionId(0));
        let mut kinds = Vec::new();
        while let Some(batch) = reader.next_batch().expect("readable") {
            kinds.extend(batch.records().map(|(_, record)| record.kind));
        }
        assert_eq!(kinds, [kind::STARTED, kind::POINT, kind::ENDED]);
        drop(janitor.stop());
    }

    #[test]
    fn a_checkpoint_calls_for_the_next_one_by_what_came_after_it_only() {
        let bytes = Writer::record_bytes(32) as u64;
        let mut pace = CheckpointPace::new(10 * bytes);
        let append = |pace: &mut CheckpointPace, kind, times| {
            for _ in 0..times {
                pace.appended(Timestamp(1), &record_of(kind));
            }
            pace.is_due()
        };
        assert!(!append(&mut pace, kind::POINT, 9));
        assert!(append(&mut pace, kind::POINT, 1));
        pace.since = 0;
        // Larger than the least distance, and no reason for another one.
        assert!(!append(&mut pace, kind::CHECKPOINT_BEGIN, 1));
        assert!(!append(&mut pace, kind::CHECKPOINT_ROW, 18));
        assert!(!append(&mut pace, kind::CHECKPOINT_END, 1));
        // A large one waits longer for the next.
        assert!(!append(&mut pace, kind::POINT, 59));
        assert!(append(&mut pace, kind::POINT, 1));
    }
}
