//! How often it is worth reporting: from viewers over mirrors to the owner and to senders. At most
//! once a second per chat, and only on change.

use skein_wire::ids::ChatHandle;

use crate::chat::Role;
use crate::ids::ShardId;
use crate::limits::DEMAND_INTERVAL_MS;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// Viewers of a chat came, left or changed their mind.
    pub(super) fn demand_changed(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let demand_ms = known.demand_ms();
        if demand_ms == known.demand_told_ms {
            return;
        }
        let may_tell_at = known.demand_told_at.plus_ms(DEMAND_INTERVAL_MS);
        if now < may_tell_at {
            if known.demand_timer.wants(may_tell_at) {
                self.wheel.set(may_tell_at, Timer::Demand(chat));
            }
            return;
        }
        known.demand_told_ms = demand_ms;
        known.demand_told_at = now;
        match &known.role {
            Role::Owner(_) => self.tell_senders(chat, demand_ms),
            Role::Mirror(mirror) => {
                let owner = mirror.owner;
                let interval_ms = demand_ms;
                self.post(owner, Message::MirrorDemand { chat, interval_ms });
            }
        }
    }

    /// A change of demand may be told.
    pub(super) fn demand_due(&mut self, now: Timestamp, at: Timestamp, chat: ChatHandle) {
        let known = self.chats.get_mut(chat);
        if known.is_some_and(|known| known.demand_timer.fires(at)) {
            self.demand_changed(now, chat);
        }
    }

    /// A mirror's viewers want something else.
    pub(super) fn mirror_demands(
        &mut self,
        now: Timestamp,
        from: ShardId,
        chat: ChatHandle,
        interval_ms: u32,
    ) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let mirrors = owner.mirrors.iter_mut();
        for mirror in mirrors.filter(|mirror| mirror.shard == from) {
            mirror.demand_ms = interval_ms;
        }
        self.demand_changed(now, chat);
    }

    fn tell_senders(&mut self, chat: ChatHandle, interval_ms: u32) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let mut told = Vec::new();
        for (session, state) in &owner.sessions {
            for binding in &state.bindings {
                told.push((*session, binding.shard, binding.connection));
            }
        }
        told.sort_unstable();
        for (session, shard, connection) in told {
            let message = Message::Demand {
                connection,
                session,
                interval_ms,
            };
            self.post(shard, message);
        }
    }
}
