//! Starts and stops the parts of the server.

use std::time::Duration;

use crate::config::settings::Config;

/// Runs the server until it is told to stop.
///
/// # Errors
/// What stopped it.
pub fn serve(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("the shards are not joined to this binary yet")
}

/// Runs the demo.
///
/// # Errors
/// What stopped it.
pub fn demo(_walkers: usize, _duration: Option<Duration>) -> anyhow::Result<()> {
    anyhow::bail!("the shards are not joined to this binary yet")
}
