//! A process that appends is killed at a random moment, again and again, on one directory. What
//! it had said was appended is there afterwards: the page cache outlives a process. Another process
//! that only reads goes along all the while, as `skein log tail` does, and finds every record in its
//! place and nothing that is damaged, whatever the one it follows was doing when it died.

mod common;

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Seeded, all, append, options, payload};
use skein_log::{
    FileBatch, Inspector, JanitorThread, Log, Options, PartitionId, VerifyReport, WriterBackend,
};

const P: PartitionId = PartitionId(0);
const DIRECTORY: &str = "SKEIN_LOG_KILL_NINE_DIRECTORY";
const BACKEND: &str = "SKEIN_LOG_KILL_NINE_BACKEND";
const ROUNDS: u64 = 12;

/// Longest life (ms) of a process that is killed by the clock: it dies while it starts, recovers,
/// begins, rolls or syncs.
const LIFE_MS_MAX: u64 = 250;

/// How often who reads along checks everything from the start as well.
const VERIFY_INTERVAL: Duration = Duration::from_millis(100);

/// Ways to write, in turn: a directory may be written by either at any start.
const BACKENDS: [&str; 2] = ["mapped", "pwrite"];

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

fn written_by(backend: &str) -> Options {
    let writer = match backend {
        "mapped" => WriterBackend::Mapped,
        "pwrite" => WriterBackend::Pwrite,
        other => panic!("no backend is called {other}"),
    };
    Options {
        writer,
        sync_interval_ms: 20,
        ..options(1)
    }
}

/// What the killed process runs: it appends and says how far it is, until it ends.
#[test]
#[ignore = "is run by the other tests, which kill it"]
fn the_process_to_kill() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let options = written_by(&env::var(BACKEND).expect("a backend"));
    let (mut log, report) = Log::open_dir(directory, options, now_ms(), 1).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let janitor = log.take_janitor().expect("janitor");
    let _janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("thread");
    let mut writer = log.take_writer(P).expect("writer");
    let mut out = std::io::stdout();
    loop {
        let next = writer.next_offset();
        let payloads: Vec<_> = (next..next + 1 + next % 9)
            .map(|s| payload(s, (s % 700) as usize))
            .collect();
        let last = append(&mut writer, now_ms(), &payloads);
        if last % 50 < 9 {
            writeln!(out, "appended {last}").expect("say so");
            out.flush().expect("say so");
        }
    }
}

/// What the process that reads along runs, until its input ends: then it reads what is left, and
/// says how far it came.
#[test]
#[ignore = "is run by another test, which gives it something to follow"]
fn the_process_that_follows() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::SeqCst);
    });
    let inspector = loop {
        match Inspector::open(&directory) {
            Ok(inspector) => break inspector,
            // There is none yet.
            Err(error) => assert!(!ended.load(Ordering::SeqCst), "{error}"),
        }
        thread::sleep(Duration::from_millis(1));
    };
    let mut tail = inspector.tail(P, 1).expect("tail");
    let (mut next, mut verified) = (1, Instant::now());
    loop {
        let last_look = ended.load(Ordering::SeqCst);
        match tail.next_batch().expect("nothing is damaged or missing") {
            Some(batch) => next = check_batch(&batch, next),
            None if last_look => break,
            None if verified.elapsed() > VERIFY_INTERVAL => {
                check(&inspector.verify(P).expect("verify"), next - 1);
                verified = Instant::now();
            }
            // At once: what is half written is there for microseconds.
            None => thread::yield_now(),
        }
    }
    println!("followed {}", next - 1);
}

/// The offset after a batch that begins at `next` and holds what was appended there.
fn check_batch(batch: &FileBatch, next: u64) -> u64 {
    let mut expected = next;
    for (offset, record) in batch.records() {
        assert_eq!(offset, expected, "dense");
        assert_eq!(record.payload, payload(offset, record.payload.len()));
        expected += 1;
    }
    assert!(expected > next, "a batch holds something");
    expected
}

fn check(report: &VerifyReport, records_min: u64) {
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let records = report.records;
    assert!(records >= records_min, "{records} of {records_min}");
}

/// Starts this program with one of the tests that are processes of their own.
fn start(test: &str, directory: &Path, backend: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(BACKEND, backend)
        .env("RUST_BACKTRACE", "0");
    command
}

/// A process that appends.
struct Appender {
    child: Child,
    /// The last that it has said, and how often it has said something.
    said: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl Appender {
    fn start(directory: &Path, backend: &str) -> Appender {
        let mut child = start("the_process_to_kill", directory, backend)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (said, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (Arc::clone(&said), Arc::clone(&heard));
        let listener = thread::spawn(move || {
            let number = |line: String| line.strip_prefix("appended ")?.parse().ok();
            for last in lines.map_while(Result::ok).filter_map(number) {
                told.store(last, Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Appender {
            child,
            said,
            heard,
            listener,
        }
    }

    fn wait_for_words(&mut self, words: u64) {
        while self.heard.load(Ordering::SeqCst) < words {
            let status = self.child.try_wait().expect("a child");
            assert!(status.is_none(), "it ended by itself: {status:?}");
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Kills it; the last that it had said.
    fn kill(mut self) -> u64 {
        let ended = self.child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        self.child.kill().expect("kill -9");
        self.child.wait().expect("wait");
        self.listener.join().expect("its words");
        self.said.load(Ordering::SeqCst)
    }
}

/// A process that reads along.
struct Follower {
    child: Child,
    input: ChildStdin,
}

impl Follower {
    fn start(directory: &Path) -> Follower {
        let mut child = start("the_process_that_follows", directory, BACKENDS[0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let input = child.stdin.take().expect("piped");
        Follower { child, input }
    }

    /// Lets it read what is left; how far it came.
    fn end(self) -> u64 {
        drop(self.input);
        let output = self.child.wait_with_output().expect("wait");
        let (said, failed) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{said}{failed}");
        let number = said
            .lines()
            .find_map(|line| line.strip_prefix("followed ")?.parse().ok());
        number.expect("it says how far it came")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As it lies, before anybody repairs anything.
fn check_as_it_lies(directory: &Path, said: u64) {
    let inspector = Inspector::open(directory).expect("inspect");
    check(&inspector.verify(P).expect("verify"), said);
}

/// Opens what is left in the end; its last offset.
fn check_all(directory: &Path, said: u64) -> u64 {
    let (log, report) = Log::open_dir(directory, options(1), now_ms(), 2).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let records = all(&log, 0);
    assert!(records.len() as u64 >= said);
    for (offset, bytes) in &records {
        assert_eq!(bytes, &payload(*offset, bytes.len()), "offset {offset}");
    }
    records.len() as u64
}

#[test]
fn what_was_appended_survives_kill_nine() {
    for backend in BACKENDS {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut seeded = Seeded::new(9);
        let mut said = 0;
        for _ in 0..ROUNDS {
            let mut appender = Appender::start(directory.path(), backend);
            appender.wait_for_words(1 + seeded.below(300));
            said = said.max(appender.kill());
            check_as_it_lies(directory.path(), said);
        }
        check_all(directory.path(), said);
    }
}

#[test]
fn a_process_that_reads_along_sees_nothing_wrong_while_the_writer_is_killed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let follower = Follower::start(directory.path());
    let mut seeded = Seeded::new(11);
    let mut said = 0;
    for round in 0..2 * ROUNDS {
        let appender = Appender::start(directory.path(), BACKENDS[round as usize % 2]);
        thread::sleep(Duration::from_millis(seeded.below(LIFE_MS_MAX)));
        said = said.max(appender.kill());
        if said > 0 {
            check_as_it_lies(directory.path(), said);
        }
    }
    assert!(said > 1_000, "only {said} records in all");
    let followed = follower.end();
    assert_eq!(followed, check_all(directory.path(), said));
}
