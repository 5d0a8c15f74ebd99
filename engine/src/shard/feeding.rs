//! Mirrors of a relay: fed by the hub instead of the log, and the same in everything else.

use std::sync::Arc;

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, RequestNumber};
use skein_wire::update::{Update, WatchEnded};

use crate::audience::Audience;
use crate::chat::{Chat, Mirror, Progress, Role};
use crate::feed::{Feed, FeedImage, note_epoch};
use crate::ids::{ConnectionId, ShardId};
use crate::limits::DEMAND_INTERVAL_MS;
use crate::output::Output;
use crate::peer_message::{Message, UpstreamState};
use crate::shard::Shard;
use crate::sole_timer::SoleTimer;
use crate::time::Timestamp;

impl Shard {
    /// The hub's image of a chat: the mirror begins, or has all of it anew.
    pub(super) fn feed_image_came(&mut self, now: Timestamp, hub: ShardId, image: Arc<FeedImage>) {
        let image = Arc::unwrap_or_clone(image);
        let chat = image.chat;
        if self.chats.get(chat).is_some() {
            self.feed_renewed(chat, image);
            return;
        }
        let name = image.name.clone();
        let Some(waiting) = self.asking.remove(&name) else {
            // Whoever asked is gone.
            self.post(hub, Message::MirrorDropped { chat });
            return;
        };
        self.begin_feed(now, hub, image);
        for (connection, watch) in waiting {
            self.watch_again(now, connection, watch);
        }
        self.idle_from(now, chat);
    }

    fn begin_feed(&mut self, now: Timestamp, hub: ShardId, image: FeedImage) {
        let partition = self.partition_of(&image.name);
        if let Some(state) = self.partition(partition) {
            state.mirrored += 1;
        }
        let chat = image.chat;
        self.chats.insert(Chat {
            name: image.name,
            handle: chat,
            partition,
            table: image.table,
            members: image.members,
            audience: Audience::default(),
            demand_told_ms: 0,
            demand_told_at: Timestamp(now.0.saturating_sub(DEMAND_INTERVAL_MS)),
            demand_timer: SoleTimer::default(),
            forget_timer: SoleTimer::default(),
            keys_timer: SoleTimer::default(),
            role: Role::Mirror(Mirror {
                owner: hub,
                progress: Progress::Following,
                idle_since: now,
                idle_timer: SoleTimer::default(),
                fed: Some(image.epochs),
            }),
        });
        self.stats.chats_mirrored += 1;
        self.forget_later(chat);
    }

    fn feed_renewed(&mut self, chat: ChatHandle, image: FeedImage) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        known.table = image.table;
        if let Role::Mirror(mirror) = &mut known.role {
            mirror.fed = Some(image.epochs);
        }
        self.forget_later(chat);
        self.fan_out.mark_changed(chat);
    }

    /// What the upstream told of a chat.
    pub(super) fn fed(&mut self, feed: &Feed) {
        let Some(known) = self.chats.get_mut(feed.chat) else {
            return;
        };
        let Role::Mirror(Mirror {
            fed: Some(epochs), ..
        }) = &mut known.role
        else {
            return;
        };
        if note_epoch(epochs, feed.epoch, feed.epoch_first) {
            known.table.set_epoch(feed.epoch);
        }
        let ended_before = known.table.tombstones();
        feed.apply_to(&mut known.table);
        let has_first_end = ended_before == 0 && known.table.tombstones() > 0;
        self.stats.records_followed += feed.steps.len() as u64;
        self.fan_out.mark_changed(feed.chat);
        if has_first_end {
            self.forget_later(feed.chat);
        }
    }

    /// The upstream lets this relay watch a chat no more.
    pub(super) fn feed_ended(&mut self, now: Timestamp, chat: ChatHandle, code: Code) {
        let watching: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.watches.contains_key(&chat))
            .map(|(id, _)| id)
            .collect();
        for connection in watching {
            self.end_watch(now, connection, chat, code);
        }
        self.drop_mirror(now, chat);
    }

    /// Ends one watch of a connection for a reason of ours; what is half-written is not completed.
    pub(super) fn end_watch(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        chat: ChatHandle,
        code: Code,
    ) {
        let known = self.connections.get_mut(&connection);
        let Some(watch) = known.and_then(|known| known.watches.remove(&chat)) else {
            return;
        };
        self.end_viewer(now, chat, watch);
        self.give_place_back(connection, chat);
        self.emit(Output::Purge { connection, chat });
        self.frame(connection, Update::WatchEnded(WatchEnded { chat, code }));
    }

    /// How the way to the server is. Viewers are told when it is lost and when it is back; relays
    /// behind this one of every change.
    pub(super) fn upstream_told(&mut self, now: Timestamp, state: Arc<UpstreamState>) {
        if state.log != self.config.log_id {
            self.config.log_id = state.log;
            self.leave_log(now);
        }
        let before = self.upstream.replace(Arc::clone(&state));
        let before = before.map_or(0, |before| before.way.lost_since_ms);
        let is_news = before != state.way.lost_since_ms;
        let told: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_news || connection.person.is_relay())
            .map(|(id, _)| id)
            .collect();
        for connection in told {
            self.frame(connection, Update::Upstream(state.way.clone()));
        }
    }

    /// A new connection learns what it would have heard.
    pub(super) fn tell_upstream(&mut self, connection: ConnectionId) {
        let Some(state) = self.upstream.clone() else {
            return;
        };
        let known = self.connections.get(&connection);
        let is_relay = known.is_some_and(|known| known.person.is_relay());
        if is_relay || state.way.lost_since_ms > 0 {
            self.frame(connection, Update::Upstream(state.way.clone()));
        }
    }

    /// The upstream has another log: no cursor holds any longer, and `Welcome` has said the old one.
    fn leave_log(&mut self, now: Timestamp) {
        let all: Vec<ConnectionId> = self.connections.iter().map(|(id, _)| id).collect();
        for connection in all {
            self.close(now, connection, WireError::of(Code::GoingAway));
        }
        for chat in self.chats.handles(Chat::is_mirror) {
            self.drop_mirror(now, chat);
        }
    }

    /// A relay takes no senders: says where they go.
    pub(super) fn refuse_sender(&mut self, connection: ConnectionId, request: RequestNumber) {
        let error = match self
            .config
            .relay
            .as_ref()
            .and_then(|relay| relay.senders_to.clone())
        {
            Some(server) => {
                let text = format!("this is a relay and serves viewers only; share at {server}");
                WireError::new(Code::Relayed, text)
            }
            None => WireError::of(Code::Relayed),
        };
        self.refuse(connection, request, error);
    }
}
