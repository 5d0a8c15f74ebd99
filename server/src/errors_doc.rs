//! `docs/ERRORS.md`: made from the lists that the tests use, so that it cannot be wrong.

use std::fmt::Write as _;

use skein_wire::error::Code;

use crate::access::bad_tokens::{BAD_RIGHTS, BAD_TOKENS};
use crate::app::bad_inputs::{BAD_DIRECTORIES, BAD_STARTS};
use crate::bad_input::BadInput;
use crate::cli::bad_inputs::BAD_COMMANDS;
use crate::config::bad_inputs::BAD_CONFIGS;
use crate::edge::bad_input::BAD_INPUTS;
use crate::edge::webtransport_bad_input::WEBTRANSPORT_BAD_INPUTS;
use crate::http::bad_inputs::{BAD_CONTROL_REQUESTS, BAD_REQUESTS};

const INTRODUCTION: &str = "\
# What is refused, and what is said

Made from the lists that the tests use; do not edit. Rewrite it with
`SKEIN_BLESS=1 cargo test -p skein-server --lib errors_doc`.

## Codes

The same codes close connections, refuse requests and name HTTP errors. The names are stable, the texts are not.

| number | name | HTTP | meaning, and what to do |
|---|---|---|---|
";

/// The page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for code in Code::ALL {
        let (number, name) = (*code as u16, code.name());
        // Writing into a String cannot fail.
        let _ = writeln!(
            page,
            "| {number} | `{name}` | {} | {} |",
            code.http_status(),
            code.text()
        );
    }
    connections(&mut page);
    http3(&mut page);
    table(&mut page, "Tokens", "code", BAD_TOKENS);
    table(&mut page, "Rights", "code", BAD_RIGHTS);
    table(&mut page, "HTTP API", "code", BAD_REQUESTS);
    table(&mut page, "Control API", "code", BAD_CONTROL_REQUESTS);
    table(&mut page, "Configuration", "key", BAD_CONFIGS);
    table(&mut page, "Command line", "exit code", BAD_COMMANDS);
    table(&mut page, "Starts", "exit code", BAD_STARTS);
    table(&mut page, "Data directories", "exit code", BAD_DIRECTORIES);
    page
}

/// What ends a connection: WebSocket is closed with 4000 and the code, QUIC with the code.
fn connections(page: &mut String) {
    page.push_str("\n## Connections\n\n| what is wrong | code | text |\n|---|---|---|\n");
    for bad in BAD_INPUTS {
        let first = if bad.after_hello {
            ""
        } else {
            " (as the first frame)"
        };
        let (input, code, text) = (bad.input, bad.code.name(), bad.text);
        let _ = writeln!(page, "| {input}{first} | `{code}` | {text} |");
    }
}

/// What opens no WebTransport session, or ends one, before or beside the frames.
fn http3(page: &mut String) {
    page.push_str(
        "\n## HTTP/3\n\n| what is wrong | answer | stream refused | session's goodbye | \
         connection's end | text |\n|---|---|---|---|---|---|\n",
    );
    for bad in WEBTRANSPORT_BAD_INPUTS {
        let status = bad.status.map(|status| status.to_string());
        let refused = bad.refused.map(|code| format!("`{code:#x}`"));
        let goodbye = bad.goodbye.map(|code| format!("`{}`", code.name()));
        let cells = [status, refused, goodbye].map(Option::unwrap_or_default);
        let (input, end, text) = (bad.input, bad.end, bad.text);
        let _ = writeln!(
            page,
            "| {input} | {} | `{end:#x}` | {text} |",
            cells.join(" | ")
        );
    }
}

fn table(page: &mut String, title: &str, code: &str, list: &[BadInput]) {
    let _ = writeln!(
        page,
        "\n## {title}\n\n| what is wrong | input | {code} | text |\n|---|---|---|---|"
    );
    for bad in list {
        let (what, input, code, text) = (bad.what, cell(bad.input), cell(bad.code), bad.text);
        let _ = writeln!(
            page,
            "| {what} | {input} | {code} | … {} … |",
            text.replace('|', "\\|")
        );
    }
}

/// Code in a cell; empty stays empty.
fn cell(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{}`", text.replace('\n', " ⏎ ").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use crate::errors_doc::page;

    #[test]
    fn the_page_is_what_the_lists_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ERRORS.md");
        if std::env::var_os("SKEIN_BLESS").is_some() {
            std::fs::write(path, page()).expect("write docs/ERRORS.md");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == page(),
            "docs/ERRORS.md is not what the lists say; set SKEIN_BLESS=1"
        );
    }
}
