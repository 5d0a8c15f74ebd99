//! Who asked for durability is told when the log's durable watermark has passed the record.

use std::collections::BTreeMap;

use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, Counter, SessionId};

use crate::ids::PartitionId;
use crate::partition::{DurableWait, DurableWaiter};
use crate::request::ChatReply;
use crate::shard::Shard;

impl Shard {
    /// Everything of a partition up to `offset` is durable, but for the records of which `is_lost`
    /// says that they never will be: who waits for one of those is told `not_durable`.
    pub fn handle_durable(
        &mut self,
        partition: PartitionId,
        offset: u64,
        is_lost: impl Fn(u64) -> bool,
    ) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        state.durable = state.durable.max(offset);
        let reached = state.durable;
        let behind = state
            .durable_waits
            .partition_point(|wait| wait.offset <= reached);
        let over = state.durable_waits.drain(..behind).collect();
        self.end_waits(over, is_lost);
    }

    /// The log has no file to write to, and no record of a partition from `offset` on will become
    /// durable: who waits for one is told `not_durable` now and not when the disk is back.
    pub fn handle_lost_from(&mut self, partition: PartitionId, offset: u64) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        let before = state
            .durable_waits
            .partition_point(|wait| wait.offset < offset);
        let over = state.durable_waits.split_off(before).into();
        self.end_waits(over, |_| true);
    }

    fn end_waits(&mut self, over: Vec<DurableWait>, is_lost: impl Fn(u64) -> bool) {
        if over.is_empty() {
            return;
        }
        // Each session once, and in the same order on every run.
        let mut told: BTreeMap<(ChatHandle, SessionId), Counter> = BTreeMap::new();
        for wait in over {
            let lost = is_lost(wait.offset);
            match wait.who {
                DurableWaiter::Api { request, mut reply } => {
                    reply.durable = !lost;
                    self.reply(request, Ok(ChatReply::Points(reply)));
                }
                DurableWaiter::Session {
                    chat,
                    session,
                    counter,
                } => {
                    let durable = told.entry((chat, session)).or_default();
                    if !lost {
                        *durable = counter.max(*durable);
                    }
                    if let Some(live) = self.chats.session_mut(chat, session) {
                        live.durable_waits = live.durable_waits.saturating_sub(1);
                        if lost {
                            for binding in &mut live.bindings {
                                binding.verdict(counter, Code::NotDurable);
                            }
                        }
                    }
                }
            }
        }
        let now = self.now;
        for ((chat, session), counter) in told {
            self.acknowledge(now, chat, session, now, counter);
            self.durable_told(chat, session);
        }
        self.settle(now);
    }

    /// Somebody waits until the record at `offset` is durable.
    pub(super) fn wait_durable(&mut self, partition: PartitionId, offset: u64, who: DurableWaiter) {
        if let Some(state) = self.partition(partition) {
            state.durable_waits.push_back(DurableWait { offset, who });
            self.syncs.insert(partition);
        }
    }
}
