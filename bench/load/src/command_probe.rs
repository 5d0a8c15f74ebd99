//! The commands of an operator, one after the other, and how long the server takes for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::json;

use crate::clock::now_ns;
use crate::control::{Control, ControlConnection};
use crate::latency::{Latencies, Percentiles};

/// From one round of commands to the next, nanoseconds: ten commands a second, so that on a busy
/// machine they do not wait for each other.
const ROUND_NS: u64 = 400_000_000;

/// The user that the commands are about.
const USER: &str = "load-probe";

/// Seconds that its sessions are made to last; each is stopped at once.
const DURATION_S: u32 = 60;

/// One command's latency.
#[derive(Clone, Copy, Debug)]
struct Sample {
    command: &'static str,
    at_ns: u64,
    latency_ns: u64,
}

/// Latencies of commands, milliseconds, by command.
pub type CommandLatencies = BTreeMap<&'static str, Percentiles>;

/// Asks in a thread of its own.
pub struct CommandProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<Sample>>>,
}

/// All that was measured.
#[derive(Debug)]
pub struct CommandSamples(Vec<Sample>);

/// What a window of time has brought.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CommandFigures {
    /// By command.
    pub by_command: CommandLatencies,
    /// All together.
    pub all: Percentiles,
}

impl CommandProbe {
    /// Begins, with this chat's sessions to list.
    ///
    /// # Errors
    /// When the control API is not there.
    pub fn start(control: &Control, chat: &str) -> anyhow::Result<Self> {
        let connection = control.connect()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, chat) = (Arc::clone(&stop), chat.to_owned());
        let thread = thread::spawn(move || ask(connection, &chat, &told));
        Ok(Self { stop, thread })
    }

    /// Ends.
    ///
    /// # Errors
    /// When a command was refused.
    pub fn end(self) -> anyhow::Result<CommandSamples> {
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.thread.join();
        samples
            .map_err(|_| anyhow!("the thread with the commands has ended by a fault"))?
            .map(CommandSamples)
    }
}

/// Rounds of four commands, by the clock. Each counts from when it should have been given: one
/// that takes long makes those behind it late, too.
fn ask(
    mut connection: ControlConnection,
    chat: &str,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let member = format!("/v1/chats/{chat}/members/{USER}");
    let sessions = format!("/v1/chats/{chat}/sessions");
    let rights = json!({ "rights": ["share", "watch"] });
    let start = json!({ "user": USER, "duration_s": DURATION_S });
    let mut due = now_ns();
    while !stop.load(Ordering::Relaxed) {
        let mut step = |command, method: &str, path: &str, body| {
            thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
            let answer = connection.call(method, path, body)?;
            samples.push(Sample {
                command,
                at_ns: due,
                latency_ns: now_ns() - due,
            });
            due += ROUND_NS / 4;
            anyhow::Ok(answer)
        };
        step("put a member", "PUT", &member, Some(&rights))?;
        let session = step("start a session", "POST", &sessions, Some(&start))?;
        step("list sessions", "GET", &sessions, None)?;
        let session = session["session"].as_str().unwrap_or_default();
        step(
            "stop a session",
            "DELETE",
            &format!("{sessions}/{session}"),
            None,
        )?;
    }
    connection.call("DELETE", &member, None)?;
    Ok(samples)
}

impl CommandSamples {
    /// Those that should have been given within a window.
    pub fn figures(&self, from_ns: u64, to_ns: u64) -> CommandFigures {
        let mut all = Latencies::fine();
        let mut by_command: BTreeMap<&'static str, Latencies> = BTreeMap::new();
        for sample in self
            .0
            .iter()
            .filter(|s| (from_ns..to_ns).contains(&s.at_ns))
        {
            all.record_ns(sample.latency_ns);
            let own = by_command
                .entry(sample.command)
                .or_insert_with(Latencies::fine);
            own.record_ns(sample.latency_ns);
        }
        let by_command = by_command.iter();
        CommandFigures {
            by_command: by_command
                .map(|(name, own)| (*name, own.percentiles()))
                .collect(),
            all: all.percentiles(),
        }
    }
}
