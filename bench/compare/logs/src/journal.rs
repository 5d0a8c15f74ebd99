//! What all logs are asked to do, so that one loop measures them.

use anyhow::Result;
use clap::ValueEnum;

/// What an append has to mean when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// In the page cache: it survives the end of the process.
    None,
    /// On the disk, with one sync for the batch: it survives a power failure.
    Batch,
}

/// A log that is open for appending.
pub trait Journal {
    /// Appends the records in this order; returns when they are as safe as the log was opened for.
    ///
    /// # Errors
    /// What the log or the disk refused.
    fn append(&mut self, batch: &[&[u8]]) -> Result<()>;
}
