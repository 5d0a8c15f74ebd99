//! Servers in processes of their own: this executable again, in another role.
//!
//! A server has its own descriptors, its own processor time and its own memory that way, and
//! nothing but this executable has to be built.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The environment variable that says which role a child has.
const VARIABLE: &str = "SKEIN_BENCH_ROLE";

/// Longest wait for a child that was dismissed: 10,000 connections are closed in less.
const DISMISSED: Duration = Duration::from_secs(5);

/// Pause between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The role of this process, if it is a child; then it also ends with its parent.
pub fn role() -> Option<String> {
    let role = env::var(VARIABLE).ok()?;
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("this {role} may outlive its parent: {error}");
    }
    Some(role)
}

/// A child. Ends with its value.
pub struct Child {
    process: process::Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The first line that it wrote to stdout.
    pub said: String,
}

impl Child {
    /// Starts this executable in another role and waits for its first line.
    ///
    /// # Panics
    /// If it does not start, or ends without a word.
    pub fn start(role: &str, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self::start_with(role, arguments, &[])
    }

    /// Like [`Self::start`], with variables of the environment.
    ///
    /// # Panics
    /// If it does not start, or ends without a word.
    pub fn start_with(
        role: &str,
        arguments: impl IntoIterator<Item = OsString>,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(env::current_exe().expect("an executable"));
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .env(VARIABLE, role)
            .env("SKEIN_LOG", "warn");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a child");
        let orders = process.stdin.take().expect("piped above");
        let answers = process.stdout.take().expect("piped above");
        let mut child = Self {
            process,
            orders: Some(orders),
            answers: BufReader::new(answers),
            said: String::new(),
        };
        child.said = child.hear();
        assert!(
            !child.said.is_empty(),
            "the {role} ended before it was ready"
        );
        child
    }

    /// Says a line to it and waits for its answer.
    ///
    /// # Panics
    /// If it has ended.
    pub fn ask(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("open until the end");
        writeln!(orders, "{order}").expect("a child that listens");
        let answer = self.hear();
        assert!(!answer.is_empty(), "a child has ended over {order}");
        answer
    }

    /// Says that there are no more orders and waits until it has ended, so that it can take its
    /// folders and its own children along; not for ever.
    pub fn dismiss(&mut self) {
        drop(self.orders.take());
        let asked = Instant::now();
        while asked.elapsed() < DISMISSED && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
        }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("readable");
        line.trim().to_owned()
    }

    /// Processor time of all its threads so far.
    ///
    /// # Panics
    /// If it has ended.
    pub fn processor_time(&self) -> Duration {
        let threads = format!("/proc/{}/task", self.process.id());
        let threads = fs::read_dir(threads).expect("the child is there").flatten();
        let nanos = threads.filter_map(|thread| {
            // A thread may end between two reads.
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Bytes of its memory that no file backs.
    ///
    /// # Panics
    /// If it has ended.
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = fs::read_to_string(path).expect("the child is there");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a size") * 1024
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
