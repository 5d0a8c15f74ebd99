//! What the engine does of an erase: it forgets the points of sessions that are over, so that no
//! later checkpoint brings back what is taken out of the log.

use skein_wire::ids::{ChatHandle, ChatName, UserName};

use crate::ids::PartitionId;
use crate::shard::Shard;

/// Where the points of a chat are, once those of its ended sessions are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key in the log.
    pub chat: ChatHandle,
    /// Sessions concerned that are not over: their newest points stay until they are.
    pub sessions_live: u64,
    /// Alerts that are ended: of whom, and about whom the points are.
    pub alerts: u64,
}

impl Shard {
    /// Forgets the points of ended sessions of a chat that this shard owns, all or those of one
    /// member, and ends alerts. `None`: nobody has named the chat yet, or another shard owns it.
    ///
    /// What was written before is still in the log; [`Shard::begin_checkpoint`] makes what lies
    /// before it unnecessary.
    pub fn forget_points(&mut self, name: &ChatName, user: Option<&UserName>) -> Option<Forgotten> {
        let handle = self.chats.named(name)?;
        let chat = self.chats.get_mut(handle)?;
        chat.owner()?;
        chat.table.forget_points(user);
        let of_user = |member: &UserName| user.is_none_or(|user| user == member);
        let live = chat.table.rows_live();
        let sessions_live = live.filter(|row| of_user(&row.descriptor().user)).count() as u64;
        let partition = chat.partition;
        let alerts = self.forget_alerts(handle, user);
        self.sum();
        Some(Forgotten {
            partition,
            chat: handle,
            sessions_live,
            alerts,
        })
    }

    /// Whether a checkpoint of the partition tells of ended sessions, and so of their last points.
    pub fn holds_ended(&self, partition: PartitionId) -> bool {
        let mut chats = self.chats.iter();
        chats.any(|chat| chat.partition == partition && chat.table.tombstones() > 0)
    }
}
