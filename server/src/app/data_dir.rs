//! The data directory: which folders it has, who may look into them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Paths inside one data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes the directory if need be, for its owner's eyes only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        make(root).with_context(|| {
            format!(
                "cannot make the data directory {}; choose another with --data-dir",
                root.display()
            )
        })?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The event log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The control log.
    pub fn control(&self) -> PathBuf {
        self.root.join("control")
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
