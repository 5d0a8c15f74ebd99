//! The normative page says what the code does: its generated tables are compared with the lists
//! that the code uses. `SKEIN_BLESS=1 cargo test -p skein-wire` rewrites them.

mod golden_file;
mod ill_formed;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::frame::decode_request;
use skein_wire::kind::Kind;
use skein_wire::limits;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md")
}

/// The page with the block between `<!-- name -->` and `<!-- end -->` replaced.
fn with_block(page: &str, name: &str, block: &str) -> String {
    let start = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&start).expect("the block's start");
    let (_, after) = rest.split_once("<!-- end -->").expect("the block's end");
    format!("{before}{start}{block}<!-- end -->{after}")
}

fn kinds() -> String {
    let mut table =
        "| kind | client to server | kind | server to client |\n|---|---|---|---|\n".to_owned();
    let of = |from_server: bool| {
        let kinds = Kind::ALL.iter();
        kinds.filter(move |kind| kind.is_from_server() == from_server)
    };
    let cell = |kind: Option<&Kind>| {
        kind.map_or("| | ".to_owned(), |kind| {
            format!("| 0x{:02x} | `{}` ", *kind as u8, kind.name())
        })
    };
    let (mut clients, mut servers) = (of(false), of(true));
    loop {
        let row = (clients.next(), servers.next());
        if row == (None, None) {
            break;
        }
        writeln!(table, "{}{}|", cell(row.0), cell(row.1)).expect("memory");
    }
    table
}

fn codes() -> String {
    let mut table =
        "| code | name | WebSocket close | HTTP | what it means, what to do |\n|---|---|---|---|---|\n"
            .to_owned();
    for code in Code::ALL {
        let number = *code as u16;
        writeln!(
            table,
            "| {number} | `{code}` | {} | {} | {} |",
            code.websocket_close(),
            code.http_status(),
            code.text()
        )
        .expect("memory");
    }
    table
}

fn ill_formed_table() -> String {
    let mut table = "| what is wrong | code | text |\n|---|---|---|\n".to_owned();
    let requests = ill_formed::requests().into_iter();
    for (what, frame, code) in requests {
        let error = decode_request(&frame).expect_err(what);
        assert_eq!(error.code, code, "{what}");
        writeln!(table, "| {what} | `{code}` | {} |", error.text).expect("memory");
    }
    for (what, body, _) in ill_formed::batches() {
        let error = Batch::decode(&Bytes::from(body)).expect_err(what);
        writeln!(table, "| {what} | `{}` | {} |", error.code, error.text).expect("memory");
    }
    table
}

fn limits_table() -> String {
    let rows: &[(&str, u64, &str)] = &[
        (
            "frame from a client",
            limits::CLIENT_FRAME_BYTES_MAX as u64,
            "bytes, kind and body",
        ),
        (
            "frame from the server",
            limits::SERVER_FRAME_BYTES_MAX as u64,
            "bytes, kind and body",
        ),
        ("chat name", limits::CHAT_NAME_BYTES_MAX as u64, "bytes"),
        ("user name", limits::USER_NAME_BYTES_MAX as u64, "bytes"),
        (
            "name of a geofence or an alert",
            limits::GEOFENCE_NAME_BYTES_MAX as u64,
            "bytes",
        ),
        ("token", limits::TOKEN_BYTES_MAX as u64, "bytes"),
        (
            "client name in `Hello`",
            limits::CLIENT_NAME_BYTES_MAX as u64,
            "bytes",
        ),
        (
            "idempotency key",
            limits::IDEMPOTENCY_KEY_BYTES_MAX as u64,
            "bytes",
        ),
        (
            "text beside a code",
            limits::REASON_BYTES_MAX as u64,
            "bytes",
        ),
        ("sealed point", limits::SEALED_BYTES_MAX as u64, "bytes"),
        (
            "points in one `Points`",
            limits::POINTS_PER_UPLOAD_MAX as u64,
            "points, as far as they fit the frame",
        ),
        (
            "trail in `Watch`",
            limits::TRAIL_POINTS_MAX as u64,
            "points",
        ),
        (
            "members in one `Members`",
            limits::MEMBERS_PER_FRAME_MAX as u64,
            "members",
        ),
        ("relays in a row", limits::RELAYS_MAX as u64, "relays"),
        ("rows of a view", u64::from(limits::VIEW_ROWS_MAX), "rows"),
        ("cells of a view", limits::VIEW_CELLS_MAX as u64, "cells"),
        (
            "clusters in one `Clusters`",
            limits::CLUSTERS_MAX as u64,
            "clusters",
        ),
        (
            "earlier points in an entry",
            limits::EARLIER_POINTS_MAX as u64,
            "points",
        ),
        (
            "verdicts in one `Accepted`",
            limits::VERDICTS_MAX as u64,
            "verdicts",
        ),
        ("pages of a batch", u64::from(limits::PAGES_MAX), "frames"),
        ("time to say `Hello`", limits::HELLO_MS_MAX, "milliseconds"),
        (
            "silence of a live server",
            limits::SILENCE_MS_MAX,
            "milliseconds",
        ),
    ];
    let mut table = "| what | at most | unit |\n|---|---|---|\n".to_owned();
    for (what, value, unit) in rows {
        writeln!(table, "| {what} | {value} | {unit} |").expect("memory");
    }
    table
}

#[test]
fn the_tables_of_the_page_are_those_of_the_code() {
    let path = page();
    let text = std::fs::read_to_string(&path).expect("docs/PROTOCOL.md");
    let text = with_block(&text, "kinds", &kinds());
    let text = with_block(&text, "codes", &codes());
    let text = with_block(&text, "ill-formed", &ill_formed_table());
    let text = with_block(&text, "limits", &limits_table());
    golden_file::compare(&path, &text);
}

#[test]
fn every_frame_is_described() {
    let text = std::fs::read_to_string(page()).expect("docs/PROTOCOL.md");
    for kind in Kind::ALL {
        let row = format!("\n| `{}` | ", kind.name());
        assert!(text.contains(&row), "no row for {kind:?}");
    }
}

#[test]
fn codes_are_unique_and_come_back() {
    for pair in Code::ALL.windows(2) {
        assert!(pair[0] < pair[1], "codes ascend");
        assert_ne!(pair[0].name(), pair[1].name());
    }
    for code in Code::ALL {
        assert_eq!(Code::from_u16(*code as u16), Some(*code));
        assert!((4000..5000).contains(&code.websocket_close()), "{code}");
    }
}
