//! Where benches write: the build's own folder and nothing else.

use std::env;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Cargo marks the folder of its builds with a file of this name.
const BUILD_FOLDER_MARK: &str = "CACHEDIR.TAG";

/// Cargo's folder of builds, usually `target`.
pub fn target() -> PathBuf {
    let marked = |folder: &&Path| folder.join(BUILD_FOLDER_MARK).is_file();
    let executable = env::current_exe().unwrap_or_default();
    let found = executable.ancestors().find(marked).map(Path::to_owned);
    found.unwrap_or_else(|| PathBuf::from("target"))
}

/// A folder on the disk of the build that is removed with its content when dropped. Not the
/// system's folder for temporary files: that one is often no disk at all.
///
/// # Panics
/// If it cannot be made.
pub fn scratch() -> TempDir {
    tempfile::Builder::new()
        .prefix("skein-bench-")
        .tempdir_in(target())
        .expect("the folder of builds is writable")
}
