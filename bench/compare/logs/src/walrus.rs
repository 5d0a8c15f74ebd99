//! walrus-rust, through its descriptor backend. Its batches are flushed whatever the schedule says,
//! so without durability records are appended one by one, which is its faster way then.

use std::path::Path;

use anyhow::Result;
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::journal::{Journal, Sync};

/// Name of the one topic.
const TOPIC: &str = "chat";

/// Reads whose position is kept; nobody reads here, so this never happens.
const PERSIST_EVERY: u32 = 1_000_000;

/// An open log.
pub struct WalrusJournal {
    log: Walrus,
    sync: Sync,
}

impl WalrusJournal {
    /// Opens or makes the log. Its folder is what `WALRUS_DATA_DIR` says, so `main` is started
    /// with that; the argument only documents it.
    ///
    /// # Errors
    /// What the log says about the folder.
    pub fn open(_folder: &Path, sync: Sync) -> Result<Self> {
        let schedule = match sync {
            Sync::None => FsyncSchedule::NoFsync,
            Sync::Second => FsyncSchedule::Milliseconds(1_000),
            Sync::Batch => FsyncSchedule::SyncEach,
        };
        let reads = ReadConsistency::AtLeastOnce {
            persist_every: PERSIST_EVERY,
        };
        Ok(Self {
            log: Walrus::with_consistency_and_schedule(reads, schedule)?,
            sync,
        })
    }
}

impl Journal for WalrusJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        match self.sync {
            Sync::Batch => self.log.batch_append_for_topic(TOPIC, batch)?,
            Sync::None | Sync::Second => {
                for record in batch {
                    self.log.append_for_topic(TOPIC, record)?;
                }
            }
        }
        Ok(())
    }
}
