//! A file that is there for its space alone. What a start owes its partitions before their first records is
//! written to small files, and an epoch that is not durable may be given to nobody: without room for that a
//! log on a full disk would stand still instead of going on in memory. So the room is taken while there is
//! some, and given back when a small file does not fit; later, when there is space again, taken anew.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::layout::batch_limit;
use crate::limits::{BALLAST_BYTES_MIN, BALLAST_BYTES_PER_PARTITION};
use crate::names;
use crate::options::Options;
use crate::storage::{DirectoryEntry, Storage};

/// The ballast of an open log.
#[derive(Debug)]
pub(crate) struct Ballast {
    bytes: usize,
    reserve_bytes: u64,
    is_there: AtomicBool,
}

impl Ballast {
    pub(crate) fn new(options: &Options, entries: &[DirectoryEntry]) -> Ballast {
        let bytes =
            BALLAST_BYTES_MIN + BALLAST_BYTES_PER_PARTITION * usize::from(options.partitions);
        let is_whole =
            |entry: &DirectoryEntry| entry.name == names::BALLAST && entry.bytes == bytes as u64;
        Ballast {
            bytes,
            reserve_bytes: options.disk_reserve_bytes,
            is_there: AtomicBool::new(entries.iter().any(is_whole)),
        }
    }

    /// Takes the room, if it is not taken and there is enough: nobody misses it before the disk is full.
    pub(crate) fn take(&self, storage: &dyn Storage) {
        if self.is_there.load(Ordering::Acquire) {
            return;
        }
        let wanted = self.reserve_bytes.saturating_add(self.bytes as u64);
        if storage.bytes_free().is_ok_and(|free| free >= wanted) {
            // What a crash has left of an older one.
            let _ = storage.remove(names::BALLAST);
            let made = storage.create(names::BALLAST, self.bytes, batch_limit(self.bytes));
            self.is_there.store(made.is_ok(), Ordering::Release);
        }
    }

    /// Runs what writes a small file; where the disk is full, once more without the ballast.
    pub(crate) fn lend<T>(
        &self,
        storage: &dyn Storage,
        mut write: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        match write() {
            Err(error) if is_full(&error) && self.give_back(storage) => write(),
            outcome => outcome,
        }
    }

    /// Whether there was one.
    fn give_back(&self, storage: &dyn Storage) -> bool {
        self.is_there.swap(false, Ordering::AcqRel) && storage.remove(names::BALLAST).is_ok()
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}
