//! Logs go to stderr; `SKEIN_LOG` chooses what in the form of `RUST_LOG`.

use std::env::{self, VarError};
use std::io::IsTerminal;

use anyhow::{Context, bail};
use tracing_subscriber::EnvFilter;

/// The variable that holds the filter, in the form of `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "SKEIN_LOG";

/// Sends logs to stderr: what the variable says, or `default`. A second call changes nothing.
///
/// # Errors
/// When the variable is no filter.
pub fn init(default: &str) -> anyhow::Result<()> {
    let filter = filter(default)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A line that cannot be written is lost. Saying so on stderr would be a panic where stderr is what is gone:
        // nobody's position waits for a log.
        .log_internal_errors(false);
    // Fails only when a subscriber is there already, and then that one is good enough.
    let _ = subscriber.try_init();
    Ok(())
}

fn filter(default: &str) -> anyhow::Result<EnvFilter> {
    let text = match env::var(FILTER_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) | Err(VarError::NotPresent) => default.to_owned(),
        Err(VarError::NotUnicode(_)) => bail!("{FILTER_VARIABLE} is no text"),
    };
    EnvFilter::builder().parse(&text).with_context(|| {
        format!("{FILTER_VARIABLE}: `{text}` is no filter; write a level (error, warn, info, debug, trace), or as in `info,skein_server=debug`")
    })
}
