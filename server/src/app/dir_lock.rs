//! One process per data directory, server or relay, from before its first file and port on.
//!
//! The logs have locks of their own, against tools that open them without a server; a relay has no log.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use skein_log::{DiskStorage, LockError, Storage};

/// Holds a data directory; gives it back when dropped, and when the process ends.
#[derive(Debug)]
pub struct DirLock {
    _held: Arc<DiskStorage>,
}

impl DirLock {
    /// Takes a directory that is there.
    ///
    /// # Errors
    /// Another process has it, and which; or the file system refuses.
    pub fn take(root: &Path) -> anyhow::Result<Self> {
        let refused = || format!("cannot lock the data directory {}", root.display());
        let storage = DiskStorage::new(root).with_context(refused)?;
        match storage.lock() {
            Ok(()) => Ok(Self { _held: storage }),
            Err(LockError::Held(holder)) => Err(anyhow!(
                "{} is in use by {holder}; stop it, or choose another data directory",
                root.display()
            )),
            Err(LockError::Storage(error)) => Err(error).with_context(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::app::dir_lock::DirLock;

    #[test]
    fn a_directory_is_had_by_one_and_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = DirLock::take(folder.path()).expect("free");
        let refused = DirLock::take(folder.path()).expect_err("held").to_string();
        let pid = format!("in use by process {}", std::process::id());
        assert!(refused.contains(&pid), "{refused}");
        drop(held);
        DirLock::take(folder.path()).expect("given back");
    }
}
