//! The partitions that a shard writes.
//!
//! Splits what a pass appends into batches that the log takes, counts bytes towards the next
//! checkpoint, and notices when a durable mark has moved.

use skein_engine::ids::PartitionId;
use skein_engine::record::OwnedRecord;
use skein_engine::time::Timestamp;
use skein_log::{Record, Writer};

/// Bytes appended to a partition after which its owner writes a new checkpoint: what a restart
/// has to replay at most, beside the checkpoint itself.
pub const CHECKPOINT_EVERY_BYTES: u64 = 8 * 1024 * 1024;

/// Records of one log batch. Bounds the time that a follower spends in one step.
const RECORDS_PER_BATCH_MAX: usize = 4096;

/// Bytes that the log puts before the records of a batch.
const LOG_BATCH_HEADER_BYTES: usize = 40;

#[derive(Debug)]
struct Owned {
    partition: PartitionId,
    writer: Writer,
    /// What the engine was last told to be durable.
    durable_told: u64,
    bytes_since_checkpoint: u64,
    checkpoint_every_bytes: u64,
    checkpoint_due: bool,
    lost: u64,
}

impl Owned {
    fn append_batch(&mut self, now: Timestamp, records: &[OwnedRecord]) -> u64 {
        let batch: Vec<Record<'_>> = records.iter().map(record).collect();
        match self.writer.append(now.0, &batch) {
            Ok(_) => {
                let bytes = records
                    .iter()
                    .map(|r| Writer::record_bytes(r.payload.as_slice().len()));
                self.bytes_since_checkpoint += bytes.sum::<usize>() as u64;
                records.len() as u64
            }
            Err(error) => {
                // Points heal with the next fix; promises are in the control log, and the next
                // start reconciles the partition with it.
                self.lost += records.len() as u64;
                let (partition, records) = (self.partition.0, records.len());
                tracing::error!(partition, records, %error, "records could not be appended");
                0
            }
        }
    }
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
}

impl LogWriters {
    /// Takes over the writers of this shard's partitions.
    pub fn new(writers: Vec<(PartitionId, Writer)>, checkpoint_every_bytes: u64) -> Self {
        let owned = writers.into_iter().map(|(partition, writer)| Owned {
            partition,
            durable_told: writer.durable(),
            writer,
            bytes_since_checkpoint: 0,
            checkpoint_every_bytes,
            checkpoint_due: false,
            lost: 0,
        });
        Self {
            owned: owned.collect(),
        }
    }

    /// Appends records that are grouped by key. Returns how many the log took.
    ///
    /// # Panics
    /// When the partition is not one of this shard's: the engine's bug.
    pub fn append(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        records: &[OwnedRecord],
    ) -> u64 {
        let owned = self.get_mut(partition);
        let (mut rest, mut appended) = (records, 0);
        while !rest.is_empty() {
            let count = batch_len(rest, owned.writer.batch_bytes_max());
            let (batch, after) = rest.split_at(count);
            appended += owned.append_batch(now, batch);
            rest = after;
        }
        owned.checkpoint_due |= owned.bytes_since_checkpoint >= owned.checkpoint_every_bytes;
        appended
    }

    /// Asks for a sync of one partition soon.
    pub fn request_sync(&self, partition: PartitionId) {
        if let Some(owned) = self.owned.iter().find(|owned| owned.partition == partition) {
            owned.writer.request_sync();
        }
    }

    /// Notes that a whole checkpoint lies at these offsets.
    pub fn set_checkpoint(&mut self, partition: PartitionId, begin: u64, end: u64) {
        self.get_mut(partition).writer.set_checkpoint(begin, end);
    }

    /// The partitions whose next checkpoint is due, each once.
    pub fn checkpoints_due(&mut self) -> impl Iterator<Item = PartitionId> {
        self.owned
            .iter_mut()
            .filter(|owned| owned.checkpoint_due)
            .map(|owned| {
                owned.checkpoint_due = false;
                owned.bytes_since_checkpoint = 0;
                owned.partition
            })
    }

    /// The partitions whose durable mark has moved since the last call, with the mark.
    pub fn durable_moved(&mut self) -> impl Iterator<Item = (PartitionId, u64)> {
        self.owned.iter_mut().filter_map(|owned| {
            let durable = owned.writer.durable();
            (durable > owned.durable_told).then(|| {
                owned.durable_told = durable;
                (owned.partition, durable)
            })
        })
    }

    /// Gives the writers back, to close the log.
    pub fn into_writers(self) -> impl Iterator<Item = (PartitionId, Writer)> {
        self.owned
            .into_iter()
            .map(|owned| (owned.partition, owned.writer))
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
        self.owned
            .iter_mut()
            .find(|owned| owned.partition == partition)
            .unwrap_or_else(|| panic!("partition {partition} belongs to another shard"))
    }
}
