//! The table of bounds in `docs/SECURITY.md`: what a peer could use up, by which constant it is bounded, and
//! with which value. Made from the constants, so that none of them can be missing or wrong.

use std::fmt::Write as _;

use crate::config::print_limits::fixed;

/// What is bounded, and the names of the bounds as `serve --print-limits` has them.
const BOUNDED: &[(&str, &[&str])] = &[
    (
        "TLS and QUIC handshakes in time",
        &["tls_handshake_deadline_ms", "quic_handshake_deadline_ms"],
    ),
    ("from a connection to its `Hello`", &["hello_deadline_ms"]),
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
    ("a peer that takes nothing", &["idle_viewer_ms"]),
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
            "event_streams_max",
        ],
    ),
    (
        "QUIC streams of a client",
        &["quic_bidi_streams_max", "quic_uni_streams_max"],
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
    ("descriptors", &["accept_backoff_ms"]),
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
    use crate::limits_doc::rows;

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
}
