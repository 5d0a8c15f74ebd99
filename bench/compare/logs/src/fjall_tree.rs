//! fjall: an LSM tree, not a log; its journal is one. A batch per batch, keys are offsets.

use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::journal::{Journal, Sync, Syncer};

/// Bytes of journal files kept before the tree is made to take them in: two of its memtables.
const JOURNAL_BYTES: u64 = 512 << 20;

/// An open database with the one keyspace.
pub struct FjallJournal {
    database: Database,
    records: Keyspace,
    next: u64,
    sync: Sync,
}

impl FjallJournal {
    /// Opens or makes the database in a folder.
    ///
    /// # Errors
    /// What the database says about the folder.
    pub fn open(folder: &Path, sync: Sync) -> Result<Self> {
        let database = Database::builder(folder)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let last = records.last_key_value();
        let next = match last {
            Some(entry) => {
                let key: [u8; 8] = entry.key()?.as_ref().try_into()?;
                u64::from_be_bytes(key) + 1
            }
            None => 1,
        };
        Ok(Self {
            database,
            records,
            next,
            sync,
        })
    }
}

impl Journal for FjallJournal {
    fn append(&mut self, batch: &[&[u8]]) -> Result<()> {
        let mode = match self.sync {
            Sync::None | Sync::Second => PersistMode::Buffer,
            Sync::Batch => PersistMode::SyncData,
        };
        let mut writes = self.database.batch().durability(Some(mode));
        for record in batch {
            writes.insert(&self.records, self.next.to_be_bytes(), *record);
            self.next += 1;
        }
        writes.commit()?;
        Ok(())
    }

    fn syncer(&self) -> Option<Syncer> {
        let database = self.database.clone();
        Some(Box::new(move || {
            Ok(database.persist(PersistMode::SyncData)?)
        }))
    }
}
