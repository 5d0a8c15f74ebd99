//! A process that appends is killed at a random moment, again and again, on one directory. What
//! it had said was appended is there afterwards: the page cache outlives a process.

mod common;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Seeded, all, append, options, payload};
use skein_log::{Inspector, JanitorThread, Log, PartitionId};

const P: PartitionId = PartitionId(0);
const DIRECTORY: &str = "SKEIN_LOG_KILL_NINE_DIRECTORY";
const ROUNDS: u64 = 12;

/// What the killed process runs: it appends and says how far it is, until it ends.
#[test]
#[ignore = "is run by the other test, which kills it"]
fn the_process_to_kill() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let (mut log, report) = Log::open_dir(directory, options(1), 0, 1).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let janitor = log.take_janitor().expect("janitor");
    let _janitor = JanitorThread::spawn(janitor, || 0, |_| {}).expect("thread");
    let mut writer = log.take_writer(P).expect("writer");
    let mut out = std::io::stdout();
    loop {
        let next = writer.next_offset();
        let payloads: Vec<_> = (next..next + 1 + next % 9)
            .map(|s| payload(s, (s % 700) as usize))
            .collect();
        let last = append(&mut writer, 0, &payloads);
        if last % 50 < 9 {
            writeln!(out, "appended {last}").expect("say so");
            out.flush().expect("say so");
        }
    }
}

/// Kills the process when it has said `words` times how far it is; returns the last it said.
fn run_and_kill(directory: &Path, words: u64) -> u64 {
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "the_process_to_kill", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut heard, mut said) = (0, 0);
    for line in lines.map_while(Result::ok) {
        let Some(last) = line
            .strip_prefix("appended ")
            .and_then(|number| number.parse().ok())
        else {
            continue;
        };
        said = last;
        heard += 1;
        if heard == words {
            child.kill().expect("kill -9");
        }
    }
    child.wait().expect("wait");
    assert!(
        heard >= words,
        "the process ended by itself after {heard} of {words} words"
    );
    said
}

#[test]
fn what_was_appended_survives_kill_nine() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut seeded = Seeded::new(9);
    let mut said = 0;
    for round in 0..ROUNDS {
        said = said.max(run_and_kill(directory.path(), 1 + seeded.below(300)));
        // As it lies, before anybody repairs anything.
        let report = Inspector::open(directory.path())
            .expect("inspect")
            .verify(P)
            .expect("verify");
        assert!(
            report.problems.is_empty(),
            "round {round}: {:?}",
            report.problems
        );
        assert!(
            report.records >= said,
            "round {round}: said {said}, there are {}",
            report.records
        );
    }
    let (log, report) = Log::open_dir(directory.path(), options(1), 0, 2).expect("open");
    assert!(!report.is_corrupt(), "{report}");
    let records = all(&log, 0);
    assert!(records.len() as u64 >= said);
    for (offset, bytes) in records {
        assert_eq!(bytes, payload(offset, bytes.len()), "offset {offset}");
    }
}
