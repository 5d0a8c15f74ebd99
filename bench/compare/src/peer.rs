//! What a peer is: its name, how it is installed, whether it is there, how it is started.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;
use skein_bench::folders;

use crate::stage::Stage;

/// What is said about a peer in lists and documents.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The line that installs it; empty: it is part of this build.
    pub install: &'static str,
    /// How it is set up, and why so.
    pub settings: &'static str,
}

/// A peer that carries positions from senders to viewers.
pub trait FanOutPeer {
    /// Who it is.
    fn info(&self) -> Info;

    /// What it lacks on this machine; `None`: it can be started.
    fn missing(&self) -> Option<String>;

    /// Starts it in this folder, with a connected sender for each of so many sessions.
    ///
    /// # Errors
    /// If it does not start, or refuses a sender.
    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>>;
}

/// Finds a program in `PATH`, or where Debian puts servers.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// `None` if the program is there, what is missing otherwise.
pub fn lacks(name: &str) -> Option<String> {
    match program(name) {
        Some(_) => None,
        None => Some(format!("{name} is not installed")),
    }
}

/// Where `install.sh` puts what Debian does not package.
pub fn peers_folder() -> PathBuf {
    match env::var_os("SKEIN_PEERS") {
        Some(folder) => PathBuf::from(folder),
        None => folders::target().join("peers"),
    }
}
