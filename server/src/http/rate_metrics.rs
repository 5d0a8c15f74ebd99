//! What the rates of addresses and users have refused, for `GET /metrics`.

use std::sync::Arc;

use crate::access::Access;
use crate::metrics::{Metric, MetricsBoard};

static RATE_METRICS: &[Metric] = &[
    Metric::counter(
        "address_rate_refused",
        "Connections and HTTP requests that were refused because their address opened too many",
    ),
    Metric::counter(
        "user_rate_refused",
        "Requests that were refused because their user made too many over all connections",
    ),
];

/// Puts them on the board.
pub fn show(board: &mut MetricsBoard, access: &Arc<Access>) {
    let access = Arc::clone(access);
    board.asked(RATE_METRICS, move || access.rates().refused().to_vec());
}
