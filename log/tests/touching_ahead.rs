//! What the janitor does in front of the tails: in what pieces it has files held in memory (single
//! pages where syncs are small, large ones and a longer window where each sync flushes megabytes), and that it does so also while a sync takes its time.

mod common;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::append_many;
use skein_log::{
    CachePieces, DirectoryEntry, FileHandle, Janitor, JanitorThread, LockError, Log, MemoryStorage,
    Options, PartitionId, Storage, StoredFile, Writer,
};

const P: PartitionId = PartitionId(0);

/// How long what needs no disk may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

type Asked = Arc<Mutex<Vec<(usize, CachePieces)>>>;

/// Holds up whoever syncs a file while it is shut.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    shut: bool,
    waiting: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("gate");
        while state.shut {
            state.waiting = true;
            state = self.changed.wait(state).expect("gate");
        }
    }

    fn shut(&self, shut: bool) {
        self.state.lock().expect("gate").shut = shut;
        self.changed.notify_all();
    }

    fn holds_somebody_up(&self) -> bool {
        self.state.lock().expect("gate").waiting
    }
}

/// Storage that notes what is made writable ahead, and how, and syncs when the gate is open.
#[derive(Debug)]
struct Noting {
    inner: Arc<MemoryStorage>,
    asked: Asked,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct NotingFile {
    inner: Arc<dyn FileHandle>,
    asked: Asked,
    gate: Arc<Gate>,
}

impl Noting {
    fn note(&self, file: StoredFile) -> StoredFile {
        let handle = NotingFile {
            inner: file.handle,
            asked: Arc::clone(&self.asked),
            gate: Arc::clone(&self.gate),
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
        self.gate.pass();
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
    append_and_sync(window, rounds, records, &asked);
    let asked = asked.lock().expect("notes");
    assert!(asked.len() > 3, "{asked:?}");
    asked.clone()
}

fn append_and_sync(window: usize, rounds: u64, records: u64, asked: &Asked) {
    let (_log, mut writer, mut janitor) = noted(window, asked);
    for _ in 0..rounds {
        append_many(&mut writer, records, 32_000);
        writer.sync_now().expect("sync");
        janitor.work(0);
    }
}

/// A log of which is noted what is asked for.
fn noted(window: usize, asked: &Asked) -> (Log, Writer, Janitor) {
    let storage = Arc::new(Noting {
        inner: MemoryStorage::new(),
        asked: Arc::clone(asked),
        gate: Arc::default(),
    });
    let options = Options {
        segment_bytes_min: 32 << 20,
        segment_bytes_max: 32 << 20,
        pretouch_window_bytes: window,
        ..common::options(1)
    };
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("a log");
    let writer = log.take_writer(P).expect("writer");
    let janitor = log.take_janitor().expect("janitor");
    (log, writer, janitor)
}

#[test]
fn megabytes_have_large_pieces_before_a_sync_has_found_them() {
    let asked = Asked::default();
    let (_log, mut writer, mut janitor) = noted(1 << 20, &asked);
    append_many(&mut writer, 1, 32_000);
    janitor.work(0); // Syncs, and the next time in a second.
    append_many(&mut writer, 100, 32_000);
    janitor.work(0);
    let last = |asked: &Asked| *asked.lock().expect("notes").last().expect("a list");
    assert_eq!(last(&asked).1, CachePieces::Pages);
    append_many(&mut writer, 100, 32_000);
    janitor.work(0);
    assert_eq!(last(&asked).1, CachePieces::Large);
    assert_eq!(writer.durable(), 1, "no sync was in between");
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
fn a_short_window_grows_where_syncs_flush_megabytes() {
    let asked = asked(1 << 20, 7, 250);
    let (first, last) = (asked[0], *asked.last().expect("a long list"));
    let page = 4_096;
    assert!(first.0 <= (1 << 20) + page, "{asked:?}");
    assert_eq!(first.1, CachePieces::Pages, "nobody knows yet");
    assert_eq!(last.1, CachePieces::Large, "{asked:?}");
    // A quarter of the segment, and no more than that.
    let longest = asked.iter().map(|(bytes, _)| *bytes).max();
    assert!(
        (4 << 20..=(8 << 20) + page).contains(&longest.expect("a long list")),
        "{asked:?}"
    );
}

#[test]
fn without_a_window_nothing_is_touched_however_much_is_synced() {
    let asked = Asked::default();
    append_and_sync(0, 7, 250, &asked);
    let bytes: usize = asked.lock().expect("notes").iter().map(|it| it.0).sum();
    assert_eq!(bytes, 0);
}

#[test]
fn syncs_of_megabytes_have_large_pieces_once_they_are_known() {
    let asked = asked(16 << 20, 8, 250);
    assert_eq!(asked[0].1, CachePieces::Pages, "nobody knows yet");
    let last = asked.last().expect("a long list");
    assert_eq!(last.1, CachePieces::Large, "{asked:?}");
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_sync_that_takes_long_holds_up_neither_pages_nor_files() {
    let (asked, gate) = (Asked::default(), Arc::<Gate>::default());
    let storage = Arc::new(Noting {
        inner: MemoryStorage::new(),
        asked: Arc::clone(&asked),
        gate: Arc::clone(&gate),
    });
    // A segment of twice the size comes next, which nobody has made before it is known.
    let options = Options {
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 2 << 20,
        pretouch_window_bytes: 128 << 10,
        ..common::options(1)
    };
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("a log");
    let mut writer = log.take_writer(P).expect("writer");
    let janitor = log.take_janitor().expect("janitor");
    let janitor = JanitorThread::spawn(janitor, || 0, |_| {}).expect("threads");
    wait_until("the first file", || log.stats().spares_prepared == 1);

    append_many(&mut writer, 1, 1_000);
    gate.shut(true);
    writer.request_sync();
    wait_until("a sync", || gate.holds_somebody_up());
    let touched = || asked.lock().expect("notes").len();
    let before = touched();
    append_many(&mut writer, 20, 30_000); // More than half of the first segment.
    wait_until("pages ahead", || touched() > before);
    wait_until("the next file", || log.stats().spares_prepared == 2);
    append_many(&mut writer, 20, 30_000);
    let stats = log.stats();
    assert_eq!((stats.segments, stats.segments_prepared_inline), (2, 0));
    assert_eq!(writer.durable(), 0, "the sync is still on its way");

    gate.shut(false);
    writer.request_sync();
    wait_until("durable", || writer.durable() == writer.appended());
    drop(writer);
    drop(janitor.stop());
    log.close().expect("closed, with the janitor gone");
}
