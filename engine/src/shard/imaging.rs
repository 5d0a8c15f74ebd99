//! Images of owned chats, for shards that begin to mirror them or that missed records.

use std::sync::Arc;

use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, ChatName, UserName};

use crate::chat::Role;
use crate::ids::{PartitionId, ShardId};
use crate::image_walk::{ImageBegin, ImageSlice};
use crate::naming_wait::NamingWait;
use crate::owner::MirroredBy;
use crate::peer_message::Message;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Another shard wants an image on behalf of a user. The watch is judged here and now.
    pub(super) fn image_asked(
        &mut self,
        from: ShardId,
        name: ChatName,
        (user, claim): (UserName, Rights),
        (is_mirrored, may_name): (bool, bool),
    ) {
        let chat = self.chats.named(&name);
        let judged = self.check_right(
            chat.unwrap_or_default(),
            (&user, claim),
            Rights::WATCH_LEAST,
        );
        let judged = match (chat, judged) {
            (None, _) if may_name && claim.watches() => {
                let wait = NamingWait::Image {
                    from,
                    chat: name.clone(),
                    user: user.clone(),
                    claim,
                };
                match self.await_name(&name, claim, Rights::WATCH_LEAST, wait) {
                    Ok(()) => return,
                    Err(error) => Err(error.code),
                }
            }
            // Its mirror has said no already, by an older word than ours: it will hear of the newer one.
            (Some(_), Ok(())) if is_mirrored => Err(Code::NotFound),
            (chat, judged) => self
                .check_serving()
                .and(judged)
                .map_err(|_| Code::NotFound)
                .and_then(|()| chat.ok_or(Code::NotFound)),
        };
        match judged {
            Ok(chat) => self.make_image(from, chat),
            Err(code) => {
                let refused = Message::WatchRefused {
                    chat: name,
                    user,
                    claim,
                    code,
                };
                self.post(from, refused);
            }
        }
    }

    /// Makes an image of a chat for a shard, slice by slice. From here on the shard counts as one
    /// that mirrors it.
    pub(super) fn make_image(&mut self, shard: ShardId, chat: ChatHandle) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        if !owner.mirrors.iter().any(|mirror| mirror.shard == shard) {
            owner.mirrors.push(MirroredBy {
                shard,
                demand_ms: 0,
            });
        }
        owner.images.ask(shard);
        if !self.imaging.contains(&chat) {
            self.imaging.push_back(chat);
        }
    }

    /// Copies the next rows of the chats of which images are wanted, up to a bound.
    pub(super) fn write_images(&mut self) {
        let mut left = self.config.limits.image_rows_per_pass.max(1);
        for _ in 0..self.imaging.len() {
            let Some(chat) = self.imaging.pop_front() else {
                return;
            };
            if left == 0 || self.write_image(chat, &mut left) {
                self.imaging.push_back(chat);
            }
        }
    }

    /// Copies the next slice of a chat; true if there is more to copy.
    fn write_image(&mut self, chat: ChatHandle, left: &mut usize) -> bool {
        let before = *left;
        let Some((slice, shards)) = self.next_slice(chat, left) else {
            return false;
        };
        // A message is work too, though there may be nothing in it.
        *left = (*left).min(before - 1);
        self.stats.image_rows_copied += slice.len() as u64;
        let is_last = slice.is_last;
        let slice = Arc::new(slice);
        for shard in &shards {
            self.post(*shard, Message::Image(Arc::clone(&slice)));
        }
        if !is_last {
            return true;
        }
        self.stats.images_sent += shards.len() as u64;
        let owner = self.chats.owner_mut(chat);
        owner.is_some_and(|owner| owner.images.finish())
    }

    fn next_slice(
        &mut self,
        chat: ChatHandle,
        left: &mut usize,
    ) -> Option<(ImageSlice, Vec<ShardId>)> {
        let known = self.chats.get_mut(chat)?;
        let partition = known.partition;
        let state = self.partitions.get(usize::from(partition.0))?;
        let Role::Owner(owner) = &mut known.role else {
            return None;
        };
        let walk = owner.images.walk()?;
        let begin = walk.is_new().then(|| ImageBegin {
            name: known.name.clone(),
            partition,
            epochs: state.epochs.clone(),
            table_as_of: known.table.as_of(),
        });
        let content = (&known.table, &known.members);
        let slice = walk.slice(chat, content, state.followed, left);
        Some((ImageSlice { begin, ..slice }, walk.shards.clone()))
    }

    /// A shard mirrors a chat of ours no more.
    pub(super) fn mirror_dropped(&mut self, now: Timestamp, from: ShardId, chat: ChatHandle) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        owner.images.leave(from);
        owner.mirrors.retain(|mirror| mirror.shard != from);
        for order in owner.changes.clone() {
            self.fence_done(order, from);
        }
        self.demand_changed(now, chat);
    }

    /// Shards that mirror a chat of this partition.
    pub fn mirrors_of(&self, partition: PartitionId) -> Vec<ShardId> {
        let mut shards: Vec<ShardId> = self
            .chats
            .iter()
            .filter(|chat| chat.partition == partition)
            .filter_map(|chat| chat.owner())
            .flat_map(|owner| owner.mirrors.iter().map(|mirror| mirror.shard))
            .collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}
