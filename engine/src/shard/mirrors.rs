//! Chats of other shards: the first viewer asks for an image, the last one's leaving gives it back.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, UserName};
use skein_wire::request::Watch;

use crate::audience::Audience;
use crate::chat::{Chat, Mirror, Progress, Role};
use crate::ids::ConnectionId;
use crate::image_assembly::Assembly;
use crate::limits::{DEMAND_INTERVAL_MS, MIRROR_LINGER_MS};
use crate::output::Output;
use crate::peer_message::Message;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::sole_timer::SoleTimer;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// A watch of a chat that this shard knows nothing of.
    pub(super) fn ask_image(&mut self, connection: ConnectionId, watch: Watch) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.asking += 1;
        let chat = watch.chat.clone();
        let (user, claim) = (known.person.user.clone(), known.person.claim(&chat));
        let may_name = !known.person.is_relay();
        if let Some(asking) = self.asking.get_mut(&chat) {
            asking.push((connection, watch));
            return;
        }
        self.asking.insert(chat.clone(), vec![(connection, watch)]);
        let owner = self.owner_of_name(&chat);
        let is_mirrored = self.chats.named(&chat).is_some();
        let ask = Message::WatchAsk {
            chat,
            user,
            claim,
            is_mirrored,
            may_name,
        };
        self.post(owner, ask);
    }

    /// A connection is gone; it waits no more.
    pub(super) fn stop_asking(&mut self, connection: ConnectionId) {
        for asking in self.asking.values_mut() {
            asking.retain(|(other, _)| *other != connection);
        }
        self.row_asks.retain(|_, (other, _)| *other != connection);
    }

    /// An image is whole: from here on this shard follows the chat, and judges who may watch.
    pub(super) fn image_came(&mut self, now: Timestamp, chat: ChatHandle, assembly: Assembly) {
        if self.chats.get(chat).is_some() {
            self.mirror_renewed(now, chat, assembly);
            return;
        }
        let (partition, name) = (assembly.partition, assembly.name.clone());
        self.begin_mirror(now, chat, assembly);
        let waiting = self.asking.remove(&name);
        for (connection, watch) in waiting.unwrap_or_default() {
            self.watch_again(now, connection, watch);
        }
        self.idle_from(now, chat);
        self.check_waits(now, partition);
    }

    fn begin_mirror(&mut self, now: Timestamp, chat: ChatHandle, assembly: Assembly) {
        let (partition, read_to) = (assembly.partition, assembly.read_to());
        let Some(state) = self.partition(partition) else {
            return;
        };
        state.mirrored += 1;
        if assembly.epochs.len() > state.epochs.len() {
            state.epochs = assembly.epochs;
        }
        let epoch = state.epoch();
        if !state.is_followed {
            state.is_followed = true;
            state.followed = read_to;
            let from = read_to + 1;
            self.emit(Output::Follow { partition, from });
        }
        let mut table = assembly.table;
        table.set_epoch(epoch);
        self.chats.insert(Chat {
            name: assembly.name,
            handle: chat,
            partition,
            table,
            members: assembly.members,
            audience: Audience::default(),
            demand_told_ms: 0,
            demand_told_at: Timestamp(now.0.saturating_sub(DEMAND_INTERVAL_MS)),
            demand_timer: SoleTimer::default(),
            forget_timer: SoleTimer::default(),
            keys_timer: SoleTimer::default(),
            role: Role::Mirror(Mirror {
                owner: assembly.owner,
                progress: Progress::Following,
                idle_since: now,
                idle_timer: SoleTimer::default(),
                fed: None,
            }),
        });
        self.stats.chats_mirrored += 1;
        self.forget_later(chat);
    }

    /// The owner has no such chat for this user.
    pub(super) fn image_refused(&mut self, name: &ChatName, who: (&UserName, Rights), code: Code) {
        let Some(waiting) = self.asking.remove(name) else {
            return;
        };
        for (connection, watch) in waiting {
            let Some(known) = self.connections.get_mut(&connection) else {
                continue;
            };
            known.asking = known.asking.saturating_sub(1);
            if (&known.person.user, known.person.claim(name)) == who {
                self.refuse(connection, watch.request, WireError::of(code));
            } else {
                // Somebody else waits for the same chat: ask on their behalf.
                self.ask_image(connection, watch);
            }
        }
    }

    /// A watch that waited for an image is judged like a new one.
    pub(super) fn watch_again(&mut self, now: Timestamp, connection: ConnectionId, watch: Watch) {
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
            self.look_at_idle_later(chat);
        }
    }

    fn look_at_idle_later(&mut self, chat: ChatHandle) {
        let known = self.chats.get_mut(chat).map(|known| &mut known.role);
        if let Some(Role::Mirror(mirror)) = known {
            let at = mirror.idle_since.plus_ms(MIRROR_LINGER_MS);
            if mirror.idle_timer.wants(at) {
                self.wheel.set(at, Timer::MirrorIdle(chat));
            }
        }
    }

    /// A mirror may have been without viewers for long enough.
    pub(super) fn mirror_idle(&mut self, now: Timestamp, at: Timestamp, chat: ChatHandle) {
        let known = self.chats.get_mut(chat).map(|known| &mut known.role);
        let Some(Role::Mirror(mirror)) = known else {
            return;
        };
        if !mirror.idle_timer.fires(at) {
            return;
        }
        let Some(idle_since) = self.idle_mirror(chat).map(|mirror| mirror.idle_since) else {
            return;
        };
        match idle_since.plus_ms(MIRROR_LINGER_MS) <= now {
            true => self.drop_mirror(now, chat),
            // There were viewers meanwhile.
            false => self.look_at_idle_later(chat),
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
        self.assembling.remove(&chat);
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
}
