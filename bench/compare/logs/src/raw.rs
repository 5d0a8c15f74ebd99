//! What the disk itself takes: as many bytes as a batch has, written over what is there and synced.
//! The same disk is ten times slower a minute later, so it is measured in turn with the log.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

/// Bytes of the file; it is full before anything is measured, so that its size never changes.
const FILE_BYTES: u64 = 16 << 20;

/// Bytes between two writes: each goes to pages of its own.
const STRIDE_BYTES: u64 = 8 << 10;

/// A file of its own beside the log.
pub struct Raw {
    file: File,
    position: u64,
}

impl Raw {
    /// Makes the file.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(&vec![1; FILE_BYTES as usize], 0)?;
        file.sync_all()?;
        Ok(Self { file, position: 0 })
    }

    /// Writes and syncs once.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.position)?;
        self.position = (self.position + STRIDE_BYTES) % (FILE_BYTES - STRIDE_BYTES);
        Ok(self.file.sync_data()?)
    }
}
