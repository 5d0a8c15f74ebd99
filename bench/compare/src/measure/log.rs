//! One repeat of one peer with a log, and its restart.

use std::path::Path;

use anyhow::{Context, Result};

use crate::effort::Effort;
use crate::figure::{Figures, Measure};
use crate::log_peer::LogPeer;

/// Times that a full log is opened again.
const RESTARTS: usize = 3;

/// Measures appending once, at each durability, into `figures`.
///
/// # Errors
/// If the peer does not start or refuses.
pub fn append(
    peer: &dyn LogPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    for durability in peer.durabilities() {
        let folder = tempfile::tempdir_in(folder)?;
        let appended = peer
            .append(*durability, effort.append, folder.path())
            .with_context(|| format!("appending, {durability:?}"))?;
        let name = peer.info().name;
        figures.add(name, durability.measure(), appended.per_second);
        if let Some(share) = appended.of_raw {
            figures.add(name, Measure::DurableOfRaw, share);
        }
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
    let folder = tempfile::tempdir_in(folder)?;
    let took = peer.restart(effort.restart_bytes, RESTARTS, folder.path());
    for milliseconds in took.context("restarting")? {
        figures.add(peer.info().name, Measure::Restart, milliseconds);
    }
    Ok(())
}
