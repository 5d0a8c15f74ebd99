//! A server that the run starts for itself, and takes away with everything it wrote.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long the server may take to end in good order.
const END: Duration = Duration::from_secs(20);

/// A running server.
pub struct ServerProcess {
    child: Child,
    folder: TempDir,
    /// WebSocket and HTTP.
    pub http: SocketAddr,
    /// The same over TLS.
    pub https: SocketAddr,
    /// QUIC.
    pub quic: SocketAddr,
    /// The control API.
    pub control: SocketAddr,
}

impl ServerProcess {
    /// Starts `skein serve` on an empty directory and waits until it is ready.
    ///
    /// # Errors
    /// When the program is not there, or does not become ready.
    pub fn start(program: &Path, cores: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skein-load-").tempdir()?;
        let data = folder.path().join("data");
        let mut command = Command::new(program);
        command.args(["serve", "--dev", "--data-dir"]).arg(&data);
        for listener in ["--quic", "--http", "--https", "--control"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        if let Some(cores) = cores {
            command.args(["--cores", cores]);
        }
        // A group of its own: Ctrl-C ends the run first, and the run ends the server.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        if env::var_os("SKEIN_LOG").is_none() {
            command.env("SKEIN_LOG", "warn");
        }
        let mut child = command.spawn().with_context(|| {
            let program = program.display();
            format!("cannot start {program}; build it with `cargo build --release`, or name it with --spawn")
        })?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "{} did not become ready; see what it said above",
                program.display()
            );
        };
        let address = |name: &str| {
            let text = ready[name].as_str().unwrap_or_default();
            text.parse()
                .with_context(|| format!("the ready line of the server has no `{name}`"))
        };
        Ok(Self {
            http: address("http")?,
            https: address("https")?,
            quic: address("quic")?,
            control: address("control")?,
            child,
            folder,
        })
    }

    /// The program beside this one.
    ///
    /// # Errors
    /// When there is none.
    pub fn beside() -> anyhow::Result<PathBuf> {
        let own = env::current_exe().context("this program's own file cannot be found")?;
        let path = own.with_file_name("skein");
        if !path.exists() {
            bail!(
                "there is no {}; build it with `cargo build --release`, name one with --spawn FILE, or point at a running server with --ws ADDR --control ADDR --data-dir DIR",
                path.display()
            );
        }
        Ok(path)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let give_up = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
