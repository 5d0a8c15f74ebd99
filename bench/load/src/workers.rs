//! The worker processes of a run, as the run sees them.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command as Program, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::link::{Command, Message};

/// Descriptors of a worker that are not viewers.
const DESCRIPTORS_SPARE: u64 = 64;

/// Time between two looks whether workers have ended.
const END_LOOK: Duration = Duration::from_millis(10);

/// How many connections one worker process can have under the limit of open files.
pub fn connections_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.unwrap_or(u64::from(u32::MAX));
    limit.saturating_sub(DESCRIPTORS_SPARE).max(1) as usize
}

/// This program again, as a worker: with the one argument that says so.
///
/// # Errors
/// When the system does not say which program this is.
pub fn this_program(argument: &str) -> anyhow::Result<Program> {
    let path = env::current_exe().context("this program's own file cannot be found")?;
    let mut program = Program::new(path);
    program.arg(argument);
    Ok(program)
}

struct Worker {
    name: String,
    child: Child,
    stdin: ChildStdin,
}

/// All workers of a run. They end with this value.
pub struct Workers {
    workers: Vec<Worker>,
    sender: Sender<(usize, Message)>,
    messages: Receiver<(usize, Message)>,
}

impl Default for Workers {
    fn default() -> Self {
        let (sender, messages) = channel();
        Self {
            workers: Vec::new(),
            sender,
            messages,
        }
    }
}

impl Workers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Starts one and gives it its plan; its number is the answer.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn start(
        &mut self,
        name: &str,
        mut program: Program,
        plan: &impl Serialize,
    ) -> anyhow::Result<usize> {
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program
            .spawn()
            .with_context(|| format!("the worker for {name} does not start"))?;
        let stdin = child.stdin.take().context("a pipe was asked for")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let (number, sender) = (self.workers.len(), self.sender.clone());
        // Ends with the worker's stdout.
        thread::spawn(move || {
            let mut is_done = false;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or_else(|error| {
                    Message::Failed(format!("a worker said what is no message: {error}"))
                });
                is_done |= matches!(message, Message::Viewed(..) | Message::SentAll(..));
                if sender.send((number, message)).is_err() {
                    return;
                }
            }
            if is_done {
                return;
            }
            let gone = Message::Failed("it ended without a result".to_owned());
            // The run may be over.
            let _ = sender.send((number, gone));
        });
        let name = name.to_owned();
        self.workers.push(Worker { name, child, stdin });
        let plan = serde_json::to_string(plan)?;
        self.write(number, &plan)?;
        Ok(number)
    }

    /// Tells one worker.
    ///
    /// # Errors
    /// When it is gone.
    pub fn tell(&mut self, number: usize, command: &Command) -> anyhow::Result<()> {
        self.write(number, &serde_json::to_string(command)?)
    }

    /// Tells all workers.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn tell_all(&mut self, command: &Command) -> anyhow::Result<()> {
        (0..self.workers.len()).try_for_each(|number| self.tell(number, command))
    }

    /// The next word of any worker; `None` when none comes within that time.
    ///
    /// # Errors
    /// When a worker says that it cannot go on.
    pub fn next(&mut self, at_most: Duration) -> anyhow::Result<Option<(usize, Message)>> {
        match self.messages.recv_timeout(at_most) {
            Ok((number, Message::Failed(text))) => {
                bail!("{}: {text}", self.workers[number].name)
            }
            Ok(found) => Ok(Some(found)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    /// Waits until the workers from this number on are ready; `seen` is told what they say.
    ///
    /// # Errors
    /// When one of them cannot go on, or they take too long.
    pub fn wait_ready(
        &mut self,
        from: usize,
        patience: Duration,
        mut seen: impl FnMut(usize, &Message),
    ) -> anyhow::Result<()> {
        let give_up = Instant::now() + patience;
        let mut left = self.workers.len() - from;
        while left > 0 {
            match self.next(Duration::from_millis(200))? {
                Some((number, Message::Ready)) if number >= from => left -= 1,
                Some((number, message)) => seen(number, &message),
                None if Instant::now() > give_up => bail!(
                    "{left} workers are not ready after {patience:?}; look at the load of this machine and at the server"
                ),
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until all of them have ended by themselves, as they do after their results.
    pub fn end(mut self, patience: Duration) {
        let give_up = Instant::now() + patience;
        let mut is_running = |worker: &mut Worker| matches!(worker.child.try_wait(), Ok(None));
        while self.workers.iter_mut().any(&mut is_running) && Instant::now() < give_up {
            thread::sleep(END_LOOK);
        }
    }

    fn write(&mut self, number: usize, line: &str) -> anyhow::Result<()> {
        let worker = &mut self.workers[number];
        let mut whole = line.to_owned();
        whole.push('\n');
        worker
            .stdin
            .write_all(whole.as_bytes())
            .with_context(|| format!("the worker for {} is gone", worker.name))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended by itself.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}
