//! Logs go to stderr; `SKEIN_LOG` chooses what in the form of `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that holds the filter, in the form of `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "SKEIN_LOG";

/// Sends logs to stderr: what the variable says, or `default`. A second call changes nothing.
pub fn init(default: &str) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // Fails only when a subscriber is there already, and then that one is good enough.
    let _ = subscriber.try_init();
}
