//! The names that whoever reads `ratios.json` relies on: the rows of the table of aims, and what
//! stands beside them. A whole run, quick or full, has all of them, or it fails.

/// The names.
pub const NAMES: &[&str] = &[
    "log_append_64B_batched",
    "log_append_64B_vs_crc_floor",
    "log_durable_p50",
    "log_durable_p99",
    "log_durable_throughput",
    "log_read_verified",
    "stall_after_sync_p99_us",
    "stall_worst_us",
    "log_sustained",
    "fanout_ws_1k",
    "fanout_ws_10k",
    "fanout_ws_10k_uring",
    "fanout_ws_10k_backlog32",
    "fanout_wss_10k",
    "fanout_quic_5k_vs_floor",
    "fanout_quic_5k_vs_quinn",
    "first_viewer_p50",
    "last_of_1000_p50",
    "positions_per_cpu_s",
    "bytes_per_row",
    "bytes_per_row_full",
    "memory_ws_viewer_bytes",
    "memory_wss_viewer_bytes",
    "memory_quic_viewer_bytes",
];

/// Those of `wanted` that nothing `has`.
pub fn missing<'a>(
    wanted: impl IntoIterator<Item = &'a str>,
    has: impl Fn(&str) -> bool,
) -> Vec<&'a str> {
    let wanted = wanted.into_iter();
    wanted.filter(|name| !has(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::{NAMES, missing};

    #[test]
    fn a_name_that_nothing_has_is_missing() {
        let all_but_one = |name: &str| name != "stall_worst_us";
        let found = missing(NAMES.iter().copied(), all_but_one);
        assert_eq!(found, ["stall_worst_us"]);
        assert!(missing(NAMES.iter().copied(), |_| true).is_empty());
    }
}
