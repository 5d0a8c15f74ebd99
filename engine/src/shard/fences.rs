//! Fences: the owner learns that every mirroring shard has followed past a row.

use crate::ids::{PartitionId, ShardId};
use crate::limits::FENCE_MS_MAX;
use crate::partition::FenceWait;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;
use skein_wire::ids::ChatHandle;

impl Shard {
    /// Asks the shards that mirror the chat to tell when they have followed past `offset`, or past
    /// what there is now.
    pub(super) fn fence(
        &mut self,
        now: Timestamp,
        order: u64,
        chat: ChatHandle,
        offset: Option<u64>,
    ) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let partition = known.partition;
        let mirrors = known.owner().map(|owner| owner.mirrors.as_slice());
        let mut shards: Vec<ShardId> = mirrors
            .unwrap_or_default()
            .iter()
            .map(|mirror| mirror.shard)
            .collect();
        if self.has_relay_of(chat) {
            // It waits for them like any other shard.
            shards.push(self.config.shard);
        }
        let followed = self.partition(partition).map_or(0, |it| it.followed);
        let until = now.plus_ms(FENCE_MS_MAX);
        if let Some(change) = self.change_mut(order) {
            change.fences.clone_from(&shards);
            change.fence_until = until;
        }
        if !shards.is_empty() {
            self.wheel.set(until, Timer::FenceOver(order));
        }
        for shard in shards {
            let message = Message::Fence {
                fence: order,
                chat,
                partition,
                offset: offset.unwrap_or(followed),
            };
            self.post(shard, message);
        }
        self.settle_change(order);
    }

    /// A shard has followed past the row, or mirrors the chat no more.
    pub(super) fn fence_done(&mut self, order: u64, shard: ShardId) {
        if let Some(change) = self.change_mut(order) {
            change.fences.retain(|other| *other != shard);
            self.settle_change(order);
        }
    }

    /// An owner wants to know when this shard has followed past a row.
    pub(super) fn fence_asked(
        &mut self,
        owner: ShardId,
        fence: u64,
        (partition, chat, offset): (PartitionId, ChatHandle, u64),
    ) {
        let wait = FenceWait {
            owner,
            fence,
            chat,
            offset,
        };
        if let Some(state) = self.partition(partition) {
            state.fences.push(wait);
        }
        self.check_fences(partition);
    }

    /// Serves those who wait for what has been followed now.
    pub(super) fn check_waits(&mut self, now: Timestamp, partition: PartitionId) {
        self.check_fences(partition);
        self.check_rows(now, partition);
    }

    /// Answers the fences that are passed.
    pub(super) fn check_fences(&mut self, partition: PartitionId) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        let followed = state.followed;
        let fences = std::mem::take(&mut state.fences);
        for wait in fences {
            let is_applied = self.has_applied(wait.chat, wait.offset, followed);
            if is_applied && self.relays_have_seen(wait.chat, wait.offset) {
                let fence = wait.fence;
                self.post(wait.owner, Message::FenceDone { fence });
            } else if let Some(state) = self.partition(partition) {
                state.fences.push(wait);
            }
        }
    }

    pub(super) fn has_applied(&self, chat: ChatHandle, offset: u64, followed: u64) -> bool {
        match self.chats.get(chat) {
            // What a hub asks comes behind what it has fed.
            Some(chat) if chat.fed_epochs().is_some() => true,
            Some(chat) => followed >= offset && chat.is_following(),
            // Nobody is served before the last slice, and a slice that comes after the question is
            // as of a later offset.
            None => {
                let assembly = self.assembling.get(&chat);
                assembly.is_none_or(|assembly| !assembly.is_whole())
            }
        }
    }
}
