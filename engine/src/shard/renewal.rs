//! Mirrors that missed records which the log does not have any more: a new image takes the place of
//! what they have.

use std::collections::BTreeSet;

use skein_wire::ids::{ChatHandle, UserName};

use crate::chat::{Chat, Progress, Role};
use crate::ids::{ConnectionId, PartitionId};
use crate::image_assembly::Assembly;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Records of a partition before offset `next` are not in the log any more, and this shard has
    /// not followed them. Its mirrors ask for new images, and show what they have until those are
    /// here.
    pub fn handle_overtaken(&mut self, now: Timestamp, partition: PartitionId, next: u64) {
        self.tick(now);
        if let Some(state) = self.partition(partition) {
            // An older image that is still on its way has to be read on from its end, which fails.
            state.followed = state.followed.max(next.saturating_sub(1));
        }
        let is_mirrored = |chat: &Chat| chat.partition == partition && chat.is_mirror();
        for chat in self.chats.handles(is_mirrored) {
            self.renew_mirror(chat);
        }
        self.settle(now);
    }

    fn renew_mirror(&mut self, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if let Role::Mirror(mirror) = &mut known.role
            && mirror.progress != Progress::Renewing
        {
            mirror.progress = Progress::Renewing;
            let owner = mirror.owner;
            self.post(owner, Message::ImageAsk { chat });
        }
    }

    /// The image came that a mirror asked for which missed records: ends, members and rights that
    /// it did not hear of act now.
    pub(super) fn mirror_renewed(&mut self, now: Timestamp, chat: ChatHandle, assembly: Assembly) {
        let partition = assembly.partition;
        let Some(epoch) = self.partition(partition).map(|state| state.epoch()) else {
            return;
        };
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let Role::Mirror(mirror) = &mut known.role else {
            return;
        };
        mirror.progress = Progress::Following;
        known.table = assembly.table;
        known.table.set_epoch(epoch);
        known.members = assembly.members;
        self.forget_later(chat);
        self.revoke_unheard(now, chat);
        self.fan_out.mark_changed(chat);
        self.check_waits(now, partition);
    }

    /// Ends the watches of those whose right was lost or changed in records that were missed.
    fn revoke_unheard(&mut self, now: Timestamp, chat: ChatHandle) {
        let users: BTreeSet<UserName> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.watches.contains_key(&chat))
            .filter(|(id, _)| !self.may_watch(*id, chat))
            .map(|(_, connection)| connection.person.user.clone())
            .collect();
        for user in users {
            self.revoke_watches(now, chat, &user);
        }
        let left = self.connections.iter();
        let left: Vec<ConnectionId> = left
            .filter(|(_, connection)| connection.watches.contains_key(&chat))
            .map(|(id, _)| id)
            .collect();
        for connection in left {
            self.regrade_watch(now, connection, chat);
        }
    }
}
