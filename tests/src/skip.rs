//! What a machine cannot run is said aloud, and what is asked for by a variable.
//!
//! Tests of other crates take this file in by its path, so that all skips of the repository are these.
#![allow(dead_code, reason = "each of them uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "the environment of a test, also of a crate that reads none"
)]

use std::env;
use std::path::PathBuf;

/// Prints that a test, or a part of it, does not run here, and why.
///
/// Straight to the terminal: the test runner swallows what a passing test prints.
///
/// # Panics
/// With `SKEIN_REQUIRE_ALL`: then nothing may be left out.
pub fn say(what: &str, why: &str) {
    use std::io::Write;
    assert!(
        !is_set("SKEIN_REQUIRE_ALL"),
        "{what} has to run here: {why}"
    );
    let text = format!("\n!! SKIPPED: {what}: {why}\n");
    let mut terminal = std::io::stderr().lock();
    // A closed stderr is no reason to fail.
    let _ = terminal.write_all(text.as_bytes());
}

/// The directory of real GPX files, if there is one; otherwise says that it is missing.
pub fn tracks() -> Option<PathBuf> {
    match env::var_os("SKEIN_TRACKS") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => {
            say(
                "real tracks",
                "SKEIN_TRACKS is not set; synthetic tracks take their place",
            );
            None
        }
    }
}

/// Whether the long versions were asked for.
pub fn full() -> bool {
    is_set("SKEIN_FULL")
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value != "0")
}

/// A number from the environment, or `default`.
pub fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")),
        Err(_) => default,
    }
}
