//! In what pieces the janitor has files held in memory: single pages where syncs are small, large
//! ones where each sync flushes megabytes and the window ahead is long.

mod common;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use common::append_many;
use skein_log::{
    CachePieces, DirectoryEntry, FileHandle, LockError, Log, MemoryStorage, Options, PartitionId,
    Storage, StoredFile,
};

const P: PartitionId = PartitionId(0);

type Asked = Arc<Mutex<Vec<(usize, CachePieces)>>>;

/// Storage that notes what is made writable ahead, and how.
#[derive(Debug)]
struct Noting {
    inner: Arc<MemoryStorage>,
    asked: Asked,
}

#[derive(Debug)]
struct NotingFile {
    inner: Arc<dyn FileHandle>,
    asked: Asked,
}

impl Noting {
    fn note(&self, file: StoredFile) -> StoredFile {
        let handle = NotingFile {
            inner: file.handle,
            asked: Arc::clone(&self.asked),
        };
        StoredFile {
            mapping: file.mapping,
            handle: Arc::new(handle),
        }
    }
}

impl Storage for Noting {
    fn lock(&self) -> Result<(), LockError> {
        self.inner.lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        self.inner.list()
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.inner.read(name, bytes_max)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(name, bytes)
    }

    fn create(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let file = self.inner.create(name, bytes, reserved_from)?;
        Ok(self.note(file))
    }

    fn open(&self, name: &str, bytes: usize, reserved_from: usize) -> io::Result<StoredFile> {
        let file = self.inner.open(name, bytes, reserved_from)?;
        Ok(self.note(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn bytes_free(&self) -> io::Result<u64> {
        self.inner.bytes_free()
    }
}

impl FileHandle for NotingFile {
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn write_back(&self, range: Range<usize>) {
        self.inner.write_back(range);
    }

    fn populate(&self, range: Range<usize>, pieces: CachePieces) {
        self.asked
            .lock()
            .expect("notes")
            .push((range.len(), pieces));
        self.inner.populate(range, pieces);
    }

    fn release(&self, range: Range<usize>) {
        self.inner.release(range);
    }

    fn write_at(&self, position: usize, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(position, bytes)
    }

    fn zero(&self, range: Range<usize>) -> io::Result<()> {
        self.inner.zero(range)
    }
}

/// What is asked for while a log appends `rounds` times so many records of 32 KiB, each time synced.
fn asked(window: usize, rounds: u64, records: u64) -> Vec<(usize, CachePieces)> {
    let asked = Asked::default();
    let storage = Arc::new(Noting {
        inner: MemoryStorage::new(),
        asked: Arc::clone(&asked),
    });
    let options = Options {
        segment_bytes_min: 32 << 20,
        segment_bytes_max: 32 << 20,
        pretouch_window_bytes: window,
        ..common::options(1)
    };
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("a log");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    for _ in 0..rounds {
        append_many(&mut writer, records, 32_000);
        writer.sync_now(0).expect("sync");
        janitor.work(0);
    }
    let asked = asked.lock().expect("notes");
    assert!(asked.len() > 3, "{asked:?}");
    asked.clone()
}

#[test]
fn small_syncs_have_single_pages() {
    let asked = asked(8 << 20, 60, 20);
    let large = asked.iter().filter(|(_, it)| *it == CachePieces::Large);
    assert_eq!(large.count(), 0, "{asked:?}");
    assert!(
        asked.iter().any(|(bytes, _)| *bytes == 8 << 20),
        "{asked:?}"
    );
}

#[test]
fn a_short_window_has_single_pages_however_much_is_synced() {
    let asked = asked(1 << 20, 7, 250);
    let large = asked.iter().filter(|(_, it)| *it == CachePieces::Large);
    assert_eq!(large.count(), 0, "{asked:?}");
}

#[test]
fn syncs_of_megabytes_have_large_pieces_once_they_are_known() {
    let asked = asked(16 << 20, 8, 250);
    assert_eq!(asked[0].1, CachePieces::Pages, "nobody knows yet");
    let last = asked.last().expect("a long list");
    assert_eq!(last.1, CachePieces::Large, "{asked:?}");
}
