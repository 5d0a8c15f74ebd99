//! `skein serve --print-limits`: every bound with its unit and reason, and what a configuration can
//! add up to.

use std::fmt::Write as _;

use skein_engine::limits::engine_limits;
use skein_wire::limit_line::LimitLine;
use skein_wire::limits::wire_limits;

use crate::access::limits::access_limits;
use crate::config::limits::config_limits;
use crate::config::settings::Config;
use crate::control::limits::control_limits;
use crate::database::database_limits;
use crate::history::limits::history_limits;
use crate::http::limits::{BODY_BYTES_MAX, REQUESTS_MAX, http_limits};
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, edge_limits};
use crate::machine::allowed_cores;
use crate::views::limits::views_limits;
use crate::webhook::limits::webhook_limits;

/// Bytes of user memory that a connection costs over QUIC, about.
const QUIC_BYTES: u64 = 21 * 1024;

/// The same for a WebSocket over TLS; a plain one costs half a KiB.
const WEBSOCKET_BYTES: u64 = 8 * 1024;

/// The public API and the control API, each with requests of its own at work.
const APIS: u64 = 2;

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
    let connections = shards * CONNECTIONS_PER_SHARD_MAX as u64;
    let terms = [
        ("chats: rows, trails, mirrors, sessions", shards * memory),
        (
            "connections over QUIC, as many as may come",
            connections * QUIC_BYTES,
        ),
        (
            "WebSockets, as far as descriptors reach",
            connections * WEBSOCKET_BYTES,
        ),
        (
            "HTTP requests at work, both APIs",
            APIS * REQUESTS_MAX as u64 * BODY_BYTES_MAX as u64,
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
