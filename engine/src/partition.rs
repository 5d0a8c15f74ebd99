//! A partition as a shard follows it.

use std::collections::VecDeque;

use skein_wire::ids::{ChatHandle, Counter, SessionId};

use crate::checkpoint_writer::CheckpointWriter;
use crate::ids::{RequestId, ShardId};
use crate::request::PointsReply;

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub is_owned: bool,
    /// Whether the caller hands its records in.
    pub is_followed: bool,
    /// Greatest offset handed in.
    pub followed: u64,
    /// Ends before this offset may be unknown after a restart: the replay began after it, and no
    /// checkpoint told of them. `None` before the replay.
    pub replay_horizon: Option<u64>,
    /// Writers so far: (epoch, first offset).
    pub epochs: Vec<(u32, u64)>,
    /// Chats of it that this shard mirrors.
    pub mirrored: usize,
    /// Records that were asked to be appended and have not come back.
    pub outstanding: u64,
    pub checkpoint: Option<CheckpointWriter>,
    /// Offset and number of a checkpoint whose end has not come back.
    pub checkpoint_begun: Option<(u64, u64)>,
    /// Who waits until an offset is durable, in order of offsets.
    pub durable_waits: VecDeque<DurableWait>,
    pub durable: u64,
    /// Owners that want to know when an offset has been followed.
    pub fences: Vec<FenceWait>,
    /// Watches of one session that wait until an offset has been followed.
    pub row_waits: Vec<RowWait>,
}

/// Somebody waits until an offset is durable.
#[derive(Debug)]
pub(crate) struct DurableWait {
    pub offset: u64,
    pub who: DurableWaiter,
}

#[derive(Debug)]
pub(crate) enum DurableWaiter {
    Session {
        chat: ChatHandle,
        session: SessionId,
        counter: Counter,
    },
    Api {
        request: RequestId,
        reply: PointsReply,
    },
}

/// The owner waits until this shard has followed past a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FenceWait {
    pub owner: ShardId,
    pub fence: u64,
    pub chat: ChatHandle,
    pub offset: u64,
}

/// A watch waits until this shard has followed past the row of its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowWait {
    pub ask: u64,
    pub chat: ChatHandle,
    pub offset: u64,
}

impl Partition {
    /// The newest writer's epoch; 0 = none yet.
    pub fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Whether somebody waits for what is followed.
    pub fn is_awaited(&self) -> bool {
        !self.fences.is_empty() || !self.row_waits.is_empty()
    }

    /// Notes the epoch of a record; true if it is a new one.
    pub fn note_epoch(&mut self, epoch: u32, offset: u64) -> bool {
        let is_new = epoch > self.epoch();
        if is_new {
            self.epochs.push((epoch, offset));
        }
        is_new
    }
}
