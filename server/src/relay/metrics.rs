//! What a relay counts of its upstream.

use skein_engine::relay::hub::HubStats;

use crate::metrics::metrics;

/// What the metrics of a relay are taken from.
#[derive(Clone, Copy, Debug)]
pub struct RelayNumbers {
    /// Whether it hears its upstream.
    pub is_connected: bool,
    /// How often it did not any more.
    pub losses: u64,
    /// What it has watched there.
    pub hub: HubStats,
}

metrics! {
    /// The metrics of a relay.
    pub static RELAY_METRICS;
    /// Copies the numbers out.
    pub fn publish(it: RelayNumbers);

    gauge "relay_upstream_connected", "1 while the relay hears its upstream"
        => u64::from(it.is_connected);
    counter "relay_upstream_losses", "Times that the connection to the upstream ended" => it.losses;
    gauge "relay_chats", "Chats watched at the upstream" => it.hub.chats;
    counter "relay_batches", "Batches of the upstream handed on" => it.hub.batches;
    counter "relay_batches_full", "Batches of the upstream that replaced a whole chat"
        => it.hub.batches_full;
    counter "relay_restarts", "Watches at the upstream that had to begin anew" => it.hub.restarts;
    counter "relay_members_changed", "Changes of members taken from the upstream"
        => it.hub.members_changed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::relayed::UPSTREAM_CONNECTED;

    #[test]
    fn health_tells_of_the_metric_of_that_name() {
        assert_eq!(
            RELAY_METRICS[UPSTREAM_CONNECTED].name,
            "relay_upstream_connected"
        );
    }
}
