//! One repeat of one peer with a log, and its restart.

use std::path::Path;
use std::{fs, io};

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

/// Measures opening a full log, into `figures`: each time as the crash left it, which a copy keeps.
/// Who opens a log first repairs it, and who opens it after that finds nothing to do.
///
/// # Errors
/// If the peer does not start or refuses, or the disk has no room for the copy.
pub fn restart(
    peer: &dyn LogPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let (folder, kept) = (tempfile::tempdir_in(folder)?, tempfile::tempdir_in(folder)?);
    let reopen = peer.fill(effort.restart_bytes, folder.path());
    let reopen = reopen.context("filling a log")?;
    copy_contents(folder.path(), kept.path()).context("keeping a copy of a full log")?;
    for _ in 0..RESTARTS {
        clear(folder.path()).context("removing an opened log")?;
        copy_contents(kept.path(), folder.path()).context("laying out a full log again")?;
        // Nobody competes with the kernel for the disk while it writes the copy back.
        rustix::fs::sync();
        let milliseconds = reopen().context("restarting")?;
        figures.add(peer.info().name, Measure::Restart, milliseconds);
    }
    Ok(())
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Copies files and folders; what is neither (a socket) belongs to a process that is gone.
fn copy_contents(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&copy)?;
            copy_contents(&entry.path(), &copy)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}
