//! Outcomes of the control log on their way to the shards that asked.

use std::sync::Arc;

use crate::chat_names::ChatNames;
use crate::control::core::{Committed, Rejected};
use crate::control::thread::OutcomeSink;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::Inbound;

/// Hands outcomes to the inboxes; waits where one is full, which the control thread may.
#[derive(Debug)]
pub struct Outcomes {
    /// The way to the shards.
    pub gateway: Gateway,
    /// Where others look chats up.
    pub names: Arc<ChatNames>,
}

impl OutcomeSink for Outcomes {
    fn committed(&mut self, committed: Committed) {
        let Committed {
            shard,
            proposal,
            index,
            command,
            handle,
        } = committed;
        // Before the shard acts on it: no record of the chat is in the log yet.
        self.names.note(command.chat(), handle.0);
        let input = Inbound::Committed {
            index,
            proposal: Some(proposal),
            command,
            handle,
        };
        self.gateway.inbox(shard).send_blocking(input);
    }

    fn rejected(&mut self, rejected: Rejected) {
        let Rejected {
            shard,
            proposal,
            code,
        } = rejected;
        self.gateway
            .inbox(shard)
            .send_blocking(Inbound::Rejected(proposal, code));
    }
}
