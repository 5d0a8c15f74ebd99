//! Who asked for durability is told when the log's durable watermark has passed the record.

use std::collections::BTreeMap;

use skein_wire::ids::{ChatHandle, Counter, SessionId};

use crate::ids::PartitionId;
use crate::partition::{DurableWait, DurableWaiter};
use crate::request::ChatReply;
use crate::shard::Shard;

impl Shard {
    /// Everything of a partition up to `offset` is durable.
    pub fn handle_durable(&mut self, partition: PartitionId, offset: u64) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        state.durable = state.durable.max(offset);
        // Each session once, and in the same order on every run.
        let mut told: BTreeMap<(ChatHandle, SessionId), Counter> = BTreeMap::new();
        while let Some(waiter) = self.pop_durable(partition) {
            match waiter {
                DurableWaiter::Api { request, mut reply } => {
                    reply.durable = true;
                    self.reply(request, Ok(ChatReply::Points(reply)));
                }
                DurableWaiter::Session {
                    chat,
                    session,
                    counter,
                } => {
                    if let Some(live) = self.chats.session_mut(chat, session) {
                        live.durable_waits = live.durable_waits.saturating_sub(1);
                    }
                    let durable = told.entry((chat, session)).or_default();
                    *durable = counter.max(*durable);
                }
            }
        }
        let now = self.now;
        for ((chat, session), counter) in told {
            self.acknowledge(now, chat, session, now, counter);
        }
        self.settle(now);
    }

    fn pop_durable(&mut self, partition: PartitionId) -> Option<DurableWaiter> {
        let state = self.partition(partition)?;
        let durable = state.durable;
        let wait = state
            .durable_waits
            .pop_front_if(|wait| wait.offset <= durable)?;
        Some(wait.who)
    }

    /// Somebody waits until the record at `offset` is durable.
    pub(super) fn wait_durable(&mut self, partition: PartitionId, offset: u64, who: DurableWaiter) {
        if let Some(state) = self.partition(partition) {
            state.durable_waits.push_back(DurableWait { offset, who });
            self.syncs.insert(partition);
        }
    }
}
