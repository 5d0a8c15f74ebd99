//! A child process that dies with its value and says what it wrote when the test fails.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::binary;
use crate::lines::Lines;
use crate::wait;

/// Lines of each pipe that are printed when a test fails.
const LINES_SHOWN: usize = 60;

/// Time that a pipe gets to end after its process has: a grandchild might hold it open.
const PIPE_END: Duration = Duration::from_secs(5);

/// What a process that has ended left behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to stdout.
    pub stdout: String,
    /// Everything it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// # Panics
    /// If it did not end with 0; prints what it wrote.
    pub fn expect_success(self, what: &str) -> Self {
        assert!(
            self.status.success(),
            "{what}: {}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A running `skein`, or another program.
pub struct Process {
    name: String,
    child: Child,
    /// What it writes to stdout.
    pub stdout: Lines,
    /// What it writes to stderr.
    pub stderr: Lines,
    /// An end that was asked for is not worth a report.
    expected_end: bool,
}

impl Process {
    /// Starts `skein` with these arguments. Variables of the tests do not reach it.
    pub fn skein<I, S>(name: &str, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = Command::new(binary::skein());
        command.args(arguments);
        Self::start(name, command)
    }

    /// Starts `skein` when whoever was to read its stdout has gone already, as in `skein … | head -0`.
    pub fn skein_unheard<I, S>(name: &str, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(binary::skein());
        command.args(arguments);
        Self::start_with_stdout(name, command, writer.into())
    }

    /// Starts any program.
    pub fn start(name: &str, command: Command) -> Self {
        Self::start_with_stdout(name, command, Stdio::piped())
    }

    fn start_with_stdout(name: &str, mut command: Command, stdout: Stdio) -> Self {
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            // How much the server logs is for whoever runs the test to say.
            let ours = name.starts_with("SKEIN_") && name != "SKEIN_LOG";
            let set = command.get_envs().any(|(name, _)| name == variable);
            if ours && !set {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::null()).stdout(stdout);
        Self::spawn(name, command)
    }

    /// Starts any program whose stdin stays open; [`Self::say`] writes to it.
    pub fn start_talking(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::spawn(name, command)
    }

    fn spawn(name: &str, mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: cannot start {command:?}: {e}"));
        let stdout = match child.stdout.take() {
            Some(pipe) => Lines::read(pipe),
            None => Lines::read(std::io::empty()),
        };
        let stderr = Lines::read(child.stderr.take().expect("stderr is a pipe"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
            expected_end: false,
        }
    }

    /// Writes a line to its stdin.
    ///
    /// # Panics
    /// If it was not started with [`Self::start_talking`], or has ended.
    pub fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("started talking");
        let said = stdin.write_all(format!("{line}\n").as_bytes());
        said.unwrap_or_else(|e| panic!("{}: cannot say {line}: {e}", self.name));
    }

    /// What it was called when it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process and no other.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{}: {signal:?}: {e}", self.name));
    }

    /// Stops it in its tracks, as a debugger or a sleeping phone would.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`: no chance to tidy up.
    pub fn kill(&mut self) {
        self.expected_end = true;
        self.child
            .kill()
            .unwrap_or_else(|e| panic!("{}: kill: {e}", self.name));
        self.child
            .wait()
            .unwrap_or_else(|e| panic!("{}: wait: {e}", self.name));
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Ended {
        let what = format!("{} ends", self.name);
        let child = &mut self.child;
        let status = wait::until_some(&what, limit, || child.try_wait().ok().flatten());
        self.expected_end = true;
        self.stdout.wait_end(PIPE_END);
        self.stderr.wait_end(PIPE_END);
        Ended {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }

    /// Asks it to end in good order (SIGTERM) and waits.
    pub fn terminate(&mut self, limit: Duration) -> Ended {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    fn report(&mut self) {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "running".to_owned(),
        };
        eprintln!("---- {} (pid {}, {status})", self.name, self.child.id());
        for (pipe, lines) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let count = lines.count();
            let from = count.saturating_sub(LINES_SHOWN);
            eprintln!("---- {pipe}: {count} lines, from {from}:");
            for line in lines.since(from) {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        } else if !self.expected_end && !self.is_running() {
            eprintln!("---- {} ended by itself", self.name);
            self.report();
        }
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `skein` to its end.
///
/// # Panics
/// If it takes longer than [`wait::PATIENCE`].
pub fn run<I, S>(arguments: I) -> Ended
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let arguments: Vec<PathBuf> = arguments
        .into_iter()
        .map(|a| PathBuf::from(a.as_ref()))
        .collect();
    let name = format!(
        "skein {}",
        arguments.first().map_or("", |a| a.to_str().unwrap_or(""))
    );
    Process::skein(&name, &arguments).wait(wait::PATIENCE)
}
