//! Chats of other shards: the first viewer asks for an image, the last one's leaving gives it back.

use std::sync::Arc;

use skein_wire::ids::{ChatHandle, ChatName, UserName};
use skein_wire::request::Watch;

use crate::audience::Audience;
use crate::chat::{Chat, Mirror, Progress, Role};
use crate::ids::{ConnectionId, PartitionId, ShardId};
use crate::limits::{DEMAND_INTERVAL_MS, MIRROR_LINGER_MS};
use crate::output::Output;
use crate::owner::{CachedImage, MirroredBy};
use crate::peer_message::{Image, Message};
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// A watch of a chat that this shard knows nothing of.
    pub(super) fn ask_image(&mut self, connection: ConnectionId, user: UserName, watch: Watch) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.asking += 1;
        }
        let chat = watch.chat.clone();
        if let Some(asking) = self.asking.get_mut(&chat) {
            asking.push((connection, watch));
            return;
        }
        self.asking.insert(chat.clone(), vec![(connection, watch)]);
        let owner = self.owner_of_name(&chat);
        self.post(owner, Message::WatchAsk { chat, user });
    }

    /// A connection is gone; it waits no more.
    pub(super) fn stop_asking(&mut self, connection: ConnectionId) {
        for asking in self.asking.values_mut() {
            asking.retain(|(other, _)| *other != connection);
        }
        self.row_asks.retain(|_, (other, _)| *other != connection);
    }

    /// Another shard wants an image on behalf of a user. The watch is judged here and now.
    pub(super) fn image_asked(&mut self, from: ShardId, name: ChatName, user: UserName) {
        let chat = self.chats.named(&name);
        let allowed = chat.filter(|chat| {
            self.is_serving && self.check_right(*chat, &user, Rights::WATCH).is_ok()
        });
        match allowed.and_then(|chat| self.image(chat)) {
            Some(image) => self.send_image(from, image),
            None => self.post(from, Message::WatchRefused { chat: name, user }),
        }
    }

    /// Another shard's mirror has missed records.
    pub(super) fn image_asked_again(&mut self, from: ShardId, chat: ChatHandle) {
        if let Some(image) = self.image(chat) {
            let renews = true;
            self.send_image(from, Image { renews, ..image });
        }
    }

    fn send_image(&mut self, to: ShardId, image: Image) {
        if let Some(owner) = self.chats.owner_mut(image.chat)
            && !owner.mirrors.iter().any(|mirror| mirror.shard == to)
        {
            owner.mirrors.push(MirroredBy {
                shard: to,
                demand_ms: 0,
            });
        }
        self.stats.images_sent += 1;
        self.post(to, Message::Image(Box::new(image)));
    }

    /// The chat as of the last followed record, built at most once in a pass.
    fn image(&mut self, chat: ChatHandle) -> Option<Image> {
        let known = self.chats.get(chat)?;
        let partition = known.partition;
        let state = self.partition(partition)?;
        let (as_of, epochs) = (state.followed, state.epochs.clone());
        let known = self.chats.get_mut(chat)?;
        let cached = known.owner()?.image.clone();
        let image = match cached.filter(|image| image.as_of == as_of) {
            Some(image) => image,
            None => CachedImage {
                as_of,
                table: Arc::new(known.table.clone()),
                members: known.members_sorted(),
            },
        };
        let name = known.name.clone();
        known.owner_mut()?.image = Some(image.clone());
        self.imaged.insert(chat);
        let (table, members) = (image.table, image.members);
        Some(Image {
            name,
            chat,
            partition,
            epochs,
            as_of,
            table,
            members,
            renews: false,
        })
    }

    /// The images of a pass are no longer needed.
    pub(super) fn drop_images(&mut self) {
        for chat in std::mem::take(&mut self.imaged) {
            if let Some(owner) = self.chats.owner_mut(chat) {
                owner.image = None;
            }
        }
    }

    /// An image came: from here on this shard follows the chat, and judges who may watch.
    pub(super) fn image_came(&mut self, now: Timestamp, from: ShardId, image: Image) {
        if image.renews {
            self.mirror_renewed(now, image);
            return;
        }
        let waiting = self.asking.remove(&image.name);
        let chat = image.chat;
        if self.chats.get(chat).is_none() {
            self.begin_mirror(now, from, image);
        }
        for (connection, watch) in waiting.unwrap_or_default() {
            self.watch_again(now, connection, watch);
        }
        self.idle_from(now, chat);
    }

    fn begin_mirror(&mut self, now: Timestamp, owner: ShardId, image: Image) {
        let (chat, partition, as_of) = (image.chat, image.partition, image.as_of);
        let Some(state) = self.partition(partition) else {
            return;
        };
        state.mirrored += 1;
        if image.epochs.len() > state.epochs.len() {
            state.epochs = image.epochs;
        }
        let epoch = state.epoch();
        let is_new = !state.is_followed;
        if is_new {
            state.is_followed = true;
            state.followed = as_of;
        }
        let followed = state.followed;
        let mut table = Arc::unwrap_or_clone(image.table);
        table.set_epoch(epoch);
        let is_behind = followed > as_of;
        self.chats.insert(Chat {
            name: image.name,
            handle: chat,
            partition,
            table,
            members: image.members.iter().cloned().collect(),
            audience: Audience::default(),
            demand_told_ms: 0,
            demand_told_at: Timestamp(now.0.saturating_sub(DEMAND_INTERVAL_MS)),
            role: Role::Mirror(Mirror {
                owner,
                progress: match is_behind {
                    true => Progress::Rereading { upto: followed },
                    false => Progress::Following,
                },
                idle_since: now,
            }),
        });
        self.stats.chats_mirrored += 1;
        self.forget_later(chat);
        if is_new {
            let from = as_of + 1;
            self.emit(Output::Follow { partition, from });
        } else if is_behind {
            self.reread(partition, chat, as_of, followed);
        }
    }

    pub(super) fn reread(
        &mut self,
        partition: PartitionId,
        key: ChatHandle,
        after: u64,
        upto: u64,
    ) {
        self.emit(Output::Reread {
            partition,
            key,
            after,
            upto,
        });
    }

    /// The stretch of a [`Output::Reread`] up to `upto` is read.
    pub fn handle_reread_done(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        key: ChatHandle,
        upto: u64,
    ) {
        self.tick(now);
        let followed = self.partition(partition).map_or(0, |it| it.followed);
        let Some(known) = self.chats.get_mut(key) else {
            return;
        };
        let Role::Mirror(mirror) = &mut known.role else {
            return;
        };
        if mirror.progress != (Progress::Rereading { upto }) {
            return;
        }
        if followed > upto {
            mirror.progress = Progress::Rereading { upto: followed };
            self.reread(partition, key, upto, followed);
        } else {
            mirror.progress = Progress::Following;
            self.fan_out.mark_changed(key);
            self.check_waits(now, partition);
        }
        self.settle(now);
    }

    /// The owner has no such chat for this user.
    pub(super) fn image_refused(&mut self, name: &ChatName, user: &UserName) {
        let Some(waiting) = self.asking.remove(name) else {
            return;
        };
        for (connection, watch) in waiting {
            let Some(known) = self.connections.get_mut(&connection) else {
                continue;
            };
            if known.user == *user {
                known.asking = known.asking.saturating_sub(1);
                self.refuse(connection, watch.request, Self::not_found());
            } else {
                // Somebody else waits for the same chat: ask on their behalf.
                let user = known.user.clone();
                known.asking = known.asking.saturating_sub(1);
                self.ask_image(connection, user, watch);
            }
        }
    }

    /// A watch that waited for an image is judged like a new one.
    fn watch_again(&mut self, now: Timestamp, connection: ConnectionId, watch: Watch) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.asking = known.asking.saturating_sub(1);
        self.watch(now, connection, watch);
    }

    /// If nobody watches the mirrored chat, it is given back after a while.
    pub(super) fn idle_from(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if !known.audience.is_empty() {
            return;
        }
        if let Role::Mirror(mirror) = &mut known.role {
            mirror.idle_since = now;
            let at = now.plus_ms(MIRROR_LINGER_MS);
            self.wheel.set(at, Timer::MirrorIdle(chat));
        }
    }

    /// A mirror may have been without viewers for long enough.
    pub(super) fn mirror_idle(&mut self, now: Timestamp, chat: ChatHandle) {
        let is_over = self
            .idle_mirror(chat)
            .is_some_and(|mirror| mirror.idle_since.plus_ms(MIRROR_LINGER_MS) <= now);
        if is_over {
            self.drop_mirror(now, chat);
        }
    }

    fn idle_mirror(&self, chat: ChatHandle) -> Option<&Mirror> {
        let known = self.chats.get(chat)?;
        match &known.role {
            Role::Mirror(mirror) if known.audience.is_empty() => Some(mirror),
            _ => None,
        }
    }

    /// Gives a mirror back that has no viewers.
    pub(super) fn drop_mirror(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(owner) = self.idle_mirror(chat).map(|mirror| mirror.owner) else {
            return;
        };
        let Some(known) = self.chats.remove(chat) else {
            return;
        };
        self.stats.chats_mirrored = self.stats.chats_mirrored.saturating_sub(1);
        self.post(owner, Message::MirrorDropped { chat });
        let partition = known.partition;
        if let Some(state) = self.partition(partition) {
            state.mirrored = state.mirrored.saturating_sub(1);
            if state.mirrored == 0 && !state.is_owned {
                state.is_followed = false;
                self.emit(Output::Unfollow { partition });
            }
        }
        self.check_waits(now, partition);
    }

    /// A shard mirrors a chat of ours no more.
    pub(super) fn mirror_dropped(&mut self, now: Timestamp, from: ShardId, chat: ChatHandle) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
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
