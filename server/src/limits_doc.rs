//! The table of bounds in `docs/SECURITY.md`: what a peer could use up, by which constant it is bounded, and
//! with which value. Made from the constants, so that none of them can be missing or wrong.

use std::fmt::Write as _;

use crate::cli::print_limits::fixed;

/// What is bounded, and the names of the bounds as `serve --print-limits` has them.
const BOUNDED: &[(&str, &[&str])] = &[
    (
        "TLS and QUIC handshakes in time",
        &["tls_handshake_deadline_ms", "quic_handshake_deadline_ms"],
    ),
    (
        "from a connection to its `Hello`",
        &["hello_deadline_ms", "hello_ms_max"],
    ),
    (
        "a frame in time (slow bytes on either transport)",
        &["frame_deadline_ms"],
    ),
    (
        "a request's header and body in time, and idle keep-alive (slow HTTP)",
        &[
            "http_header_deadline_ms",
            "body_deadline_ms",
            "http_answer_deadline_ms",
        ],
    ),
    (
        "the same at the control API",
        &[
            "control_header_deadline_ms",
            "control_stalled_ms",
            "import_pause_ms_max",
        ],
    ),
    (
        "a peer that takes nothing",
        &["idle_viewer_ms", "http_stalled_ms"],
    ),
    (
        "a peer that is gone",
        &[
            "quic_idle_timeout_ms",
            "tcp_keep_alive_idle_s",
            "tcp_keep_alive_interval_s",
            "tcp_keep_alive_probes",
        ],
    ),
    (
        "frames",
        &["client_frame_bytes_max", "server_frame_bytes_max"],
    ),
    (
        "a WebSocket message, checked before anything is allocated; one fragment, no extension",
        &["websocket_message_bytes_max"],
    ),
    (
        "WebSocket pings, pongs and closes",
        &["websocket_controls_per_s_max"],
    ),
    (
        "sockets of WebSockets",
        &[
            "websocket_read_bytes_max",
            "websocket_send_buffer_bytes",
            "websocket_receive_buffer_bytes",
            "websocket_unsent_bytes",
            "tls_buffer_bytes",
        ],
    ),
    (
        "HTTP headers and bodies",
        &[
            "http_header_bytes_max",
            "body_bytes_max",
            "control_header_bytes_max",
            "import_line_bytes_max",
            "label_bytes_max",
        ],
    ),
    (
        "connections",
        &[
            "connections_per_shard_max",
            "http_connections_max",
            "control_connections_max",
            "arrivals_max",
            "tcp_backlog",
        ],
    ),
    (
        "requests at work",
        &[
            "requests_max",
            "requests_waiting_per_connection_max",
            "naming_waits_per_chat_max",
            "event_streams_max",
        ],
    ),
    (
        "QUIC streams of a client",
        &["quic_bidi_streams_max", "quic_uni_streams_max"],
    ),
    (
        "QUIC streams that a client gives up",
        &["quic_given_up_per_second_max", "quic_given_up_burst_max"],
    ),
    (
        "QUIC windows towards us",
        &[
            "quic_stream_window_bytes",
            "quic_window_bytes",
            "quic_datagram_receive_bytes",
        ],
    ),
    (
        "QUIC bytes towards a client",
        &[
            "quic_send_window_bytes",
            "quic_datagram_send_bytes",
            "quic_batch_streams_max",
        ],
    ),
    (
        "QUIC handshake data out of order",
        &["quic_crypto_buffer_bytes"],
    ),
    (
        "QUIC connections that knock",
        &[
            "quic_incoming_max",
            "quic_incoming_bytes_max",
            "quic_incoming_bytes_total_max",
            "quic_handshakes_max",
            "quic_accepts_per_poll_max",
        ],
    ),
    (
        "amplification towards addresses that are not proved (Retry from here on)",
        &["quic_retry_from"],
    ),
    ("stateless resets", &["quic_reset_interval_ms"]),
    (
        "Retry and address tokens",
        &[
            "quic_retry_token_lifetime_ms",
            "quic_address_token_lifetime_ms",
            "quic_address_tokens_sent",
            "quic_address_token_log_bytes",
        ],
    ),
    (
        "packets and events of a pass",
        &[
            "quic_datagrams_per_poll_max",
            "events_per_poll_max",
            "timers_per_pass_max",
            "epoll_events_max",
        ],
    ),
    (
        "answers that wait for a slow connection",
        &["control_queue_frames_max", "control_queue_bytes_max"],
    ),
    (
        "tokens",
        &[
            "token_bytes_max",
            "hellos_per_poll_max",
            "renewal_interval_s",
            "renewals_burst_max",
            "jwks_bytes_max",
            "jwks_fetch_ms_max",
            "jwks_refetch_ms_min",
            "trusted_keys_max",
            "control_tokens_max",
        ],
    ),
    (
        "requests of one connection",
        &["requests_per_second_max", "requests_burst_max"],
    ),
    ("how often addresses and users ask", &["rate_cells"]),
    (
        "descriptors",
        &[
            "descriptors_reserved",
            "accept_backoff_ms",
            "turned_away_max",
            "turned_away_linger_ms",
        ],
    ),
    ("a goodbye that is not heard", &["close_linger_ms"]),
    (
        "HTTP/3 of a WebTransport connection",
        &[
            "webtransport_bidi_streams_max",
            "webtransport_uni_streams_max",
            "webtransport_frame_bytes_max",
            "webtransport_bytes_max",
            "webtransport_reason_bytes_max",
        ],
    ),
    (
        "names, keys and payloads of a frame",
        &[
            "chat_name_bytes_max",
            "user_name_bytes_max",
            "geofence_name_bytes_max",
            "client_name_bytes_max",
            "idempotency_key_bytes_max",
            "kid_bytes_max",
            "sealed_bytes_max",
            "points_per_upload_max",
            "trail_points_max",
        ],
    ),
    (
        "a view of a part of the map",
        &["view_rows_max", "view_cells_max", "clusters_max"],
    ),
    (
        "how often a connection looks at another part of it",
        &["views_per_second_max", "views_burst_max"],
    ),
    (
        "answers over HTTP and reads of the log",
        &[
            "reply_deadline_ms",
            "crossing_reads_max",
            "crossings_per_page",
            "log_reads_max",
            "log_lists_max",
            "log_erases_max",
            "log_page_bytes_max",
            "log_page_records_max",
            "log_wait_ms_max",
            "members_per_page",
            "members_per_page_max",
            "dead_letters_per_page",
            "page_rows_max",
            "gaps_per_page_max",
            "views_per_page",
            "import_report_max",
        ],
    ),
    (
        "commands of the control log",
        &[
            "command_bytes_max",
            "import_members_max",
            "group_bytes_max",
            "group_commands_max",
            "state_bytes_max",
            "proposals_waiting_max",
            "control_retention_bytes",
        ],
    ),
    (
        "webhooks and what their receivers answer",
        &[
            "webhook_urls_max",
            "webhook_batch_events_max",
            "webhook_batch_bytes_max",
            "webhook_answer_ms_max",
            "webhook_answer_bytes_max",
            "webhook_dead_letters_max",
            "webhook_error_bytes_max",
        ],
    ),
    (
        "a session and a chat",
        &[
            "history_window",
            "bindings_per_session_max",
            "durable_waits_per_session_max",
            "outbox_messages_max",
            "outbox_messages_soft",
            "viewers_listed_max",
            "looks_per_chat_max",
            "views_waiting_max",
            "geofences_per_chat_max",
            "alerts_per_user_max",
            "alerts_per_chat_max",
            "alert_duration_s_max",
            "geofence_duration_s_max",
            "dwell_s_max",
            "duration_s_ceiling",
            "guests_per_chat_max",
            "guest_duration_s_max",
            "crossings_per_session_max",
            "crossings_per_session_burst_max",
            "crossings_per_chat_max",
            "crossings_per_chat_burst_max",
            "crossings_waiting_max",
            "crossings_told_per_pass",
            "inside_listed_max",
            "neighbours_max",
            "partners_per_session_max",
        ],
    ),
    (
        "relays and what they hold",
        &["relay_chats_max", "relays_max", "relay_batches_held_max"],
    ),
];

/// Names of the bounds that no peer can use up: our own pace, sizes of our files, and what a peer gets.
#[cfg(test)]
const OURS: &[&str] = &[
    "accepted_interval_ms",
    "alert_duration_s",
    "busy_timeout_ms",
    "check_bytes_max",
    "checkpoint_after_bytes",
    "checkpoint_chunk_bytes",
    "checkpoint_chunks_per_step",
    "checkpoint_slice_bytes",
    "consumer_sync_every_ms",
    "control_disk_reserve_bytes",
    "control_segment_bytes",
    "crossing_retry_ms",
    "crossings_age_ms_max",
    "demand_interval_ms",
    "durable_last_ms_max",
    "earlier_points_max",
    "erase_deadline_ms",
    "erase_rounds_max",
    "event_keep_alive_s",
    "fence_ms_max",
    "flush_retry_ms",
    "heartbeat_log_ms",
    "image_rows_per_pass",
    "import_batch_bytes",
    "import_batch_lines",
    "journal_bytes_max",
    "jwks_look_ms",
    "jwks_retry_ms",
    "keep_alive_ms",
    "keys_sweep_ms",
    "link_linger_ms",
    "log_page_records",
    "look_shown_ms",
    "members_per_frame_max",
    "mirror_linger_ms",
    "new_files_per_retention",
    "page_rows_default",
    "pages_max",
    "partitions_max",
    "proposal_retry_ms_max",
    "proposal_retry_ms_min",
    "quic_address_tokens_logged",
    "quic_initial_mtu_bytes",
    "quic_initial_rtt_ms",
    "quic_packet_threshold",
    "quic_packets_per_flush_max",
    "quic_packets_per_send_max",
    "quic_persistent_congestion",
    "quic_segments_max",
    "quic_timeouts_min",
    "quic_timeouts_ms",
    "quic_touched_at_once",
    "quic_udp_buffer_bytes",
    "quic_udp_payload_bytes_max",
    "reason_bytes_max",
    "records_per_transaction_max",
    "relay_linger_ms",
    "relay_opening_ms",
    "retention_every_ms",
    "retry_ms_max",
    "scrub_expired_every_ms",
    "scrub_inline_bytes_max",
    "session_bytes_estimate",
    "scrub_retry_ms_max",
    "shrink_bytes_per_round",
    "shrink_free_bytes_min",
    "shrink_free_part_min",
    "shutdown_grace_ms",
    "silence_ms_max",
    "tick_ms",
    "tls_chunk_bytes",
    "token_look_ms",
    "upstream_lost_ms",
    "verdicts_held_max",
    "verdicts_max",
    "views_alive_every_ms",
    "views_retention_every_ms",
    "views_retry_ms_max",
    "views_tick_ms",
    "way_ms_max",
    "webhook_retry_ms_max",
    "webhook_retry_ms_min",
    "webhook_secret_bytes_min",
    "webhook_secrets_max",
    "websocket_sends_max",
    "websocket_sends_min",
];

/// The rows of the table.
///
/// # Errors
/// The name of a bound that does not exist.
pub fn rows() -> Result<String, &'static str> {
    let fixed = fixed();
    let mut rows = String::new();
    for (what, names) in BOUNDED {
        let mut bounds = Vec::new();
        for name in *names {
            let line = fixed
                .iter()
                .find(|line| line.name.eq_ignore_ascii_case(name));
            let line = line.ok_or(*name)?;
            bounds.push(format!("`{name}` {}", line.value));
        }
        // Writing into a String cannot fail.
        let _ = writeln!(rows, "| {what} | {} |", bounds.join(", "));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use crate::cli::print_limits::fixed;
    use crate::limits_doc::{BOUNDED, OURS, rows};

    const BEGIN: &str = "<!-- limits -->\n";
    const END: &str = "<!-- end -->";

    #[test]
    fn the_table_is_what_the_constants_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SECURITY.md");
        let page = std::fs::read_to_string(path).expect("docs/SECURITY.md");
        let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
        let (found, behind) = rest.split_once(END).expect("where it ends");
        let table = format!(
            "| bounded | by |\n|---|---|\n{}",
            rows().expect("each bound exists")
        );
        if std::env::var_os("SKEIN_BLESS").is_some() {
            let page = format!("{before}{BEGIN}{table}{END}{behind}");
            std::fs::write(path, page).expect("write docs/SECURITY.md");
        } else {
            assert_eq!(found, table, "set SKEIN_BLESS=1 to write it");
        }
    }

    #[test]
    fn each_bound_is_in_the_table_or_is_ours() {
        let listed: Vec<_> = BOUNDED.iter().flat_map(|(_, names)| *names).collect();
        for line in fixed() {
            let name = line.name.to_lowercase();
            let places = listed.iter().filter(|it| ***it == name).count();
            let is_ours = OURS.contains(&name.as_str());
            assert_eq!(places + usize::from(is_ours), 1, "{name}");
        }
    }
}
