//! A chat that another shard owns, put together from the slices of an image.
//!
//! A slice is as of its own offset, and records go on coming while slices travel. When the last one
//! is in, the partition is read again from the first one's offset to the last one's, and a record
//! counts only where it is newer than the slice that brought its row. What comes of it is what the
//! owner had when it made the last slice. From there it is followed like any other chat, up to where
//! the shard is; no viewer sees it before. Members need no such care: who is in a record has there all
//! of their rights.

use std::sync::Arc;

use skein_wire::ids::{ChatName, Slot};

use crate::ids::{PartitionId, ShardId};
use crate::image_walk::{ImageBegin, ImageSlice};
use crate::journal::Entry;
use crate::membership::Membership;
use crate::rights::Rights;
use crate::table::{Table, TableLimits};

/// An image that comes in.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub name: ChatName,
    pub partition: PartitionId,
    pub epochs: Vec<(u32, u64)>,
    pub owner: ShardId,
    pub table: Table,
    pub members: Membership,
    /// (first slot, as of) of each slice, ascending; the last one holds for all slots above.
    slices: Vec<(Slot, u64)>,
    /// Everything up to this offset is in it, once it is whole.
    read_to: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Slices are on their way.
    Gathering,
    /// All are in; the last one, and the heads with it, is as of this offset.
    Levelling { upto: u64, heads: [u64; 2] },
    /// All rows are as of one offset.
    Level,
}

impl Assembly {
    /// Begins with what the first slice tells of the chat.
    pub fn new(
        owner: ShardId,
        slice: &ImageSlice,
        begin: &ImageBegin,
        limits: TableLimits,
    ) -> Self {
        Self {
            name: begin.name.clone(),
            partition: begin.partition,
            epochs: begin.epochs.clone(),
            owner,
            table: Table::gather(begin.table_as_of, limits),
            members: Membership::default(),
            slices: Vec::new(),
            read_to: slice.as_of,
            stage: Stage::Gathering,
        }
    }

    /// Takes the next slice.
    pub fn add(&mut self, slice: Arc<ImageSlice>) {
        if self.is_whole() {
            return;
        }
        // Other shards may be reading the same slice.
        let slice = Arc::unwrap_or_clone(slice);
        if let Some(first) = slice.rows_from {
            self.slices.push((first, slice.as_of));
        }
        for row in slice.rows {
            self.table.gather_row(row);
        }
        for (user, rights) in &slice.members {
            self.members.put(user, *rights);
        }
        if slice.is_last {
            self.table.restore_horizon(slice.horizon);
            let (upto, heads) = (slice.as_of, slice.heads);
            self.stage = Stage::Levelling { upto, heads };
            self.read(self.read_to);
        }
    }

    /// Whether the last slice is in, and records are what it waits for.
    pub fn is_whole(&self) -> bool {
        !matches!(self.stage, Stage::Gathering)
    }

    /// The stretch (after, up to and with) that has to be read on a shard that has followed the
    /// partition up to `followed`; `None` when there is nothing more to read.
    pub fn stretch(&self, followed: u64) -> Option<(u64, u64)> {
        let upto = match self.stage {
            Stage::Gathering => return None,
            Stage::Levelling { upto, .. } => upto,
            Stage::Level => followed,
        };
        (upto > self.read_to).then_some((self.read_to, upto))
    }

    /// A stretch has been read up to here.
    pub fn read(&mut self, upto: u64) {
        self.read_to = self.read_to.max(upto);
        if let Stage::Levelling { upto, heads } = self.stage
            && upto <= self.read_to
        {
            self.table.finish_gathering(heads);
            self.stage = Stage::Level;
        }
    }

    /// Everything up to this offset is in it.
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Takes a record of the stretch.
    pub fn apply(&mut self, offset: u64, time_ms: u64, entry: &Entry) {
        if offset <= self.table.as_of() {
            return;
        }
        match self.stage {
            Stage::Level => drop(self.table.apply(offset, time_ms, entry)),
            _ => self.level(offset, time_ms, entry),
        }
        match entry {
            Entry::MemberPut { user, rights } => {
                self.members.put(user, Rights::from_bits(*rights));
            }
            Entry::MemberRemoved { user } => self.members.put(user, Rights::NONE),
            _ => {}
        }
    }

    /// Takes a record that the slices may have.
    fn level(&mut self, offset: u64, time_ms: u64, entry: &Entry) {
        let row = entry.session().and_then(|session| self.table.row(session));
        let slot = match (row, entry) {
            (Some(row), _) => Some(row.slot()),
            (None, Entry::Started { started, .. }) => Some(started.slot),
            // Of no session, or of one that was over and forgotten when its slot's turn came.
            (None, _) => None,
        };
        if slot.is_none_or(|slot| offset <= self.as_of(slot)) {
            self.table.pass_over(offset);
            return;
        }
        if let (None, Entry::Started { started, .. }) = (row, entry) {
            // The owner had forgotten who was there.
            self.table.vacate(started.slot);
        }
        self.table.apply(offset, time_ms, entry);
    }

    /// The offset of the slice that had a slot.
    fn as_of(&self, slot: Slot) -> u64 {
        let behind = self.slices.partition_point(|(first, _)| *first <= slot);
        behind
            .checked_sub(1)
            .map_or(0, |index| self.slices[index].1)
    }

    /// Bytes that it holds, an estimate.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.members.bytes()
    }
}
