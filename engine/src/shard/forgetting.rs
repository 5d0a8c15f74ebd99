//! What the engine does of an erase: it forgets sessions that are over, so that no later checkpoint brings
//! back what is taken out of the log, and says when no shard needs what is taken out any more.

use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};

use crate::chat::Chat;
use crate::ids::PartitionId;
use crate::shard::Shard;

/// Where the records of a chat are, once its ended sessions are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key in the log.
    pub chat: ChatHandle,
    /// Sessions concerned that are not over: their names and newest points stay until they are.
    pub live: Vec<SessionId>,
    /// Alerts that are ended: of whom, and about whom the sessions are.
    pub alerts: u64,
}

impl Shard {
    /// Chats that this shard owns and in which a user is a member, was kept out, or is in an alert.
    pub fn chats_naming(&self, user: &UserName) -> Vec<ChatName> {
        let is_named = |chat: &&Chat| {
            let Some(owner) = chat.owner() else {
                return false;
            };
            let mut rules = owner.geofences.rules().iter();
            !chat.rights(user).is_none() || rules.any(|rule| rule.record.names(user.as_str()))
        };
        let chats = self.chats.iter().filter(is_named);
        chats.map(|chat| chat.name.clone()).collect()
    }

    /// Forgets the ended sessions of a chat that this shard owns, all or those of one member, and ends
    /// alerts. `None`: nobody has named the chat yet, or another shard owns it.
    ///
    /// What was written before is still in the log; [`Shard::begin_checkpoint`] makes what lies
    /// before it unnecessary.
    pub fn forget_sessions(
        &mut self,
        name: &ChatName,
        user: Option<&UserName>,
    ) -> Option<Forgotten> {
        let handle = self.chats.named(name)?;
        let chat = self.chats.get_mut(handle)?;
        chat.owner()?;
        chat.table.forget_ended_of(user);
        let of_user = |member: &UserName| user.is_none_or(|user| user == member);
        let live = chat.table.rows_live();
        let live = live.filter(|row| of_user(&row.descriptor().user));
        let live = live.map(|row| row.session()).collect();
        let partition = chat.partition;
        let alerts = self.forget_alerts(handle, user);
        self.sum();
        Some(Forgotten {
            partition,
            chat: handle,
            live,
            alerts,
        })
    }

    /// Ends the links to sessions that are forgotten, and those whose time is over.
    pub fn end_links_of(&mut self, name: &ChatName) {
        if let Some(chat) = self.chats.named(name) {
            self.end_links(self.now, chat);
        }
    }

    /// Whether this shard will never again ask the log for a record of a chat up to this offset, be it
    /// for its own chat or for a mirror, one that is still to come included.
    pub fn is_past(&self, name: &ChatName, offset: u64) -> bool {
        if self.asking.contains_key(name) {
            return false;
        }
        let Some(handle) = self.chats.named(name) else {
            return true;
        };
        if self.assembling.contains_key(&handle) {
            return false;
        }
        let Some(chat) = self.chats.get(handle) else {
            return true;
        };
        let state = self.partitions.get(usize::from(chat.partition.0));
        let followed = state.map_or(0, |state| state.followed);
        followed >= offset && !chat.is_renewing()
    }

    /// Whether a checkpoint of the partition tells of ended sessions, and so of their last points.
    pub fn holds_ended(&self, partition: PartitionId) -> bool {
        let mut chats = self.chats.iter();
        chats.any(|chat| chat.partition == partition && chat.table.tombstones() > 0)
    }
}
