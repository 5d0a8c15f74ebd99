//! `skein serve --print-limits`: every bound with its unit and reason, and what a configuration can
//! add up to.

use std::fmt::Write as _;

use skein_engine::limits as engine;
use skein_wire::limits as wire;

use crate::access::limits::access_limits;
use crate::config::limits::config_limits;
use crate::config::settings::Config;
use crate::control::limits::control_limits;
use crate::database::database_limits;
use crate::history::limits::history_limits;
use crate::http::limits::http_limits;
use crate::limit_line::LimitLine;
use crate::limits::edge_limits;
use crate::machine::allowed_cores;
use crate::views::limits::views_limits;
use crate::webhook::limits::webhook_limits;

/// Connection bytes of user memory that a viewer may cost: the budget of a QUIC viewer. A WebSocket
/// costs less.
const CONNECTION_BYTES: u64 = 20 * 1024;

/// The text.
pub fn text(config: &Config) -> String {
    let mut text = String::new();
    for (title, lines) in sections() {
        section(&mut text, title, &lines);
    }
    configured(&mut text, config);
    sums(&mut text, config);
    text
}

/// Every bound that is fixed.
pub fn fixed() -> Vec<LimitLine> {
    let sections = sections().into_iter();
    sections.flat_map(|(_, lines)| lines).collect()
}

fn sections() -> [(&'static str, Vec<LimitLine>); 11] {
    [
        ("Protocol (fixed)", wire_limits()),
        ("Connections (fixed)", edge_limits()),
        ("Tokens (fixed)", access_limits()),
        ("HTTP (fixed)", http_limits()),
        ("Control log (fixed)", control_limits()),
        ("History (fixed)", history_limits()),
        ("Record of views (fixed)", views_limits()),
        ("Webhooks (fixed)", webhook_limits()),
        ("Databases (fixed)", database_limits()),
        ("Configuration (fixed)", config_limits()),
        ("Chats (fixed)", engine_limits()),
    ]
}

fn section(text: &mut String, title: &str, lines: &[LimitLine]) {
    heading(text, title);
    for line in lines {
        let name = line.name.to_lowercase();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<36} {:>14} {}: {}",
            line.value, line.unit, line.reason
        );
    }
}

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "{}{title}", if text.is_empty() { "" } else { "\n" });
}

fn configured(text: &mut String, config: &Config) {
    heading(text, "Configured ([limits] and [log])");
    let sections = serde_json::json!({ "limits": config.limits, "log": config.log });
    for (section, values) in sections.as_object().into_iter().flatten() {
        for (key, value) in values.as_object().into_iter().flatten() {
            let key = format!("{section}.{key}");
            let _ = writeln!(text, "{key:<36} {value:>14}");
        }
    }
}

/// Worst cases, term by term.
fn sums(text: &mut String, config: &Config) {
    let shards = config.shards.cores.shards(&allowed_cores()) as u64;
    let memory = config.limits.memory_bytes_max as u64;
    heading(text, "Sums");
    let terms = [
        ("chats: rows, trails, mirrors, sessions", shards * memory),
        ("10,000 connections", 10_000 * CONNECTION_BYTES),
        (
            "HTTP requests at work",
            crate::http::limits::REQUESTS_MAX as u64 * crate::http::limits::BODY_BYTES_MAX as u64,
        ),
    ];
    for (name, bytes) in terms {
        let _ = writeln!(text, "{name:<48} {:>8} MiB", bytes >> 20);
    }
    let total: u64 = terms.iter().map(|(_, bytes)| bytes).sum();
    let _ = writeln!(
        text,
        "{:<48} {:>8} MiB",
        format!("together, with {shards} shards"),
        total >> 20
    );
}

fn line(name: &'static str, value: u64, unit: &'static str, reason: &'static str) -> LimitLine {
    LimitLine {
        name,
        value,
        unit,
        reason,
    }
}

fn wire_limits() -> Vec<LimitLine> {
    vec![
        line(
            "client_frame_bytes_max",
            wire::CLIENT_FRAME_BYTES_MAX as u64,
            "bytes",
            "of a frame a client may send",
        ),
        line(
            "server_frame_bytes_max",
            wire::SERVER_FRAME_BYTES_MAX as u64,
            "bytes",
            "of a frame the server sends; a larger batch is cut into pages",
        ),
        line(
            "chat_name_bytes_max",
            wire::CHAT_NAME_BYTES_MAX as u64,
            "bytes",
            "of a chat's name",
        ),
        line(
            "user_name_bytes_max",
            wire::USER_NAME_BYTES_MAX as u64,
            "bytes",
            "of a user's name",
        ),
        line(
            "token_bytes_max",
            wire::TOKEN_BYTES_MAX as u64,
            "bytes",
            "of a token, checked before it is parsed",
        ),
        line(
            "idempotency_key_bytes_max",
            wire::IDEMPOTENCY_KEY_BYTES_MAX as u64,
            "bytes",
            "of an idempotency key",
        ),
        line(
            "sealed_bytes_max",
            wire::SEALED_BYTES_MAX as u64,
            "bytes",
            "of an end-to-end encrypted point",
        ),
        line(
            "points_per_upload_max",
            wire::POINTS_PER_UPLOAD_MAX as u64,
            "points",
            "in one upload",
        ),
        line(
            "view_rows_max",
            u64::from(wire::VIEW_ROWS_MAX),
            "rows",
            "that a view may ask for",
        ),
        line(
            "view_cells_max",
            wire::VIEW_CELLS_MAX as u64,
            "cells",
            "of one view",
        ),
        line(
            "clusters_max",
            wire::CLUSTERS_MAX as u64,
            "clusters",
            "that a view is told at a time",
        ),
    ]
}

fn engine_limits() -> Vec<LimitLine> {
    vec![
        line(
            "accepted_interval_ms",
            engine::ACCEPTED_INTERVAL_MS,
            "milliseconds",
            "between two acknowledgements of a session that goes well",
        ),
        line(
            "heartbeat_log_ms",
            engine::HEARTBEAT_LOG_MS,
            "milliseconds",
            "between two logged heartbeats of a session",
        ),
        line(
            "demand_interval_ms",
            engine::DEMAND_INTERVAL_MS,
            "milliseconds",
            "between two hints of demand",
        ),
        line(
            "mirror_linger_ms",
            engine::MIRROR_LINGER_MS,
            "milliseconds",
            "that a mirror is kept after its last viewer",
        ),
        line(
            "link_linger_ms",
            engine::LINK_LINGER_MS,
            "milliseconds",
            "that a link for guests is kept after its time",
        ),
        line(
            "fence_ms_max",
            engine::FENCE_MS_MAX,
            "milliseconds",
            "within which every shard must have applied a revocation",
        ),
        line(
            "relay_chats_max",
            engine::RELAY_CHATS_MAX as u64,
            "chats",
            "that a relay watches at its upstream",
        ),
        line(
            "relay_linger_ms",
            engine::RELAY_LINGER_MS,
            "milliseconds",
            "that a relay goes on watching a chat after its last viewer",
        ),
        line(
            "relay_opening_ms",
            engine::RELAY_OPENING_MS,
            "milliseconds",
            "that the first viewers of a chat wait at a relay for what there is",
        ),
        line(
            "relay_batches_held_max",
            engine::RELAY_BATCHES_HELD_MAX as u64,
            "batches",
            "of a chat that wait at a relay until its members are known",
        ),
        line(
            "upstream_lost_ms",
            engine::UPSTREAM_LOST_MS,
            "milliseconds",
            "without its upstream before a relay tells its viewers",
        ),
        line(
            "history_window",
            engine::HISTORY_WINDOW,
            "counters",
            "below the last one in which a historical point may lie",
        ),
        line(
            "bindings_per_session_max",
            engine::BINDINGS_PER_SESSION_MAX as u64,
            "connections",
            "that feed one session",
        ),
        line(
            "requests_waiting_per_connection_max",
            engine::REQUESTS_WAITING_PER_CONNECTION_MAX as u64,
            "requests",
            "of one connection that wait for an answer",
        ),
        line(
            "requests_per_second_max",
            engine::REQUESTS_PER_SECOND_MAX.into(),
            "requests",
            "of one connection per second that are not points, sustained",
        ),
        line(
            "requests_burst_max",
            engine::REQUESTS_BURST_MAX.into(),
            "requests",
            "of one connection at once",
        ),
        line(
            "views_per_second_max",
            engine::VIEWS_PER_SECOND_MAX.into(),
            "watches",
            "of a part of the map that one connection asks for per second, sustained",
        ),
        line(
            "views_burst_max",
            engine::VIEWS_BURST_MAX.into(),
            "watches",
            "of a part of the map that one connection asks for at once",
        ),
        line(
            "durable_waits_per_session_max",
            engine::DURABLE_WAITS_PER_SESSION_MAX as u64,
            "points",
            "of one session that wait to become durable",
        ),
        line(
            "outbox_messages_max",
            engine::OUTBOX_MESSAGES_MAX as u64,
            "messages",
            "that wait for one other shard",
        ),
        line(
            "viewers_listed_max",
            engine::VIEWERS_LISTED_MAX as u64,
            "viewers",
            "of a session that one shard names in an answer; all are counted",
        ),
        line(
            "looks_per_chat_max",
            engine::LOOKS_PER_CHAT_MAX as u64,
            "looks",
            "over HTTP that a chat's owner remembers, for those who were seen",
        ),
        line(
            "look_shown_ms",
            engine::LOOK_SHOWN_MS,
            "milliseconds",
            "for which a look is shown to those who were seen",
        ),
        line(
            "geofences_per_chat_max",
            engine::GEOFENCES_PER_CHAT_MAX as u64,
            "geofences",
            "of one chat; each point of it is judged by all",
        ),
        line(
            "alerts_per_user_max",
            engine::ALERTS_PER_USER_MAX as u64,
            "alerts",
            "of one member in one chat",
        ),
        line(
            "alerts_per_chat_max",
            engine::ALERTS_PER_CHAT_MAX as u64,
            "alerts",
            "of all members of one chat",
        ),
        line(
            "crossings_per_session_max",
            engine::CROSSINGS_PER_SESSION.0.into(),
            "crossings",
            "of one session per second, sustained; each is synced",
        ),
        line(
            "crossings_per_chat_max",
            engine::CROSSINGS_PER_CHAT.0.into(),
            "crossings",
            "of one chat per second, sustained",
        ),
        line(
            "neighbours_max",
            engine::NEIGHBOURS_MAX as u64,
            "sessions",
            "around a point that are looked at for who is near",
        ),
        line(
            "partners_per_session_max",
            engine::PARTNERS_PER_SESSION_MAX as u64,
            "pairs",
            "of one session that are near each other at a time",
        ),
        line(
            "checkpoint_slice_bytes",
            engine::CHECKPOINT_SLICE_BYTES as u64,
            "bytes",
            "of a checkpoint written in one pass",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use crate::cli::print_limits::text;
    use crate::config::settings::Config;

    #[test]
    fn every_part_is_in_it() {
        let text = text(&Config::default());
        for part in [
            "token_bytes_max",
            "hello_deadline_ms",
            "jwks_bytes_max",
            "body_bytes_max",
            "fence_ms_max",
            "limits.stale_after_ms",
            "together",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
