//! Servers in processes of their own: this executable again, in another role.
//!
//! A server has its own descriptors, its own processor time and its own memory that way, and
//! nothing but this executable has to be built.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

/// The environment variable that says which role a child has.
const VARIABLE: &str = "SKEIN_BENCH_ROLE";

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
    /// The first line that it wrote to stdout.
    pub said: String,
}

impl Child {
    /// Starts this executable in another role and waits for its first line.
    ///
    /// # Panics
    /// If it does not start, or ends without a word.
    pub fn start(role: &str, arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Command::new(env::current_exe().expect("an executable"));
        command
            .args(arguments)
            .env(VARIABLE, role)
            .env("SKEIN_LOG", "warn");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a child");
        let mut said = String::new();
        let stdout = process.stdout.take().expect("piped above");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("readable");
        let said = said.trim().to_owned();
        assert!(!said.is_empty(), "the {role} ended before it was ready");
        Self { process, said }
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
