//! System calls of a running process, by thread.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::Process;
use crate::skip;
use crate::wait::{self, PATIENCE};

/// How often each call was made, by the name of the thread.
pub type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// Whether there is a strace; says that `what` is skipped if not.
pub fn is_there(what: &str) -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        skip::say(what, "there is no strace");
    }
    found
}

/// Counts these system calls of all threads of a process for so long. `None` where that is not
/// possible: `what` is then said to be skipped.
///
/// # Panics
/// If the process ends meanwhile.
pub fn count(
    what: &str,
    pid: u32,
    calls: &[&str],
    time: Duration,
    scratch: &Path,
) -> Option<Calls> {
    if !is_there(what) {
        return None;
    }
    let output = scratch.join("strace.txt");
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--quiet=all", "--trace", &calls.join(",")]);
    command.arg("--attach").arg(pid.to_string());
    command.arg("--output").arg(&output);
    let mut tracer = Process::start("strace", command);
    thread::sleep(time);
    if !tracer.is_running() {
        let said = tracer.wait(PATIENCE).stderr;
        skip::say(what, &format!("strace cannot attach: {said}"));
        return None;
    }
    let names = threads(pid);
    tracer.signal(Signal::INT);
    tracer.wait(PATIENCE);
    let text = fs::read_to_string(output).expect("what strace has seen");
    Some(tally(&text, &names))
}

/// System calls of a running process that fail until this is dropped.
pub struct Failing(Process);

impl Failing {
    /// Lets system calls of all threads of a process fail, by rules of strace such as
    /// `fdatasync:error=EIO`. `None` where that is not possible: `what` is then said to be skipped.
    ///
    /// # Panics
    /// If the process ends meanwhile.
    pub fn begin(what: &str, pid: u32, rules: &[&str], scratch: &Path) -> Option<Self> {
        if !is_there(what) {
            return None;
        }
        let calls = rules.iter().filter_map(|rule| rule.split(':').next());
        let calls: Vec<&str> = calls.collect();
        let mut command = Command::new("strace");
        command.args(["--follow-forks", "--quiet=all", "--trace", &calls.join(",")]);
        command.args(rules.iter().flat_map(|rule| ["--inject", rule]));
        command.arg("--attach").arg(pid.to_string());
        command.arg("--output").arg(scratch.join("failing.txt"));
        let mut tracer = Process::start("strace", command);
        wait::until("strace holds all threads", PATIENCE, || {
            !tracer.is_running() || is_traced(pid)
        });
        if !tracer.is_running() {
            let said = tracer.wait(PATIENCE).stderr;
            skip::say(what, &format!("strace cannot attach: {said}"));
            return None;
        }
        Some(Self(tracer))
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.signal(Signal::INT);
        self.0.wait(PATIENCE);
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> bool {
    let numbers: Vec<String> = threads(pid).into_keys().collect();
    numbers.iter().all(|number| {
        let path = format!("/proc/{pid}/task/{number}/status");
        let status = fs::read_to_string(path).unwrap_or_default();
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        // A thread may end at any time.
        tracer.is_none_or(|tracer| tracer.trim() != "0")
    })
}

/// Names of the threads of a process, by their numbers.
fn threads(pid: u32) -> BTreeMap<String, String> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let name = |number: &str| {
        let path = format!("/proc/{pid}/task/{number}/comm");
        // A thread may end at any time.
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    folder
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|number| (number.clone(), name(&number)))
        .collect()
}

/// Adds up lines like `1234 futex(0x…, …) = 0`; the end of a call that was interrupted by another
/// thread's line does not count again.
fn tally(text: &str, names: &BTreeMap<String, String>) -> Calls {
    let mut calls = Calls::new();
    for line in text.lines() {
        let Some((number, rest)) = line.split_once(' ') else {
            continue;
        };
        let call = rest.trim_start().split('(').next().unwrap_or_default();
        let is_call = rest.contains('(') && !call.contains([' ', '<', '-', '+']);
        if let (Some(name), true) = (names.get(number), is_call) {
            let of_thread = calls.entry(name.clone()).or_default();
            *of_thread.entry(call.to_owned()).or_default() += 1;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_up_by_thread() {
        let names = [("7", "shard-0"), ("8", "http")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let text = "7     futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0\n\
                    7     epoll_wait(3,  <unfinished ...>\n8 futex(0x1, 2) = 0\n\
                    7     <... epoll_wait resumed>[], 4, 9) = 0\n\
                    7     --- SIGINT {si_signo=SIGINT} ---\n9     futex(0x1, 2) = 0\n";
        let calls = tally(text, &BTreeMap::from(names));
        let of = |thread: &str, call: &str| calls[thread].get(call).copied();
        assert_eq!(of("shard-0", "futex"), Some(1));
        assert_eq!(of("shard-0", "epoll_wait"), Some(1));
        assert_eq!(calls["shard-0"].len(), 2);
        assert_eq!(of("http", "futex"), Some(1));
        assert_eq!(calls.len(), 2);
    }
}
