//! The data directory: which folders it has, who may look into them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use skein_log::DiskStorage;

/// Paths inside one data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes the directory if need be, for its owner's eyes only.
    ///
    /// # Errors
    /// When it cannot be made, or when it holds somebody else's files and none of ours: a slip of
    /// the finger must not spread logs and keys over a home directory.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        if is_foreign(root) {
            bail!(
                "{} holds files, but no data of skein; choose an empty or a new directory with --data-dir",
                root.display()
            );
        }
        DiskStorage::make_directory(root).with_context(|| {
            format!(
                "cannot make the data directory {}; choose another with --data-dir",
                root.display()
            )
        })?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Whether a server has been at work here: a relay needs a directory of its own.
    pub fn is_of_server(root: &Path) -> bool {
        root.join("log").exists() || root.join("control").exists()
    }

    /// The event log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The control log.
    pub fn control(&self) -> PathBuf {
        self.root.join("control")
    }

    /// The history, if one is kept.
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// The record of views, if one is kept.
    pub fn views(&self) -> PathBuf {
        self.root.join("views")
    }

    /// Places of webhooks, if there are any.
    pub fn webhook(&self) -> PathBuf {
        self.root.join("webhook")
    }
}

/// What a data directory has, whoever made it: `skein token` makes the keys before the first start.
const FOLDERS: [&str; 3] = ["log", "control", "keys"];

/// What says nothing of whose a directory is: what a file system puts into its own root, and the lock,
/// which a start leaves behind that got no further.
const NOBODYS: [&str; 2] = ["lost+found", "lock"];

/// Whether there is something in the directory, but nothing of ours. One that cannot be read is
/// left to whoever makes it.
fn is_foreign(root: &Path) -> bool {
    let Ok(entries) = fs::read_dir(root) else {
        return false;
    };
    let names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| !NOBODYS.iter().any(|nobodys| name == nobodys))
        .collect();
    let ours = |name: &OsString| FOLDERS.iter().any(|folder| name == folder);
    !names.is_empty() && !names.iter().any(ours)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::app::data_dir::DataDir;

    #[test]
    fn only_a_directory_without_anything_of_ours_is_foreign() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        DataDir::open(&root.join("new")).expect("one that is not there");
        DataDir::open(&root.join("new")).expect("an empty one");
        fs::create_dir(root.join("new").join("lost+found")).expect("made");
        DataDir::open(&root.join("new")).expect("the root of a file system");
        fs::write(root.join("new").join("lock"), "1").expect("made");
        DataDir::open(&root.join("new")).expect("a start that got no further");
        fs::write(root.join("lock"), "1").expect("made");
        let refused = DataDir::open(root).expect_err("a folder of something else");
        assert!(refused.to_string().contains("--data-dir"), "{refused}");
        fs::create_dir(root.join("keys")).expect("made");
        DataDir::open(root).expect("keys were made before");
    }
}
