//! The clock of a shard: when it has to be called, and what it does then.

use skein_wire::ids::ChatHandle;

use crate::limits::{KEYS_SWEEP_MS, TIMERS_PER_PASS_MAX};
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// When [`Self::handle_timeout`] or [`Self::fan_out`] has something to do, if nothing else
    /// comes; a moment in the past means at once.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let has_slices =
            self.has_checkpoint_slice() || !self.imaging.is_empty() || !self.telling.is_empty();
        let slice = has_slices.then_some(self.now);
        [self.wheel.next_due(), self.fan_out.poll_timeout(), slice]
            .into_iter()
            .flatten()
            .min()
    }

    /// Fires timers whose time has come, up to a bound. Once in a pass.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.tick(now);
        for _ in 0..TIMERS_PER_PASS_MAX {
            let Some((at, timer)) = self.wheel.pop_due(now) else {
                break;
            };
            self.fire(now, at, timer);
            self.settle(now);
        }
        self.stats.timers = self.wheel.len() as u64;
        self.watch_memory(now);
    }

    fn fire(&mut self, now: Timestamp, at: Timestamp, timer: Timer) {
        match timer {
            Timer::Life { chat, session } => self.life_due(now, chat, session, at),
            Timer::Ack { chat, session } => self.ack_due(now, chat, session, at),
            Timer::EndTold { chat, session } => self.tell_end(chat, session),
            Timer::Token(connection) => self.token_due(now, connection, at),
            Timer::MirrorIdle(chat) => self.mirror_idle(now, at, chat),
            Timer::Demand(chat) => self.demand_due(now, at, chat),
            Timer::FenceOver(order) => self.fence_over(now, order),
            Timer::Retry(order) => self.retry(now, order),
            Timer::Tombstones(chat) => self.forget_ended(now, at, chat),
            Timer::RelayLate(connection) => self.relay_late(now, connection),
            Timer::Links(chat) => self.end_links(now, chat),
            Timer::Keys(chat) => self.sweep_keys(now, at, chat),
            Timer::Stay { chat, session } => self.stay_due(now, chat, session, at),
            Timer::GeofenceOver { chat, geofence } => self.geofence_over(now, chat, geofence),
        }
    }

    fn forget_ended(&mut self, now: Timestamp, at: Timestamp, chat: ChatHandle) {
        if let Some(known) = self.chats.get_mut(chat)
            && known.forget_timer.fires(at)
        {
            known.table.forget_old(now);
            self.forget_later(chat);
            self.end_links(now, chat);
        }
    }

    pub(super) fn sweep_keys_later(&mut self, now: Timestamp, chat: ChatHandle) {
        let at = now.plus_ms(KEYS_SWEEP_MS);
        let known = self.chats.get_mut(chat);
        if known.is_some_and(|known| known.keys_timer.wants(at)) {
            self.wheel.set(at, Timer::Keys(chat));
        }
    }

    fn sweep_keys(&mut self, now: Timestamp, at: Timestamp, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if !known.keys_timer.fires(at) {
            return;
        }
        if known.owner_mut().is_some_and(|owner| owner.sweep_keys(now)) {
            self.sweep_keys_later(now, chat);
        }
    }
}
