//! What the control log counts, for `GET /metrics`.

use crate::control::core::ControlCore;
use crate::metrics::{Metric, MetricRow};

/// The metrics, in the order of [`publish`].
pub static CONTROL_METRICS: &[Metric] = &[
    Metric::gauge(
        "control_index",
        "Index of the newest command that was applied",
    ),
    Metric::gauge("control_chats", "Chats that the control log knows"),
    Metric::counter("control_commands_committed", "Commands that became durable"),
    Metric::counter(
        "control_commands_rejected",
        "Commands that did not become durable",
    ),
    Metric::counter("control_groups", "Group commits, each one sync"),
    Metric::counter("control_failures", "Group commits that failed"),
    Metric::counter("control_checkpoints", "Checkpoints of the control state"),
];

/// Copies the numbers out.
pub fn publish(core: &ControlCore, row: &MetricRow) {
    let counters = core.counters();
    row.publish([
        core.state().applied_index(),
        core.state().chats().len() as u64,
        counters.committed,
        counters.rejected,
        counters.groups,
        counters.failures,
        counters.checkpoints,
    ]);
}
