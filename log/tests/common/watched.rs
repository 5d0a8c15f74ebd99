//! A directory in memory that knows when a file is being made blank, to be used again, and that can
//! forget to sync its names.

use std::io;
use std::sync::{Arc, Mutex};

use skein_log::{DirectoryEntry, LockError, MemoryStorage, Storage, StoredFile};

/// What becomes of a sync of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// It is done.
    Synced,
    /// Success is reported and nothing done: the bug that a crash test must find.
    Forgotten,
}

/// A storage over a `MemoryStorage`, which is crashed and observed as ever.
#[derive(Debug)]
pub struct Watched {
    memory: Arc<MemoryStorage>,
    names: Names,
    /// The file that has lost the name of a segment and is not known to be blank yet.
    recycling: Mutex<Option<String>>,
}

impl Watched {
    pub fn new(memory: Arc<MemoryStorage>, names: Names) -> Arc<Watched> {
        Arc::new(Watched {
            memory,
            names,
            recycling: Mutex::new(None),
        })
    }

    /// Whether the file of a segment is a spare by name, and holds something still.
    pub fn is_recycling(&self) -> bool {
        let mut recycling = self.recycling.lock().expect("recycling");
        let holds_something = |name: &String| {
            let bytes = self.memory.read(name, usize::MAX);
            bytes.is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0))
        };
        *recycling = recycling.take().filter(holds_something);
        recycling.is_some()
    }
}

impl Storage for Watched {
    fn lock(&self) -> Result<(), LockError> {
        self.memory.lock()
    }

    fn unlock(&self) {
        self.memory.unlock();
    }

    fn describe(&self) -> String {
        self.memory.describe()
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        self.memory.list()
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.memory.read(name, bytes_max)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.memory.write(name, bytes)
    }

    fn create(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        self.memory.create(name, bytes, reserved_from)
    }

    fn open(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        self.memory.open(name, bytes, reserved_from)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)?;
        if to.starts_with("spare-") {
            *self.recycling.lock().expect("recycling") = Some(to.to_owned());
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        match self.names {
            Names::Synced => self.memory.sync_directory(),
            Names::Forgotten => Ok(()),
        }
    }

    fn bytes_free(&self) -> io::Result<u64> {
        self.memory.bytes_free()
    }
}
