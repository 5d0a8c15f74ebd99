//! The memory ceiling of a shard: ended rows, then trails, then mirrors without viewers are given
//! back; then new sessions are refused. Live ones are never dropped.

use crate::chat::Chat;
use crate::image_assembly::Assembly;
use crate::shard::Shard;
use crate::time::Timestamp;

/// Milliseconds between two sums over all chats: sums cost time, memory grows slowly.
const SUM_INTERVAL_MS: u64 = 1_000;

impl Shard {
    /// Whether a new session may be taken.
    pub(super) fn has_memory(&mut self, now: Timestamp) -> bool {
        let bytes_max = self.config.limits.memory_bytes_max as u64;
        self.watch_memory(now);
        self.stats.memory_bytes <= bytes_max
    }

    /// Looks at the ceiling now and then, without a timer of its own.
    pub(super) fn watch_memory(&mut self, now: Timestamp) {
        if now.since_ms(self.memory_checked_at) >= SUM_INTERVAL_MS {
            self.keep_within_memory(now);
        }
    }

    fn keep_within_memory(&mut self, now: Timestamp) {
        self.memory_checked_at = now;
        self.sum();
        let steps: [fn(&mut Self); 3] = [
            Self::give_back_ended,
            Self::give_back_trails,
            Self::give_back_mirrors,
        ];
        for step in steps {
            if self.stats.memory_bytes <= self.config.limits.memory_bytes_max as u64 {
                return;
            }
            self.stats.give_backs += 1;
            step(self);
            self.sum();
        }
    }

    /// Brings the gauges up to date.
    pub(super) fn sum(&mut self) {
        let (mut bytes, mut ended, mut owned) = (0, 0, 0);
        for chat in self.chats.iter() {
            bytes += chat.bytes();
            ended += chat.table.tombstones();
            owned += usize::from(chat.owner().is_some());
        }
        bytes += self.assembling.values().map(Assembly::bytes).sum::<usize>();
        self.stats.views = self.fan_out.views();
        self.stats.memory_bytes = bytes as u64 + self.stats.views.bytes;
        self.stats.tombstones = ended as u64;
        self.stats.chats_owned = owned as u64;
    }

    fn give_back_ended(&mut self) {
        for chat in self.chats.handles(|chat| chat.table.tombstones() > 0) {
            if let Some(chat) = self.chats.get_mut(chat) {
                chat.table.give_back_ended();
            }
        }
    }

    fn give_back_trails(&mut self) {
        for chat in self.chats.handles(|_| true) {
            if let Some(chat) = self.chats.get_mut(chat) {
                chat.table.give_back_trails();
            }
        }
    }

    fn give_back_mirrors(&mut self) {
        let idle = |chat: &Chat| chat.is_mirror() && chat.audience.is_empty();
        for chat in self.chats.handles(idle) {
            self.drop_mirror(self.now, chat);
        }
    }
}
