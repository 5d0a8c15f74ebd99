//! Outcomes of the control log on their way to the shards that asked.

use crate::control::core::{Committed, Rejected};
use crate::control::thread::OutcomeSink;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::Inbound;

/// Hands outcomes to the inboxes; waits where one is full, which the control thread may.
#[derive(Debug)]
pub struct Outcomes(pub Gateway);

impl OutcomeSink for Outcomes {
    fn committed(&mut self, committed: Committed) {
        let Committed {
            shard,
            proposal,
            index,
            command,
            handle,
        } = committed;
        let input = Inbound::Committed {
            index,
            proposal: Some(proposal),
            command,
            handle,
        };
        self.0.inbox(shard).send_blocking(input);
    }

    fn rejected(&mut self, rejected: Rejected) {
        let Rejected {
            shard,
            proposal,
            code,
        } = rejected;
        self.0
            .inbox(shard)
            .send_blocking(Inbound::Rejected(proposal, code));
    }
}
