//! What the control log counts, for `GET /metrics`.

use crate::control::core::ControlCore;
use crate::metrics::metrics;

metrics! {
    /// The metrics of the control log.
    pub static CONTROL_METRICS;
    /// Copies the numbers out.
    pub fn publish(it: &ControlCore);

    gauge "control_index", "Index of the newest command that was applied"
        => it.state().applied_index();
    gauge "control_chats", "Chats that the control log knows" => it.state().chats().len() as u64;
    counter "control_commands_committed", "Commands that became durable" => it.counters().committed;
    counter "control_commands_rejected", "Commands that did not become durable"
        => it.counters().rejected;
    counter "control_groups", "Group commits, each one sync" => it.counters().groups;
    counter "control_failures", "Group commits that failed" => it.counters().failures;
    counter "control_checkpoints", "Checkpoints of the control state" => it.counters().checkpoints;
}
