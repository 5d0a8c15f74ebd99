//! A process that appends, and a system that fails under it: system calls that return errors
//! (injected by strace into the running process), and a real power cut of its file system. What it
//! had said was durable is there afterwards; what it lost it has said; it never stops.
//!
//! Needs root, strace, loop devices, and for the power cut `SKEIN_POWER_CUT`, the path of a program
//! with the verbs `make IMAGE DIR`, `cut DIR`, `restore IMAGE DIR`, `clean IMAGE DIR`. What is not
//! there is skipped loudly.

mod common;

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{append, drain, options, payload, skip};
use skein_log::{JanitorThread, Log, Options, PartitionId, WriterBackend};

const P: PartitionId = PartitionId(0);
const DIRECTORY: &str = "SKEIN_LOG_FAULTS_DIRECTORY";
const PWRITE: &str = "SKEIN_LOG_FAULTS_PWRITE";
const MEGABYTES: &str = "SKEIN_LOG_FAULTS_MEGABYTES";

/// Records of the child with [`MEGABYTES`], and how many that are durable retention keeps at least: half of what two
/// files hold, less those of a sync that is still to come.
const LARGE_RECORD_BYTES: usize = 30_000;
const RECORDS_KEPT: u64 = 500;

/// Records between two syncs of it: 9 MB.
const RECORDS_PER_SYNC: u64 = 300;

/// Words of the child after which something that was waited for will not come any more.
const WORDS_MAX: usize = 20_000;

fn child_options() -> Options {
    let writer = match env::var_os(PWRITE) {
        Some(_) => WriterBackend::Pwrite,
        None => WriterBackend::Mapped,
    };
    let options = Options {
        sync_interval_ms: 5,
        writer,
        ..options(1)
    };
    match env::var_os(MEGABYTES) {
        // A sync finds megabytes in a file that is still written.
        Some(_) => Options {
            // So rarely that no write-back is started ahead of the syncs that are asked for.
            sync_interval_ms: 60_000,
            segment_bytes_min: 32 << 20,
            segment_bytes_max: 32 << 20,
            retention_bytes: Some(64 << 20),
            retention_needs_checkpoint: false,
            ..options
        },
        None => options,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listened may be gone.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// What the child process runs: it appends and says what is durable, lost, degraded, until it is
/// killed.
#[test]
#[ignore = "is run by the other tests, which let it suffer"]
fn the_process_that_suffers() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let (mut log, report) = Log::open_dir(directory, child_options(), now_ms(), 1).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    log.on_lost(Box::new(|_, first, last| {
        say(&format!("lost {first} {last}"))
    }));
    log.on_durable(Box::new(|_, offset| say(&format!("durable {offset}"))));
    let janitor = log.take_janitor().expect("janitor");
    let _janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("thread");
    let mut writer = log.take_writer(P).expect("writer");
    let mut reader = log.reader(P);
    loop {
        let next = writer.next_offset();
        let records = next..next + 1 + next % 9;
        let bytes = |stamp: u64| match env::var_os(MEGABYTES) {
            Some(_) => LARGE_RECORD_BYTES,
            None => 100 + (stamp % 700) as usize,
        };
        let payloads = records.map(|stamp| payload(stamp, bytes(stamp)));
        let payloads: Vec<_> = payloads.collect();
        let last = append(&mut writer, now_ms(), &payloads);
        let seen = drain(&mut reader).0;
        assert_eq!(seen.last().expect("a record").0, last, "followers go on");
        if env::var_os(MEGABYTES).is_some() && last / RECORDS_PER_SYNC != next / RECORDS_PER_SYNC {
            writer.request_sync();
        }
        let state = if writer.degraded() {
            "degraded"
        } else {
            "well"
        };
        say(&format!("{state} {last}"));
        thread::sleep(Duration::from_millis(1));
    }
}

/// How the child appends.
#[derive(Clone, Copy)]
enum Way {
    Mapped,
    Pwrite,
    /// So much that a sync is of a part of the file that is written.
    Megabytes,
}

impl Way {
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Mapped => None,
            Self::Pwrite => Some(PWRITE),
            Self::Megabytes => Some(MEGABYTES),
        }
    }
}

/// The child, and what it has said.
struct Sufferer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    durable: u64,
    lost: BTreeSet<u64>,
}

impl Sufferer {
    fn start(directory: &Path, way: Way) -> Sufferer {
        let mut command = Command::new(env::current_exe().expect("this test"));
        command
            .args([
                "--exact",
                "the_process_that_suffers",
                "--ignored",
                "--nocapture",
            ])
            .env(DIRECTORY, directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(variable) = way.variable() {
            command.env(variable, "1");
        }
        let mut child = command.spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Sufferer {
            child,
            lines,
            durable: 0,
            lost: BTreeSet::new(),
        }
    }

    /// Listens until `enough` says so. `enough` gets each word with its first number.
    fn listen(&mut self, what: &str, mut enough: impl FnMut(&str, u64) -> bool) {
        for _ in 0..WORDS_MAX {
            let line = self.lines.next();
            let line = line.unwrap_or_else(|| panic!("ended before {what}"));
            let line = line.expect("text");
            let mut words = line.split(' ');
            let (word, first) = (words.next().unwrap_or(""), words.next());
            let Some(number) = first.and_then(|number| number.parse().ok()) else {
                continue;
            };
            match word {
                "durable" => self.durable = number,
                "lost" => {
                    let last = words.next().and_then(|last| last.parse().ok());
                    self.lost.extend(number..=last.expect("two numbers"));
                }
                _ => {}
            }
            if enough(word, number) {
                return;
            }
        }
        panic!("{what} did not come");
    }

    fn listen_to_words(&mut self, count: usize) {
        let mut heard = 0;
        self.listen("some words", |word, _| {
            heard += usize::from(word == "durable");
            heard == count
        });
    }

    fn is_durable_again(&mut self) {
        self.listen("a healthy state", |word, _| word == "well");
        self.listen_to_words(3);
    }

    fn kill(mut self) -> (u64, BTreeSet<u64>) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("wait");
        (self.durable, std::mem::take(&mut self.lost))
    }
}

/// Everything that was said to be durable is there, but for what was said to be lost, and what is older
/// than retention keeps.
fn check(directory: &Path, way: Way, (durable, lost): (u64, BTreeSet<u64>)) {
    assert!(durable > 0, "something was durable");
    let (log, report) = Log::open_dir(directory, options(1), now_ms(), 2).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let from = match way {
        Way::Mapped | Way::Pwrite => 1,
        Way::Megabytes => durable.saturating_sub(RECORDS_KEPT).max(1),
    };
    let (records, gaps) = drain(&mut log.reader(P));
    let found: BTreeSet<u64> = records.iter().map(|(offset, _)| *offset).collect();
    for offset in (from..=durable).filter(|offset| !lost.contains(offset)) {
        assert!(
            found.contains(&offset),
            "{offset} of {durable} is missing, gaps {gaps:?}"
        );
    }
    for (offset, bytes) in records {
        assert_eq!(bytes, payload(offset, bytes.len()), "offset {offset}");
    }
}

/// strace on a process; it lets go when dropped.
struct Strace(Child);

impl Strace {
    /// `None`: there is no strace, or it may not attach.
    fn attach(process: u32, inject: &[&str]) -> Option<Strace> {
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-o", "/dev/null", "-p", &process.to_string()]);
        for what in inject {
            command.args(["-e", &format!("inject={what}")]);
        }
        let mut strace = command.stderr(Stdio::null()).spawn().ok()?;
        thread::sleep(Duration::from_millis(300));
        match strace.try_wait() {
            Ok(None) => Some(Strace(strace)),
            _ => None,
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // An interrupt: a killed strace may leave its process stopped.
        let process = self.0.id().to_string();
        let _ = Command::new("kill").args(["-INT", &process]).status();
        let _ = self.0.wait();
    }
}

fn injected(way: Way, inject: &[&str], suffers: impl FnOnce(&mut Sufferer)) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut sufferer = Sufferer::start(directory.path(), way);
    sufferer.listen_to_words(3);
    let Some(strace) = Strace::attach(sufferer.child.id(), inject) else {
        skip::say(
            "system calls that fail",
            "strace can't attach; needs strace and the right to trace",
        );
        sufferer.kill();
        return;
    };
    suffers(&mut sufferer);
    drop(strace);
    sufferer.is_durable_again();
    check(directory.path(), way, sufferer.kill());
}

#[test]
fn failing_syncs_lose_what_they_say_and_nothing_else() {
    injected(Way::Mapped, &["fdatasync:error=EIO:when=2+3"], |sufferer| {
        let mut losses = 0;
        sufferer.listen("losses", |word, _| {
            losses += usize::from(word == "lost");
            losses == 4
        });
        assert!(!sufferer.lost.is_empty());
    });
}

#[test]
fn failing_syncs_of_a_part_of_a_file_lose_what_they_say_and_nothing_else() {
    injected(Way::Megabytes, &["msync:error=EIO:when=2+3"], |sufferer| {
        let mut losses = 0;
        sufferer.listen("losses", |word, _| {
            losses += usize::from(word == "lost");
            losses == 3
        });
    });
}

#[test]
fn a_disk_without_space_turns_the_log_to_memory_and_back() {
    injected(Way::Mapped, &["fallocate:error=ENOSPC"], |sufferer| {
        sufferer.listen("memory", |word, _| word == "degraded");
    });
}

#[test]
fn a_failing_pwrite_turns_the_log_to_memory_and_back() {
    let inject = ["pwrite64:error=ENOSPC:when=20+"];
    injected(Way::Pwrite, &inject, |sufferer| {
        sufferer.listen("memory", |word, _| word == "degraded");
    });
}

#[test]
fn failing_directory_syncs_and_renames_are_survived() {
    let inject = ["fsync:error=EIO:when=2+4", "rename:error=EIO:when=1+3"];
    injected(Way::Mapped, &inject, |sufferer| {
        sufferer.listen_to_words(1);
        sufferer.listen("words", |_, last| last > 3_000);
    });
}

/// The program that cuts the power of a file system.
fn power_cut() -> Option<PathBuf> {
    let beside = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/tools/power_cut.py"
    );
    let path = env::var_os("SKEIN_POWER_CUT").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    path.exists().then_some(path)
}

/// A file system whose power can be cut.
struct Machine {
    tool: PathBuf,
    image: PathBuf,
    mount: PathBuf,
    _directory: tempfile::TempDir,
}

impl Machine {
    fn make(file_system: &str) -> Option<Machine> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let machine = Machine {
            tool: power_cut()?,
            image: directory.path().join("image"),
            mount: directory.path().join("mount"),
            _directory: directory,
        };
        let made = machine.run(&["make", "IMAGE", "MOUNT", "--fs", file_system]);
        made.then_some(machine)
    }

    fn run(&self, verb: &[&str]) -> bool {
        let path = |word: &&str| match *word {
            "IMAGE" => self.image.clone(),
            "MOUNT" => self.mount.clone(),
            other => PathBuf::from(other),
        };
        let mut command = Command::new(&self.tool);
        command.args(verb.iter().map(path)).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.run(&["clean", "IMAGE", "MOUNT"]);
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_durable() {
    for file_system in ["ext4", "xfs"] {
        for way in [Way::Mapped, Way::Pwrite, Way::Megabytes] {
            let Some(machine) = Machine::make(file_system) else {
                let needs = format!("root, loop devices, mkfs.{file_system}, SKEIN_POWER_CUT");
                skip::say(
                    &format!("a power cut on {file_system}"),
                    &format!("it needs {needs}"),
                );
                continue;
            };
            let log = machine.mount.join("log");
            // Again on what the cut before has left.
            for words in [5, 40] {
                let mut sufferer = Sufferer::start(&log, way);
                sufferer.listen_to_words(words);
                // What is said from now on may be said by a machine that is off already.
                assert!(machine.run(&["cut", "MOUNT"]), "the power is cut");
                let said = sufferer.kill();
                assert!(machine.run(&["restore", "IMAGE", "MOUNT"]), "power is back");
                check(&log, way, said);
            }
        }
    }
}
