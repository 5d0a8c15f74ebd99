//! commitlog: a message set per batch. Its `flush` writes the index back and, on the file of the
//! records, does what the standard library's `flush` does: nothing. So a durable append syncs that
//! file here, through a descriptor of our own, as anybody would have to who relies on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use commitlog::message::MessageBuf;
use commitlog::{CommitLog, LogOptions};

use crate::journal::{Journal, Sync, Syncer};

/// Bytes of a segment file: as large as skein's.
const SEGMENT_BYTES: usize = 64 << 20;

/// Messages that a segment's index has room for: enough for a segment of the smallest records.
const INDEX_ITEMS: usize = 1 << 20;

/// Appends between two looks whether a new segment has begun. A segment of the largest batches
/// measured lasts longer.
const LOOK_EACH: u32 = 64;

/// An open log.
pub struct CommitJournal {
    log: CommitLog,
    sync: Sync,
    messages: MessageBuf,
    folder: PathBuf,
    segment: Option<File>,
    until_look: u32,
}

impl CommitJournal {
    /// Opens or makes the log in a folder.
    ///
    /// # Errors
    /// What the log says about the folder.
    pub fn open(folder: &Path, sync: Sync) -> Result<Self> {
        let mut options = LogOptions::new(folder);
        options.segment_max_bytes(SEGMENT_BYTES);
        options.index_max_items(INDEX_ITEMS);
        Ok(Self {
            log: CommitLog::new(options)?,
            sync,
            messages: MessageBuf::default(),
            folder: folder.to_owned(),
            segment: None,
            until_look: 0,
        })
    }

    /// Syncs the file of the newest segment.
    fn sync(&mut self) -> Result<()> {
        self.log.flush()?;
        if self.until_look == 0 {
            if let Some(before) = self.segment.take() {
                before.sync_data()?;
            }
            self.segment = Some(File::open(newest_segment(&self.folder)?)?);
            self.until_look = LOOK_EACH;
        }
        self.until_look -= 1;
        let segment = self.segment.as_ref().context("opened above")?;
        Ok(segment.sync_data()?)
    }
}

/// Names are first offsets in twenty digits, so the last one is the newest.
fn newest_segment(folder: &Path) -> Result<PathBuf> {
    segments(folder)?.max().context("a segment")
}

fn segments(folder: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>> {
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some_and(|kind| kind == "log")))
}

impl Journal for CommitJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        self.messages.clear();
        for record in batch {
            self.messages
                .push(record)
                .map_err(|error| anyhow!("a message is refused: {error:?}"))?;
        }
        self.log.append(&mut self.messages)?;
        match self.sync {
            Sync::None | Sync::Second => Ok(()),
            Sync::Batch => self.sync(),
        }
    }

    /// Through descriptors of its own: all segments that may have changed since the last time.
    fn syncer(&self) -> Option<Syncer> {
        let folder = self.folder.clone();
        let mut synced = PathBuf::new();
        Some(Box::new(move || {
            let mut changed: Vec<PathBuf> = segments(&folder)?.collect();
            changed.retain(|path| *path >= synced);
            changed.sort_unstable();
            for path in changed {
                File::open(&path)?.sync_data()?;
                synced = path;
            }
            Ok(())
        }))
    }
}
