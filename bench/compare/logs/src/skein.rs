//! skein's own log: one partition, the janitor on its thread as in the server.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use skein_log::{JanitorThread, Log, Options, PartitionId, Record, Writer};

use crate::journal::{Journal, Sync};

/// Time between two syncs of the janitor, milliseconds: longer than any run, so that without
/// durability the kernel alone decides when to write, as with the other logs.
const SYNC_NEVER_MS: u64 = 3_600_000;

/// The same where a sync follows each second.
const SYNC_EACH_MS: u64 = 1_000;

/// Seed of the identity of a log; nothing depends on it here.
const SEED: u64 = 7;

/// An open log with its writer.
pub struct SkeinJournal {
    writer: Writer,
    began: Instant,
    sync: Sync,
    // Both end with the process, as at a crash.
    _janitor: JanitorThread,
    _log: Log,
}

impl SkeinJournal {
    /// Opens or makes the log in a folder.
    ///
    /// # Errors
    /// What the log says about the folder.
    pub fn open(folder: &Path, sync: Sync) -> Result<Self> {
        let options = Options {
            partitions: 1,
            disk_reserve_bytes: 0,
            retention_age_ms: None,
            sync_interval_ms: match sync {
                Sync::Second => SYNC_EACH_MS,
                Sync::None | Sync::Batch => SYNC_NEVER_MS,
            },
            ..Options::default()
        };
        let (mut log, _) = Log::open_dir(folder, options, 0, SEED)?;
        let writer = log.take_writer(PartitionId(0)).context("one writer")?;
        let janitor = log.take_janitor().context("one janitor")?;
        let began = Instant::now();
        let clock = move || began.elapsed().as_millis() as u64;
        let janitor = JanitorThread::spawn(janitor, clock, |_| {})?;
        Ok(Self {
            writer,
            began,
            sync,
            _janitor: janitor,
            _log: log,
        })
    }
}

impl Journal for SkeinJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        let records: Vec<Record<'_>> = batch.iter().map(|payload| record(payload)).collect();
        let now_ms = self.began.elapsed().as_millis() as u64;
        self.writer.append(now_ms, &records)?;
        if self.sync == Sync::Batch {
            self.writer.sync_now()?;
        }
        Ok(())
    }
}

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        kind: 1,
        flags: 0,
        key: 7,
        extension: 0,
        payload,
    }
}
