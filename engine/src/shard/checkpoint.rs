//! Checkpoints: the state of a partition's chats as records of the partition, written in slices, so
//! that a restart reads from there and the log before it can be dropped.
//!
//! A slice is written only when every record that was asked to be appended has come back: then the
//! tables hold everything before the slice, and what comes after a row's record comes after it in the
//! log too.
//!
//! An ended row may be forgotten before the control log knows of the end. The log's own record of it
//! then tells a restart, until a checkpoint stands in its place: so none is finished while an end that
//! it may have left out is no promise yet. Otherwise a crash in between would bring the session back.

use skein_wire::ids::{ChatHandle, Slot};

use crate::checkpoint_writer::{CheckpointWriter, Stage};
use crate::ids::PartitionId;
use crate::journal::Entry;
use crate::limits::CHECKPOINT_SLICE_BYTES;
use crate::output::Output;
use crate::record::RawRecord;
use crate::row::Row;
use crate::shard::Shard;

/// Bytes that the log adds to a record, for the size of a slice.
const RECORD_PREFIX_BYTES: usize = 16;

impl Shard {
    /// Begins a checkpoint of a partition that this shard owns, unless one is being written. Its
    /// slices are appended one per pass; [`Output::Checkpointed`] tells when it is whole in the log.
    /// Gives whether it begins.
    pub fn begin_checkpoint(&mut self, partition: PartitionId) -> bool {
        let number = self.random.next_u64();
        let chats = self.chats.handles(|chat| chat.partition == partition);
        let is_serving = self.is_serving;
        if let Some(state) = self.partition(partition)
            && state.is_owned
            && state.checkpoint.is_none()
            && is_serving
        {
            state.checkpoint = Some(CheckpointWriter::new(number, chats));
            self.checkpointing.push(partition);
            return true;
        }
        false
    }

    /// Whether a slice of a checkpoint can be written.
    pub(super) fn has_checkpoint_slice(&self) -> bool {
        let partitions = self.checkpointing.iter();
        let mut writers =
            partitions.filter_map(|it| self.partitions[usize::from(it.0)].checkpoint.as_ref());
        writers.any(|writer| self.has_next(writer))
    }

    pub(super) fn write_checkpoints(&mut self) {
        for index in 0..self.checkpointing.len() {
            let partition = self.checkpointing[index];
            let state = &mut self.partitions[usize::from(partition.0)];
            if state.outstanding > 0 {
                continue;
            }
            if let Some(mut writer) = state.checkpoint.take() {
                self.write_slice(partition, &mut writer);
                if !matches!(writer.stage, Stage::Done) {
                    self.partitions[usize::from(partition.0)].checkpoint = Some(writer);
                }
            }
        }
        let partitions = &self.partitions;
        self.checkpointing
            .retain(|partition| partitions[usize::from(partition.0)].checkpoint.is_some());
    }

    fn write_slice(&mut self, partition: PartitionId, writer: &mut CheckpointWriter) {
        let as_of = self.partitions[usize::from(partition.0)].followed;
        let mut left = CHECKPOINT_SLICE_BYTES;
        while left > 0 && self.has_next(writer) {
            let written = self.write_step(partition, as_of, writer);
            left = left.saturating_sub(written);
        }
    }

    fn has_next(&self, writer: &CheckpointWriter) -> bool {
        match writer.stage {
            Stage::Promises(last) => self.is_promised(last),
            Stage::Done => false,
            _ => true,
        }
    }

    /// Writes one record, or goes on to the next stage; returns the bytes written.
    fn write_step(
        &mut self,
        partition: PartitionId,
        as_of: u64,
        writer: &mut CheckpointWriter,
    ) -> usize {
        let number = writer.number;
        let no_chat = ChatHandle(0);
        match &mut writer.stage {
            Stage::Begin => {
                writer.stage = Stage::Chat;
                self.write(partition, no_chat, &Entry::CheckpointBegin { number })
            }
            Stage::Chat => {
                let Some(chat) = writer.chats.pop_front() else {
                    writer.stage = Stage::Promises(self.last_proposed());
                    return 0;
                };
                writer.stage = Stage::Rows(chat, Slot(0));
                self.write_horizon(partition, chat, as_of)
            }
            Stage::Rows(chat, next) => {
                let chat = *chat;
                let Some(known) = self.chats.get(chat) else {
                    writer.stage = Stage::Chat;
                    return 0;
                };
                let Some(row) = known.table.rows_from(*next).next() else {
                    writer.stage = Stage::Members(chat, None);
                    return self.write_horizon(partition, chat, as_of);
                };
                *next = Slot(row.slot().0 + 1);
                let entry = self.row_entry(chat, row, as_of);
                self.write(partition, chat, &entry)
            }
            Stage::Members(chat, last) => {
                // As they are now: what changed meanwhile has records of its own.
                let chat = *chat;
                let known = self.chats.get(chat);
                let next = known.and_then(|known| known.members.after(last.as_ref()).next());
                let Some((user, rights)) = next else {
                    writer.stage = Stage::Chat;
                    return 0;
                };
                let (user, rights) = (user.clone(), rights.bits());
                *last = Some(user.clone());
                self.write(partition, chat, &Entry::CheckpointMember { user, rights })
            }
            Stage::Promises(_) => {
                writer.stage = Stage::End;
                0
            }
            Stage::End => {
                writer.stage = Stage::Done;
                self.write(partition, no_chat, &Entry::CheckpointEnd { number })
            }
            Stage::Done => 0,
        }
    }

    fn row_entry(&self, chat: ChatHandle, row: &Row, as_of: u64) -> Entry {
        let session = row.session();
        let mut admission = Vec::new();
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        if let Some(live) = owner.and_then(|owner| owner.sessions.get(&session)) {
            live.window.encode(&mut admission);
        }
        let row = Box::new(row.record(as_of, admission));
        Entry::CheckpointRow { session, row }
    }

    fn write_horizon(&mut self, partition: PartitionId, chat: ChatHandle, as_of: u64) -> usize {
        let Some(horizon) = self.chats.get(chat).map(|chat| chat.table.horizon()) else {
            return 0;
        };
        self.write(partition, chat, &Entry::CheckpointChat { horizon, as_of })
    }

    fn write(&mut self, partition: PartitionId, chat: ChatHandle, entry: &Entry) -> usize {
        let record = entry.encode(chat);
        let bytes = record.payload.as_slice().len() + RECORD_PREFIX_BYTES;
        self.partitions[usize::from(partition.0)].outstanding += 1;
        self.emit(Output::Append { partition, record });
        bytes
    }

    /// A record of a checkpoint came back.
    pub(super) fn checkpoint_followed(
        &mut self,
        partition: PartitionId,
        offset: u64,
        record: &RawRecord<'_>,
    ) {
        let Ok(entry) = Entry::decode(record) else {
            self.stats.records_strange += 1;
            return;
        };
        let Some(state) = self.partition(partition) else {
            return;
        };
        match entry {
            Entry::CheckpointBegin { number } => state.checkpoint_begun = Some((offset, number)),
            Entry::CheckpointEnd { number } => {
                if let Some((begin, _)) = state
                    .checkpoint_begun
                    .take_if(|(_, begun)| *begun == number)
                {
                    self.stats.checkpoints += 1;
                    self.emit(Output::Checkpointed {
                        partition,
                        begin,
                        end: offset,
                    });
                }
            }
            _ => {}
        }
    }
}
