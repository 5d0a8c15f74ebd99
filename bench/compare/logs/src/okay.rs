//! okaywal: one entry per batch, a chunk per record. Every commit is synced; it cannot do less.

use std::path::Path;

use anyhow::{Result, ensure};
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::journal::{Journal, Sync};

/// Bytes of a segment file: as large as skein's, instead of 1 MiB.
const SEGMENT_BYTES: u32 = 64 << 20;

/// Bytes after which a segment is closed and checkpointed: just below its size.
const CHECKPOINT_BYTES: u64 = 63 << 20;

/// Bytes that it collects before it writes.
const BUFFER_BYTES: usize = 256 << 10;

/// An open log.
pub struct OkayJournal(WriteAheadLog);

/// Reads what it recovers and keeps none of it.
#[derive(Debug)]
struct Counting {
    entries: u64,
}

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut Entry<'_>) -> std::io::Result<()> {
        while let okaywal::ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            std::io::copy(&mut chunk, &mut std::io::sink())?;
        }
        self.entries += 1;
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

impl OkayJournal {
    /// Opens or makes the log in a folder.
    ///
    /// # Errors
    /// What the log says about the folder; or that it was asked for less than it does.
    pub fn open(folder: &Path, sync: Sync) -> Result<Self> {
        ensure!(
            sync == Sync::Batch,
            "okaywal syncs every commit; measure it with --sync batch"
        );
        let configuration = Configuration::default_for(folder)
            .preallocate_bytes(SEGMENT_BYTES)
            .checkpoint_after_bytes(CHECKPOINT_BYTES)
            .buffer_bytes(BUFFER_BYTES);
        Ok(Self(configuration.open(Counting { entries: 0 })?))
    }
}

impl Journal for OkayJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for record in batch {
            entry.write_chunk(record)?;
        }
        entry.commit()?;
        Ok(())
    }
}
