//! One repeat of one peer with a log, and its restart.

use std::path::Path;

use anyhow::{Context, Result};
use skein_bench::folders;

use crate::effort::Effort;
use crate::figure::{Figures, Measure};
use crate::log_peer::LogPeer;

/// Times that a full log is opened again.
const RESTARTS: usize = 3;

/// Measures appending once, at each durability, into `figures`.
///
/// # Errors
/// If the peer does not start or refuses.
pub fn append(peer: &dyn LogPeer, effort: &Effort, figures: &mut Figures) -> Result<()> {
    for durability in peer.durabilities() {
        let folder = folders::scratch();
        let rate = peer
            .append(*durability, effort.append, folder.path())
            .with_context(|| format!("appending, {durability:?}"))?;
        figures.add(peer.info().name, durability.measure(), rate);
    }
    Ok(())
}

/// Measures opening a full log, into `figures`.
///
/// # Errors
/// If the peer does not start or refuses.
pub fn restart(
    peer: &dyn LogPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let took = peer.restart(effort.restart_bytes, RESTARTS, folder);
    for milliseconds in took.context("restarting")? {
        figures.add(peer.info().name, Measure::Restart, milliseconds);
    }
    Ok(())
}
