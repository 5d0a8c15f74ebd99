//! The owner's walk over a chat for the shards that begin to mirror it.
//!
//! A chat is copied in slices between the passes, so that a large one delays nobody. A slice holds
//! what its rows are as of its own offset; who puts them together reads what was appended since the
//! first one (see [`crate::image_assembly`]). One walk serves all that asked before it began. Who
//! asks later takes part in the next one, so that a chat is copied twice for a crowd of shards and
//! not once for each.

use skein_wire::ids::{ChatHandle, ChatName, Slot, UserName};

use crate::ids::{PartitionId, ShardId};
use crate::membership::Membership;
use crate::rights::Rights;
use crate::row::Row;
use crate::table::Table;

/// Part of a chat as its owner sees it.
#[derive(Clone, Debug)]
pub(crate) struct ImageSlice {
    pub chat: ChatHandle,
    /// In the first slice.
    pub begin: Option<ImageBegin>,
    /// Everything of its rows and members up to this offset is in it.
    pub as_of: u64,
    /// All rows from this slot on up to the next slice's, `None` behind the last row.
    pub rows_from: Option<Slot>,
    pub rows: Vec<Row>,
    pub members: Vec<(UserName, Rights)>,
    pub horizon: u64,
    /// Heads of the table, `latest` and `every`.
    pub heads: [u64; 2],
    pub is_last: bool,
}

/// What is known of the chat before its rows.
#[derive(Clone, Debug)]
pub(crate) struct ImageBegin {
    pub name: ChatName,
    pub partition: PartitionId,
    pub epochs: Vec<(u32, u64)>,
    /// Offset of the chat's newest record that is in the first slice.
    pub table_as_of: u64,
}

/// Who wants images of a chat, and the walk that makes one.
#[derive(Debug, Default)]
pub(crate) struct Images {
    walk: Option<ImageWalk>,
    /// Shards that asked after the walk had begun.
    next: Vec<ShardId>,
}

/// One walk over the chat.
#[derive(Debug)]
pub(crate) struct ImageWalk {
    pub shards: Vec<ShardId>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Begin,
    /// Rows from this slot on.
    Rows(Slot),
    /// Members behind this name.
    Members(Option<UserName>),
}

impl Images {
    /// A shard wants an image that begins now or later.
    pub fn ask(&mut self, shard: ShardId) {
        self.leave(shard);
        match &mut self.walk {
            Some(walk) if matches!(walk.stage, Stage::Begin) => walk.shards.push(shard),
            _ => self.next.push(shard),
        }
    }

    /// A shard does not want its image any more.
    pub fn leave(&mut self, shard: ShardId) {
        self.next.retain(|other| *other != shard);
        if let Some(walk) = &mut self.walk {
            walk.shards.retain(|other| *other != shard);
        }
    }

    /// The walk that goes on; a new one for those who wait.
    pub fn walk(&mut self) -> Option<&mut ImageWalk> {
        self.walk.take_if(|walk| walk.shards.is_empty());
        if self.walk.is_none() && !self.next.is_empty() {
            self.walk = Some(ImageWalk {
                shards: std::mem::take(&mut self.next),
                stage: Stage::Begin,
            });
        }
        self.walk.as_mut()
    }

    /// The walk has come to its end; true if others wait for another one.
    pub fn finish(&mut self) -> bool {
        self.walk = None;
        !self.next.is_empty()
    }
}

impl ImageWalk {
    /// The next slice, of at most `left` slots and members; what it takes is taken off.
    pub fn slice(
        &mut self,
        chat: ChatHandle,
        (table, members): (&Table, &Membership),
        as_of: u64,
        left: &mut usize,
    ) -> ImageSlice {
        let mut slice = ImageSlice {
            chat,
            begin: None,
            as_of,
            rows_from: None,
            rows: Vec::new(),
            members: Vec::new(),
            horizon: table.horizon(),
            heads: table.heads(),
            is_last: false,
        };
        if matches!(self.stage, Stage::Begin) {
            self.stage = Stage::Rows(Slot(0));
        }
        if let Stage::Rows(first) = self.stage {
            let slots = table.slots_from(first);
            let slots = &slots[..slots.len().min(*left)];
            slice.rows_from = Some(first);
            slice.rows = slots.iter().flatten().cloned().collect();
            *left -= slots.len();
            let slots = slots.len();
            let next = Slot(first.0 + slots as u32);
            self.stage = match table.slots_from(next).is_empty() {
                true => Stage::Members(None),
                false => Stage::Rows(next),
            };
        }
        if let Stage::Members(last) = &mut self.stage {
            let behind = members.after(last.as_ref()).take(*left);
            slice.members = behind
                .map(|(user, rights)| (user.clone(), rights))
                .collect();
            *left -= slice.members.len();
            if let Some((user, _)) = slice.members.last() {
                *last = Some(user.clone());
            }
            slice.is_last = members.after(last.as_ref()).next().is_none();
        }
        slice
    }

    /// Whether nothing has been copied yet.
    pub fn is_new(&self) -> bool {
        matches!(self.stage, Stage::Begin)
    }
}

impl ImageSlice {
    /// Rows and members in it.
    pub fn len(&self) -> usize {
        self.rows.len() + self.members.len()
    }
}
