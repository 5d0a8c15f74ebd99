//! Servers in processes of their own, all of them on one core, gone with us.
//!
//! Each is this executable again in the role [`EXEC_ROLE`]: it asks to end with its parent and
//! then becomes the program, so that not even a killed `compare` leaves a server behind.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use skein_bench::pin;

/// The environment variable that says which role a child has.
const ROLE: &str = "SKEIN_COMPARE_ROLE";

/// The role that becomes another program.
pub const EXEC_ROLE: &str = "exec";

/// Longest wait until a server can be reached. A Java process on one busy core is slow.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// Time between two looks whether it is there.
const LOOK: Duration = Duration::from_millis(5);

/// Lines of a server's output that are shown when it fails.
const LAST_LINES: usize = 12;

/// The core that all servers run on.
pub fn server_core() -> usize {
    pin::cores().first().copied().unwrap_or(0)
}

/// Keeps this thread on the loader's core: the last one, which is not the servers' where there are
/// two.
pub fn keep_to_loader_core() {
    pin::to_last();
}

/// The role of this process, if it is a child; then it also ends with its parent.
pub fn role() -> Option<String> {
    let role = env::var(ROLE).ok()?;
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("this {role} may outlive its parent: {error}");
    }
    Some(role)
}

/// Becomes the program that the arguments name.
pub fn exec() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        return ExitCode::from(2);
    };
    let error = Command::new(&program)
        .args(arguments)
        .env_remove(ROLE)
        .exec();
    eprintln!("{}: {error}", Path::new(&program).display());
    ExitCode::FAILURE
}

/// A port of the loopback interface that nobody listens on right now.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
    Ok(listener.local_addr()?.port())
}

/// The address of a port on the loopback interface.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A server's process. Ends with its value.
pub struct Process {
    name: String,
    child: process::Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program on the servers' core; what it says goes to a file in the folder.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, command: Vec<OsString>, folder: &Path) -> Result<Self> {
        Self::spawn(name, EXEC_ROLE, command, folder, Stdio::null())
    }

    /// Starts this executable in a role, and waits for the first line that it says.
    ///
    /// # Errors
    /// If it ends without a word.
    pub fn start_role(
        role: &str,
        arguments: Vec<OsString>,
        folder: &Path,
    ) -> Result<(Self, String)> {
        let mut process = Self::spawn(role, role, arguments, folder, Stdio::piped())?;
        let stdout = process.child.stdout.take().context("piped above")?;
        let mut said = String::new();
        BufReader::new(stdout).read_line(&mut said)?;
        if said.trim().is_empty() {
            bail!("{} ended before it was ready{}", role, process.last_words());
        }
        Ok((process, said.trim().to_owned()))
    }

    fn spawn(
        name: &str,
        role: &str,
        arguments: Vec<OsString>,
        folder: &Path,
        stdout: Stdio,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let stdout = match role {
            EXEC_ROLE => file.try_clone()?.into(),
            _ => stdout,
        };
        // A child runs where its parent ran when it was made.
        pin::to(server_core());
        let child = Command::new(env::current_exe()?)
            .args(arguments)
            .env(ROLE, role)
            .env("SKEIN_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .current_dir(folder)
            .spawn();
        keep_to_loader_core();
        let child = child.with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Waits until somebody listens on the port.
    ///
    /// # Errors
    /// If the process ends before, or takes too long; with the last lines that it said.
    pub fn wait_for_port(&mut self, port: u16) -> Result<()> {
        self.wait_until(|| Ok(TcpStream::connect(local(port)).is_ok()))
    }

    /// Waits until a question is answered with yes; an error counts as "not yet".
    ///
    /// # Errors
    /// As [`Self::wait_for_port`].
    pub fn wait_until(&mut self, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = is_so();
            if matches!(answer, Ok(true)) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}){}", self.name, self.last_words());
            }
            if began.elapsed() > START_PATIENCE {
                let why = answer.err().map(|error| format!(": {error:#}"));
                let why = why.unwrap_or_default();
                bail!("{} is not ready{why}{}", self.name, self.last_words());
            }
            thread::sleep(LOOK);
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended; with the last lines that it said.
    ///
    /// # Errors
    /// That it has ended.
    pub fn check_running(&self) -> Result<()> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        // The state follows the name, which may hold anything but ends with the last parenthesis.
        let state = stat.ok().and_then(|stat| {
            let (_, rest) = stat.rsplit_once(") ")?;
            rest.chars().next()
        });
        match state {
            Some(state) if state != 'Z' => Ok(()),
            _ => bail!("{} ended{}", self.name, self.last_words()),
        }
    }

    /// Processor time of all its threads so far.
    pub fn processor_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = threads.into_iter().flatten().flatten();
        let nanos = threads.filter_map(|thread| {
            // A thread may end between two reads.
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Bytes of its memory that no file backs; 0 if it has ended.
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end in good order.
    ///
    /// # Errors
    /// If it is gone already.
    pub fn terminate(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process number")?, Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it said, for an error.
    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        match last.is_empty() {
            true => String::new(),
            false => format!("; it said last:\n  {}", last.join("\n  ")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
