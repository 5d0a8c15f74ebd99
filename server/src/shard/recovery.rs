//! From a log and a control state to a shard that serves.
//!
//! The control log is the truth about promises, the partition their ordered view. The engine is
//! given the chats as the control log knows them, then every record since the newest durable
//! checkpoint, and settles what differs when it is told that this was all.

use skein_engine::control_state::ControlState;
use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::journal::kind;
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::shard::{Shard, ShardConfig};
use skein_engine::time::Timestamp;
use skein_log::{ReadError, Reader, Writer};
use skein_wire::ids::ChatName;

use crate::raw_record::raw;
use crate::shard::core::Core;
use crate::shard::followers::Followers;
use crate::shard::log_writer::LogWriters;

/// What a recovery found, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Records replayed.
    pub records: u64,
    /// Chats restored.
    pub chats: u64,
}

/// What a shard needs to come up.
#[derive(Debug)]
pub struct ShardParts {
    /// The engine's configuration.
    pub config: ShardConfig,
    /// Writers of the partitions that this shard owns.
    pub writers: Vec<(PartitionId, Writer)>,
    /// One reader per partition of the log, in order.
    pub readers: Vec<Reader>,
    /// Bytes after which a partition gets a new checkpoint.
    pub checkpoint_every_bytes: u64,
    /// Longest time that a change waits for one, milliseconds; `None` = for ever.
    pub checkpoint_age_ms: Option<u64>,
    /// Whether an append may wait for the disk. A shard that serves must not; then a janitor has to
    /// run beside it.
    pub may_wait: bool,
}

/// Rebuilds a shard.
///
/// # Errors
/// When a partition that this shard owns cannot be read.
pub fn recover(
    parts: ShardParts,
    control: &ControlState,
    now: Timestamp,
) -> Result<(Core, ReplayReport), ReadError> {
    let ShardParts {
        config,
        writers,
        readers,
        checkpoint_every_bytes,
        checkpoint_age_ms,
        may_wait,
    } = parts;
    let (shard, shards, partitions) = (config.shard, config.shards, config.partitions);
    let mut engine = Shard::new(config, now);
    let mut report = ReplayReport::default();
    for (partition, writer) in &writers {
        let epochs = writer
            .epochs()
            .iter()
            .map(|start| (start.epoch, start.first_offset));
        let epochs: Vec<_> = epochs.collect();
        engine.open_partition(*partition, &epochs, writer.next_offset());
    }
    report.chats = restore_chats(&mut engine, control, shard, shards, partitions);
    let mut followers = Followers::default();
    let mut replayed = Vec::new();
    for (partition, _) in &writers {
        let mut reader = readers[usize::from(partition.0)].clone();
        let of_partition = replay(&mut engine, *partition, &mut reader)?;
        report.records += of_partition.records;
        replayed.push((*partition, of_partition));
        followers.add(*partition, reader);
    }
    engine.finish_recovery(now);
    let mut writers = LogWriters::new(writers, checkpoint_every_bytes, may_wait);
    for (partition, of_partition) in replayed {
        let (bytes, checkpoint_bytes) = (of_partition.bytes, of_partition.checkpoint_bytes);
        writers.note_replayed(now, partition, bytes, checkpoint_bytes);
    }
    let peers = (0..shards)
        .map(ShardId)
        .filter(|&other| other != shard)
        .collect();
    let mut core = Core::new(engine, writers, followers, readers, peers);
    core.set_checkpoint_age(checkpoint_age_ms);
    Ok((core, report))
}

fn restore_chats(
    engine: &mut Shard,
    control: &ControlState,
    shard: ShardId,
    shards: u16,
    partitions: u16,
) -> u64 {
    let mut restored = 0;
    for (name, chat) in control.chats() {
        // Names were checked when they entered the control log.
        let Ok(name) = ChatName::new(name) else {
            continue;
        };
        if owner_of(partition_of(&name, partitions), shards) == shard {
            engine.restore_chat(name.as_str(), chat);
            restored += 1;
        }
    }
    restored
}

/// What was read of one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Replayed {
    records: u64,
    bytes: u64,
    /// Those up to the end of the checkpoint.
    checkpoint_bytes: u64,
}

fn replay(
    engine: &mut Shard,
    partition: PartitionId,
    reader: &mut Reader,
) -> Result<Replayed, ReadError> {
    let mut replayed = Replayed::default();
    reader.seek(reader.checkpoint().unwrap_or_else(|| reader.first_offset()));
    loop {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for (offset, record) in batch.records() {
                    engine.replay(partition, offset, batch.append_time(), raw(&record));
                    replayed.records += 1;
                    replayed.bytes += Writer::record_bytes(record.payload.len()) as u64;
                    if record.kind == kind::CHECKPOINT_END {
                        replayed.checkpoint_bytes = replayed.bytes;
                    }
                }
            }
            Ok(None) => return Ok(replayed),
            // The reader stands behind the hole; a checkpoint or the next fix has what it held.
            Err(ReadError::Gap { .. } | ReadError::Truncated { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
