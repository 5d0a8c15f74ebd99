//! What can be wrong with the history, and what to do about it. No text holds a coordinate.

use std::path::PathBuf;

/// Why the history cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file is no database, or a damaged one.
    #[error(
        "the history in {path} is damaged ({problem}); stop the server, move the folder {folder} away (or bring a backup back) and start again: the log samples on from where it is"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// A later version has written it.
    #[error(
        "the history in {path} has schema {found}, this version knows up to {known}; run a version at least as new as the one that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// It belongs to another log.
    #[error(
        "the history in {path} was made from another log; bring the log back that it belongs to, or move the folder of the history away"
    )]
    OtherLog {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{action}: {source}; look at the disk and its rights")]
    Io {
        /// What was tried.
        action: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// SQLite refuses: the disk is full, the file is locked or damaged.
    #[error("the history's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The thread has ended.
    #[error("the server is stopping; try again when it is back")]
    Stopping,
}
