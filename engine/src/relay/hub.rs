//! The hub of a relay: to the shards the owner of every chat, to the upstream one viewer.
//!
//! A state machine without I/O, like a shard: messages of shards and what the link to the upstream brings
//! come in; messages to shards ([`Hub::poll_peer`]) and requests ([`Hub::poll_command`]) go out.
//!
//! - Each chat is watched once, from the first viewer on any shard until a while after the last one.
//! - Viewers are judged here and on the shards by the upstream's list of members. A chat is handed on
//!   only while that list is known; a change of it is answered when every shard has applied it.
//! - While the upstream is not heard, what is here goes on being served, and viewers are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, ChatName, UserName};
use skein_wire::limits::RELAYS_MAX;
use skein_wire::update::{Crossing, Members, Upstream, Watching};

use crate::feed::Feed;
use crate::ids::{PartitionId, ShardId};
use crate::limits::{RELAY_CHATS_MAX, RELAY_LINGER_MS, RELAY_OPENING_MS, UPSTREAM_LOST_MS};
use crate::outbox::Outbox;
use crate::peer_message::{Message, PeerMessage, UpstreamState};
use crate::relay::hub_chat::{Ask, HubChat, Taken};
use crate::relay::hub_command::HubCommand;
use crate::relay::idle_chats::IdleChats;
use crate::rights::Rights;
use crate::table::TableLimits;
use crate::time::Timestamp;

/// What a hub is told once.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// Number of the relay's shards; the hub counts as the one behind the last.
    pub shards: u16,
    /// Identity of the relay, random and kept.
    pub relay_id: u64,
    /// Bounds of its tables.
    pub table: TableLimits,
}

/// What a hub counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Chats that are watched at the upstream.
    pub chats: u64,
    /// Batches of the upstream that were handed on.
    pub batches: u64,
    /// Batches that replaced a whole chat.
    pub batches_full: u64,
    /// Watches that had to begin anew.
    pub restarts: u64,
    /// Changes of members that were applied.
    pub members_changed: u64,
}

/// Why a relay cannot be one of this upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The upstream gets what it has from this relay.
    Loop,
    /// There are as many relays on the way as there may be.
    TooLong,
}

/// See the module's text.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    chats: BTreeMap<ChatName, HubChat>,
    names: BTreeMap<ChatHandle, ChatName>,
    idle: IdleChats,
    /// Chats whose first viewers wait, and until when.
    opening: IdleChats,
    outboxes: Vec<Outbox>,
    commands: VecDeque<HubCommand>,
    log: u64,
    /// Since when nothing is heard, and whether viewers know it.
    lost: Option<Lost>,
    /// What the upstream says of its own way.
    above: Upstream,
    fence_last: u64,
    /// Connections to the upstream so far.
    connection: u64,
    stats: HubStats,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    since: Timestamp,
    is_told: bool,
}

impl Hub {
    /// A hub whose upstream is heard, and has this log.
    pub fn new(config: HubConfig, log: u64) -> Self {
        let mut hub = Self {
            config,
            chats: BTreeMap::new(),
            names: BTreeMap::new(),
            idle: IdleChats::default(),
            opening: IdleChats::default(),
            outboxes: (0..config.shards).map(|_| Outbox::default()).collect(),
            commands: VecDeque::new(),
            log,
            lost: None,
            above: Upstream::default(),
            fence_last: 0,
            connection: 0,
            stats: HubStats::default(),
        };
        hub.tell_upstream();
        hub
    }

    /// The next message to a shard. Taken only while its ring has room.
    pub fn poll_peer(&mut self, to: ShardId) -> Option<PeerMessage> {
        self.outboxes.get_mut(usize::from(to.0))?.pop()
    }

    /// Whether a message to a shard waits.
    pub fn has_peer_messages(&self, to: ShardId) -> bool {
        let outbox = self.outboxes.get(usize::from(to.0));
        outbox.is_some_and(|outbox| !outbox.is_empty())
    }

    /// The next thing to do at the upstream.
    pub fn poll_command(&mut self) -> Option<HubCommand> {
        self.commands.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let lost = self.lost.filter(|lost| !lost.is_told);
        let tell = lost.map(|lost| lost.since.plus_ms(UPSTREAM_LOST_MS));
        [tell, self.idle.next_due(), self.opening.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed: chats without viewers go, and a lost upstream is told.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(name) = self.idle.pop_due(now) {
            self.give_back(&name);
        }
        while let Some(name) = self.opening.pop_due(now) {
            self.open(now, &name);
        }
        if let Some(lost) = &mut self.lost
            && !lost.is_told
            && lost.since.plus_ms(UPSTREAM_LOST_MS) <= now
        {
            lost.is_told = true;
            self.tell_upstream();
            self.refuse_waiting();
        }
    }

    /// Counters and gauges.
    pub fn stats(&self) -> HubStats {
        HubStats {
            chats: self.chats.len() as u64,
            ..self.stats
        }
    }

    /// The upstream is connected. Its log may be another one than before: then nothing of what is here
    /// holds.
    pub fn handle_connected(&mut self, log: u64) {
        self.connection += 1;
        if log != self.log {
            self.log = log;
            self.drop_chats();
        }
        let was_told = self.lost.take().is_some_and(|lost| lost.is_told);
        if was_told {
            self.tell_upstream();
        }
    }

    /// The upstream is not heard any more.
    pub fn handle_lost(&mut self, now: Timestamp) {
        self.lost.get_or_insert(Lost {
            since: now,
            is_told: false,
        });
    }

    /// What the upstream says of its own way: it is a relay itself.
    ///
    /// # Errors
    /// When this relay must not be one of it.
    pub fn handle_upstream(&mut self, above: &Upstream) -> Result<(), PathError> {
        check_path(self.config.relay_id, above)?;
        if self.above != *above {
            self.above = above.clone();
            self.tell_upstream();
        }
        Ok(())
    }

    /// The upstream has accepted a watch.
    pub fn handle_watching(&mut self, chat: &ChatName, watching: &Watching) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if let Some(old) = known.handle().filter(|old| *old != watching.chat) {
            self.names.remove(&old);
        }
        self.names.insert(watching.chat, chat.clone());
        let taken = known.watching(watching, self.connection);
        let knows_members = known.knows_members(self.connection);
        self.hand_on(chat, taken);
        if !knows_members {
            self.commands.push_back(HubCommand::AskMembers {
                chat: watching.chat,
                after: None,
            });
        }
    }

    /// The upstream does not let this relay watch a chat, or not any more.
    pub fn handle_refused(&mut self, chat: &ChatName, code: Code) {
        let Some(mut known) = self.chats.remove(chat) else {
            return;
        };
        self.idle.take(chat);
        self.opening.take(chat);
        for ask in std::mem::take(&mut known.waiting) {
            self.refuse(chat, ask, code);
        }
        let Some(handle) = known.handle() else {
            return;
        };
        self.names.remove(&handle);
        for shard in known.mirrors.keys() {
            self.post(*shard, Message::FeedEnded { chat: handle, code });
        }
    }

    /// A batch of a chat was applied. Its counters are exact.
    pub fn handle_batch(&mut self, now: Timestamp, chat: &ChatName, batch: Batch) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let taken = known.batch(batch);
        self.hand_on(chat, taken);
        self.open_if_settled(now, chat);
    }

    /// Members of a chat, asked for or changed.
    pub fn handle_members(&mut self, now: Timestamp, members: &Members) {
        let Some(name) = self.names.get(&members.chat).cloned() else {
            return;
        };
        if members.request.0 == 0 {
            for (user, rights) in &members.members {
                self.put_member(&name, user, Rights::from_bits(*rights), members.offset);
            }
            self.fence(&name, members.offset);
            return;
        }
        let Some(known) = self.chats.get_mut(&name) else {
            return;
        };
        match known.members_page(members, self.connection) {
            Ok(Some(after)) => self.commands.push_back(HubCommand::AskMembers {
                chat: members.chat,
                after: Some(after),
            }),
            Ok(None) => {}
            Err(changes) => self.members_complete(now, &name, changes),
        }
    }

    /// A crossing of a geofence, as the upstream tells its viewers. An alert is for its user alone, who is not the relay; and
    /// before the members are known nobody hears anything.
    pub fn handle_crossing(&mut self, crossing: &Crossing) {
        let name = self.names.get(&crossing.chat);
        let known = name.and_then(|name| self.chats.get(name));
        let Some(known) = known.filter(|known| known.has_members() && !crossing.is_alert) else {
            return;
        };
        let crossing = Arc::new(crossing.clone());
        let shards: Vec<ShardId> = known.mirrors.keys().copied().collect();
        for shard in shards {
            self.post(shard, Message::FeedCrossing(Arc::clone(&crossing)));
        }
    }

    /// A message of a shard.
    pub fn handle_peer(&mut self, now: Timestamp, from: ShardId, message: PeerMessage) {
        match message.0 {
            Message::WatchAsk {
                chat,
                user,
                claim,
                is_mirrored,
                ..
            } => {
                let ask = Ask {
                    from,
                    user,
                    claim,
                    is_mirrored,
                };
                self.watch_asked(now, chat, ask);
            }
            Message::MirrorDropped { chat } => self.mirror_dropped(now, from, chat),
            Message::MirrorDemand { chat, interval_ms } => {
                self.mirror_demands(from, chat, interval_ms);
            }
            Message::RowAsk { ask, chat, session } => {
                let known = self.names.get(&chat).and_then(|name| self.chats.get(name));
                let table = known.map(HubChat::table);
                let table = table.filter(|table| table.row(session).is_some());
                // The shard has it by now, too: this answer comes behind it.
                let offset = table.map(|table| table.as_of());
                self.post(from, Message::RowAt { ask, offset });
            }
            Message::FenceDone { fence } => self.fence_done(fence, from),
            Message::PlaceAsk { ask, chat, guest } => {
                let judged = Err(Code::Relayed);
                let answer = Message::PlaceAt {
                    ask,
                    chat,
                    guest,
                    judged,
                };
                self.post(from, answer);
            }
            // Shards of a relay refuse what is for senders themselves.
            _ => {}
        }
    }

    fn watch_asked(&mut self, now: Timestamp, chat: ChatName, ask: Ask) {
        let Some(known) = self.chats.get_mut(&chat) else {
            if self.lost.is_some_and(|lost| lost.is_told) || self.chats.len() >= RELAY_CHATS_MAX {
                self.refuse(&chat, ask, Code::Busy);
                return;
            }
            let mut known = HubChat::new(chat.clone(), self.config.table);
            known.waiting.push(ask);
            self.chats.insert(chat.clone(), known);
            let interval_ms = 0;
            self.commands
                .push_back(HubCommand::Watch { chat, interval_ms });
            return;
        };
        if known.is_ready {
            self.judge(now, &chat, ask);
        } else if self.lost.is_some_and(|lost| lost.is_told) {
            self.refuse(&chat, ask, Code::Busy);
        } else {
            known.waiting.push(ask);
        }
    }

    /// Judges a watch as the owner of a chat does.
    fn judge(&mut self, now: Timestamp, chat: &ChatName, ask: Ask) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let may = known.rights(&ask.user, ask.claim).watches();
        let image = known.image().filter(|_| may && !ask.is_mirrored);
        let Some(image) = image else {
            // A mirror that has said no already hears of a newer word by itself.
            if known.mirrors.is_empty() {
                self.idle.put(chat, now.plus_ms(RELAY_LINGER_MS));
            }
            self.refuse(chat, ask, Code::NotFound);
            return;
        };
        known.mirrors.insert(ask.from, 0);
        self.idle.take(chat);
        self.post(ask.from, Message::FeedImage(Arc::new(image)));
    }

    fn members_complete(
        &mut self,
        now: Timestamp,
        name: &ChatName,
        changes: Vec<(UserName, Rights)>,
    ) {
        let offset = self
            .chats
            .get(name)
            .map_or(0, |known| known.table().as_of());
        for (user, rights) in changes {
            self.tell_member(name, &user, rights, offset);
        }
        let batches = self.chats.get_mut(name).map(HubChat::release);
        for batch in batches.into_iter().flatten() {
            self.handle_batch(now, name, batch);
        }
        let is_new = self.chats.get(name).is_some_and(|known| !known.is_ready);
        if is_new {
            self.opening.put(name, now.plus_ms(RELAY_OPENING_MS));
            self.open_if_settled(now, name);
        }
    }

    /// Serves the first viewers once what can be known is here.
    fn open_if_settled(&mut self, now: Timestamp, name: &ChatName) {
        let known = self.chats.get(name);
        if known.is_some_and(|known| !known.is_ready && known.is_settled()) {
            self.open(now, name);
        }
    }

    fn open(&mut self, now: Timestamp, name: &ChatName) {
        self.opening.take(name);
        let known = self.chats.get_mut(name);
        let Some(known) = known.filter(|known| known.has_members()) else {
            return;
        };
        known.is_ready = true;
        for ask in std::mem::take(&mut known.waiting) {
            self.judge(now, name, ask);
        }
        let known = self.chats.get(name);
        if known.is_some_and(|known| known.mirrors.is_empty()) {
            self.idle.put(name, now.plus_ms(RELAY_LINGER_MS));
        }
    }

    fn put_member(&mut self, name: &ChatName, user: &UserName, rights: Rights, offset: u64) {
        if let Some(known) = self.chats.get_mut(name) {
            known.put_member(user, rights);
            self.tell_member(name, user, rights, offset);
        }
    }

    fn tell_member(&mut self, name: &ChatName, user: &UserName, rights: Rights, offset: u64) {
        self.stats.members_changed += 1;
        let Some((chat, shards)) = self.mirrors_of(name) else {
            return;
        };
        for shard in shards {
            let user = user.clone();
            let member = Message::FeedMember {
                chat,
                user,
                rights,
                offset,
            };
            self.post(shard, member);
        }
    }

    /// Answers a change of members when every shard has applied it.
    fn fence(&mut self, name: &ChatName, offset: u64) {
        let Some((chat, shards)) = self.mirrors_of(name) else {
            return;
        };
        if shards.is_empty() {
            self.commands
                .push_back(HubCommand::MembersSeen { chat, offset });
            return;
        }
        self.fence_last += 1;
        let fence = self.fence_last;
        if let Some(known) = self.chats.get_mut(name) {
            known
                .fences
                .insert(fence, (offset, shards.iter().copied().collect()));
        }
        for shard in shards {
            let fence = Message::Fence {
                fence,
                chat,
                partition: PartitionId(0),
                offset,
            };
            self.post(shard, fence);
        }
    }

    fn fence_done(&mut self, fence: u64, shard: ShardId) {
        let mut chats = self.chats.values_mut();
        let Some(known) = chats.find(|known| known.fences.contains_key(&fence)) else {
            return;
        };
        let Some((offset, shards)) = known.fences.get_mut(&fence) else {
            return;
        };
        shards.remove(&shard);
        let offset = *offset;
        if shards.is_empty() {
            known.fences.remove(&fence);
            let chat = known.handle().unwrap_or_default();
            self.commands
                .push_back(HubCommand::MembersSeen { chat, offset });
        }
    }

    fn mirror_dropped(&mut self, now: Timestamp, from: ShardId, chat: ChatHandle) {
        let Some(name) = self.names.get(&chat).cloned() else {
            return;
        };
        let Some(known) = self.chats.get_mut(&name) else {
            return;
        };
        known.mirrors.remove(&from);
        if known.mirrors.is_empty() {
            self.idle.put(&name, now.plus_ms(RELAY_LINGER_MS));
        }
        let fences: Vec<u64> = known.fences.keys().copied().collect();
        for fence in fences {
            self.fence_done(fence, from);
        }
        self.ask_interval(&name);
    }

    fn mirror_demands(&mut self, from: ShardId, chat: ChatHandle, interval_ms: u32) {
        let Some(name) = self.names.get(&chat).cloned() else {
            return;
        };
        let known = self.chats.get_mut(&name);
        if let Some(wanted) = known.and_then(|known| known.mirrors.get_mut(&from)) {
            *wanted = interval_ms;
            self.ask_interval(&name);
        }
    }

    /// Wants of the upstream what the viewers want, and no more.
    fn ask_interval(&mut self, name: &ChatName) {
        let Some(known) = self.chats.get_mut(name) else {
            return;
        };
        let interval_ms = known.wanted_interval_ms();
        if known.interval_ms != interval_ms {
            known.interval_ms = interval_ms;
            let chat = name.clone();
            self.commands
                .push_back(HubCommand::Watch { chat, interval_ms });
        }
    }

    fn hand_on(&mut self, name: &ChatName, taken: Taken) {
        match taken {
            Taken::Nothing => {}
            Taken::Feed(feed) => self.feed(name, &feed),
            Taken::Anew => {
                self.stats.batches_full += 1;
                self.send_images(name);
                self.rewind(name);
            }
            Taken::Broken => {
                self.stats.restarts += 1;
                let chat = name.clone();
                self.commands.push_back(HubCommand::Restart { chat });
            }
        }
    }

    /// Asks for the ends before a full batch, so that a cursor from elsewhere holds here, too.
    fn rewind(&mut self, name: &ChatName) {
        let known = self.chats.get_mut(name);
        if let Some(offset) = known.and_then(HubChat::rewind) {
            let chat = name.clone();
            self.commands.push_back(HubCommand::Rewind { chat, offset });
        }
    }

    fn feed(&mut self, name: &ChatName, feed: &Arc<Feed>) {
        self.stats.batches += 1;
        for shard in self
            .mirrors_of(name)
            .map(|(_, shards)| shards)
            .unwrap_or_default()
        {
            self.post(shard, Message::Feed(Arc::clone(feed)));
        }
    }

    fn send_images(&mut self, name: &ChatName) {
        let Some(known) = self
            .chats
            .get(name)
            .filter(|known| !known.mirrors.is_empty())
        else {
            return;
        };
        let Some(image) = known.image().map(Arc::new) else {
            return;
        };
        let shards: Vec<ShardId> = known.mirrors.keys().copied().collect();
        for shard in shards {
            self.post(shard, Message::FeedImage(Arc::clone(&image)));
        }
    }

    fn mirrors_of(&self, name: &ChatName) -> Option<(ChatHandle, Vec<ShardId>)> {
        let known = self.chats.get(name)?;
        Some((known.handle()?, known.mirrors.keys().copied().collect()))
    }

    /// Nobody has watched a chat for a while.
    fn give_back(&mut self, name: &ChatName) {
        let is_used = |known: &HubChat| !known.mirrors.is_empty() || !known.waiting.is_empty();
        if self.chats.get(name).is_none_or(is_used) {
            return;
        }
        if let Some(handle) = self.chats.remove(name).and_then(|known| known.handle()) {
            self.names.remove(&handle);
        }
        let chat = name.clone();
        self.commands.push_back(HubCommand::Unwatch { chat });
    }

    /// Nothing of what is here holds any more.
    fn drop_chats(&mut self) {
        let chats = std::mem::take(&mut self.chats);
        self.names.clear();
        self.idle = IdleChats::default();
        self.opening = IdleChats::default();
        for (chat, known) in chats {
            for ask in known.waiting {
                self.refuse(&chat, ask, Code::Busy);
            }
            self.commands.push_back(HubCommand::Unwatch { chat });
        }
        self.tell_upstream();
    }

    /// Who waits for a chat that is not here would wait for the upstream.
    fn refuse_waiting(&mut self) {
        let mut waiting = Vec::new();
        for (name, known) in &mut self.chats {
            let asks = std::mem::take(&mut known.waiting);
            waiting.extend(asks.into_iter().map(|ask| (name.clone(), ask)));
        }
        for (chat, ask) in waiting {
            self.refuse(&chat, ask, Code::Busy);
        }
    }

    fn refuse(&mut self, chat: &ChatName, ask: Ask, code: Code) {
        let refused = Message::WatchRefused {
            chat: chat.clone(),
            user: ask.user,
            claim: ask.claim,
            code,
        };
        self.post(ask.from, refused);
    }

    /// Tells the shards, and these their viewers, how the way to the server is.
    fn tell_upstream(&mut self) {
        let own = self.lost.filter(|lost| lost.is_told);
        let own_ms = own.map_or(0, |lost| lost.since.0);
        let lost_since_ms = match (own_ms, self.above.lost_since_ms) {
            (0, above) => above,
            (own, 0) => own,
            (own, above) => own.min(above),
        };
        let mut relays = self.above.relays.clone();
        relays.push(self.config.relay_id);
        let state = Arc::new(UpstreamState {
            log: self.log,
            way: Upstream {
                lost_since_ms,
                relays,
            },
        });
        for shard in 0..self.config.shards {
            self.post(ShardId(shard), Message::Upstream(Arc::clone(&state)));
        }
    }

    fn post(&mut self, to: ShardId, message: Message) {
        if let Some(outbox) = self.outboxes.get_mut(usize::from(to.0)) {
            outbox.push(message);
        }
    }
}

/// Whether a relay may be one of an upstream that says this of itself.
///
/// # Errors
/// Why not.
pub fn check_path(relay_id: u64, above: &Upstream) -> Result<(), PathError> {
    if above.relays.contains(&relay_id) {
        return Err(PathError::Loop);
    }
    match above.relays.len() < RELAYS_MAX {
        true => Ok(()),
        false => Err(PathError::TooLong),
    }
}
