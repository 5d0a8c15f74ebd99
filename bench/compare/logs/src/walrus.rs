//! walrus-rust: batches through its descriptor backend (io_uring where the kernel allows it).

use std::path::Path;

use anyhow::Result;
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::journal::{Journal, Sync};

/// Name of the one topic.
const TOPIC: &str = "chat";

/// Reads whose position is kept; nobody reads here, so this never happens.
const PERSIST_EVERY: u32 = 1_000_000;

/// An open log.
pub struct WalrusJournal(Walrus);

impl WalrusJournal {
    /// Opens or makes the log. Its folder is what `WALRUS_DATA_DIR` says, so `main` is started
    /// with that; the argument only documents it.
    ///
    /// # Errors
    /// What the log says about the folder.
    pub fn open(_folder: &Path, sync: Sync) -> Result<Self> {
        let schedule = match sync {
            Sync::None => FsyncSchedule::NoFsync,
            Sync::Batch => FsyncSchedule::SyncEach,
        };
        let reads = ReadConsistency::AtLeastOnce {
            persist_every: PERSIST_EVERY,
        };
        Ok(Self(Walrus::with_consistency_and_schedule(
            reads, schedule,
        )?))
    }
}

impl Journal for WalrusJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        Ok(self.0.batch_append_for_topic(TOPIC, batch)?)
    }
}
