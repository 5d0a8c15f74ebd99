//! What a shard asks its caller to do. The caller drains these after every input.
//!
//! Order matters per kind: appends of one chat keep their order, and frames to one connection keep
//! theirs. Outputs are drained before [`crate::shard::Shard::fan_out`], so that `Watching` is on its
//! way before the first batch.

use std::borrow::Cow;

use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;
use skein_wire::update::Update;

use crate::chat_event::ChatEvent;
use crate::command::Command;
use crate::ids::{ConnectionId, PartitionId, ProposalId, RequestId, ShardId};
use crate::record::OwnedRecord;
use crate::request::ChatResult;
use crate::view::View;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append a record to a partition that this shard owns.
    Append {
        /// Where.
        partition: PartitionId,
        /// What.
        record: OwnedRecord,
    },
    /// Propose a command to the control log. The answer comes through
    /// [`crate::shard::Shard::handle_committed`] or [`crate::shard::Shard::handle_rejected`].
    Propose {
        /// Ties the answer to it.
        proposal: ProposalId,
        /// What.
        command: Command,
    },
    /// Send a frame.
    Frame {
        /// To whom.
        connection: ConnectionId,
        /// What.
        update: Update,
    },
    /// Close a connection. The engine has forgotten it already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        code: Code,
        /// When to come back, milliseconds.
        retry_after_ms: u32,
        /// What to do next.
        text: Cow<'static, str>,
    },
    /// A viewer lost its right: bytes of the chat that are half-written must not be completed, those of a
    /// watch that this one has replaced neither.
    Purge {
        /// Whose.
        connection: ConnectionId,
        /// Of which chat.
        chat: ChatHandle,
    },
    /// Answer a request of the HTTP or control API.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        reply: ChatResult,
    },
    /// Follow a partition of another shard from this offset on.
    Follow {
        /// Which.
        partition: PartitionId,
        /// First offset wanted.
        from: u64,
    },
    /// Stop following a partition of another shard.
    Unfollow {
        /// Which.
        partition: PartitionId,
    },
    /// Read a stretch of a partition again and hand the records with this key to
    /// [`crate::shard::Shard::follow_reread`], then call
    /// [`crate::shard::Shard::handle_reread_done`], or
    /// [`crate::shard::Shard::handle_reread_lost`] where the log does not have them any more. It
    /// may take several passes, and takes the place of an older one with this key.
    Reread {
        /// Which.
        partition: PartitionId,
        /// The chat.
        key: ChatHandle,
        /// Offsets above this one.
        after: u64,
        /// Up to and with this one.
        upto: u64,
    },
    /// Wake a shard that mirrors a chat of which records were appended. Comes after the appends.
    Wake {
        /// Which.
        shard: ShardId,
    },
    /// Somebody waits until this partition's records are durable: sync soon.
    Sync {
        /// Which.
        partition: PartitionId,
    },
    /// A checkpoint is whole in the log.
    Checkpointed {
        /// Of which partition.
        partition: PartitionId,
        /// Offset of its first record.
        begin: u64,
        /// Offset of its last record.
        end: u64,
    },
    /// Somebody sees a session, or does no more. Only where a record of it is kept.
    View(View),
    /// Something for the chat service.
    Event {
        /// Index of the command in the control log.
        index: u64,
        /// What.
        event: ChatEvent,
    },
}
