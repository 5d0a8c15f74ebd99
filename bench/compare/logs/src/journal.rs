//! What all logs are asked to do, so that one loop measures them.

use anyhow::Result;
use clap::ValueEnum;

/// What an append has to mean when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// In the page cache: it survives the end of the process.
    None,
    /// The same, and a sync follows each second, on a thread of its own.
    Second,
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

    /// What makes everything appended durable, for a thread that does so each second; `None`: the log
    /// was opened to do it by itself.
    fn syncer(&self) -> Option<Syncer> {
        None
    }
}

/// Makes everything appended durable.
pub type Syncer = Box<dyn FnMut() -> Result<()> + Send>;
