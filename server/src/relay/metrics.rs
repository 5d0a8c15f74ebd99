//! What a relay counts of its upstream.

use skein_engine::relay::hub::HubStats;

use crate::metrics::{Metric, MetricRow};

/// In the order of [`publish`].
pub static RELAY_METRICS: &[Metric] = &[
    Metric::gauge(
        "relay_upstream_connected",
        "1 while the relay hears its upstream",
    ),
    Metric::counter(
        "relay_upstream_losses",
        "Times that the connection to the upstream ended",
    ),
    Metric::gauge("relay_chats", "Chats watched at the upstream"),
    Metric::counter("relay_batches", "Batches of the upstream handed on"),
    Metric::counter(
        "relay_batches_full",
        "Batches of the upstream that replaced a whole chat",
    ),
    Metric::counter(
        "relay_restarts",
        "Watches at the upstream that had to begin anew",
    ),
    Metric::counter(
        "relay_members_changed",
        "Changes of members taken from the upstream",
    ),
];

/// Shows the numbers.
pub fn publish(row: &MetricRow, is_connected: bool, losses: u64, hub: HubStats) {
    row.publish([
        u64::from(is_connected),
        losses,
        hub.chats,
        hub.batches,
        hub.batches_full,
        hub.restarts,
        hub.members_changed,
    ]);
}
