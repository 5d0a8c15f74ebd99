//! A real server: the binary as a child process, a data directory of its own, ports of its own.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::cores::Cores;
use crate::port::Port;
use crate::process::{Ended, Process};
use crate::wait;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its shards.
    pub cores: Cores,
    /// Where QUIC is served; on a port of the test's own if nothing is said.
    pub quic: Option<SocketAddr>,
    /// Also listen with TLS for `https` and `wss`.
    pub https: bool,
    /// A program that runs the server, with its arguments; the server is its last ones.
    pub wrapper: Vec<String>,
    /// Further command-line arguments.
    pub arguments: Vec<String>,
    /// Lines of a configuration file, if there are any.
    pub configuration: String,
}

impl Options {
    /// Development mode with so many shards and nothing else changed.
    pub fn new(cores: Cores) -> Self {
        Self {
            cores,
            quic: None,
            https: false,
            wrapper: Vec::new(),
            arguments: Vec::new(),
            configuration: String::new(),
        }
    }
}

/// What a server says when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// QUIC, UDP.
    pub quic: SocketAddr,
    /// HTTP and WebSocket without TLS.
    pub http: SocketAddr,
    /// HTTP and WebSocket with TLS, when asked for.
    pub https: Option<SocketAddr>,
    /// The control API and the metrics.
    pub control: SocketAddr,
    /// SHA-256 of the certificate for browsers.
    pub browser_sha256: String,
}

impl Ready {
    /// Reads the one line on stdout.
    ///
    /// # Panics
    /// If it is not the JSON object that the command line promises.
    pub fn parse(line: &str) -> Self {
        let json: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("ready line {line:?}: {e}"));
        assert_eq!(json["ready"], Value::Bool(true), "ready line {line:?}");
        let address = |key: &str| json[key].as_str().and_then(|text| text.parse().ok());
        let expect = |key: &str| {
            address(key).unwrap_or_else(|| panic!("no address `{key}` in the ready line {line:?}"))
        };
        Self {
            quic: expect("quic"),
            http: expect("http"),
            https: address("https"),
            control: expect("control"),
            browser_sha256: json["browser_sha256"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// A running server. Dies with its value.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub ready: Ready,
    options: Options,
    folder: TempDir,
    /// The places are its own also while it is down.
    _ports: [Port; 4],
}

impl Server {
    /// Starts one on an empty directory and waits until it is ready.
    pub fn start(cores: Cores) -> Self {
        Self::start_with(Options::new(cores))
    }

    /// The same with further options.
    pub fn start_with(options: Options) -> Self {
        let mut folder = tempfile::Builder::new()
            .prefix("skein-test-")
            .tempdir()
            .expect("a temporary directory");
        if env::var_os("SKEIN_KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("---- data stays in {}", folder.path().display());
        }
        let ports: [Port; 4] = std::array::from_fn(|_| Port::claim());
        let [quic, http, https, control] = ports.each_ref().map(Port::address);
        let places = Ready {
            quic: options.quic.unwrap_or(quic),
            http,
            https: options.https.then_some(https),
            control,
            browser_sha256: String::new(),
        };
        let mut process = launch(folder.path(), &options, &places);
        let ready = await_ready(&mut process);
        Self {
            process,
            ready,
            options,
            folder,
            _ports: ports,
        }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.folder.path())
    }

    /// A place for files of the test, gone with the server.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// `kill -9`, then a new process on the same directory and the same ports.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.restart();
    }

    /// SIGTERM and the end in good order.
    pub fn stop(&mut self) -> Ended {
        self.process.terminate(wait::PATIENCE)
    }

    /// What its next start is configured with.
    pub fn configure(&mut self, configuration: &str) {
        configuration.clone_into(&mut self.options.configuration);
    }

    /// A new process on the same directory and the same ports, after the old one has ended.
    pub fn restart(&mut self) {
        self.process = launch(self.folder.path(), &self.options, &self.ready);
        self.ready = await_ready(&mut self.process);
    }

    /// `quic://…`, for `skein share` and `skein watch`.
    pub fn quic_url(&self) -> String {
        format!("quic://{}", self.ready.quic)
    }

    /// `ws://…`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.ready.http)
    }

    /// `wss://…`.
    ///
    /// # Panics
    /// If the server was started without [`Options::https`].
    pub fn wss_url(&self) -> String {
        format!("wss://{}", self.ready.https.expect("started with https"))
    }
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Starts the process; does not wait.
fn launch(folder: &Path, options: &Options, places: &Ready) -> Process {
    let mut arguments: Vec<String> = vec!["serve".into(), "--dev".into()];
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("--data-dir", data_dir(folder).display().to_string());
    flag("--quic", places.quic.to_string());
    flag("--http", places.http.to_string());
    flag("--control", places.control.to_string());
    flag("--cores", options.cores.flag().to_owned());
    let mut configuration = options.configuration.clone();
    if let Some(https) = places.https {
        configuration += &format!("\n[listen]\nhttps = \"{https}\"\n");
    }
    if !configuration.is_empty() {
        let path = folder.join("skein.toml");
        std::fs::write(&path, configuration).expect("the configuration can be written");
        flag("--config", path.display().to_string());
    }
    arguments.extend(options.arguments.iter().cloned());
    let Some((wrapper, its)) = options.wrapper.split_first() else {
        return Process::skein("skein serve", arguments);
    };
    let mut command = Command::new(wrapper);
    command.args(its).arg(binary::skein()).args(arguments);
    Process::start("skein serve", command)
}

/// Longest time from start to ready. Recovery of what a test writes takes far less.
const READY: Duration = Duration::from_secs(30);

/// Waits for the one line on stdout that says where a server listens.
///
/// # Panics
/// If it does not come, with what the server said instead.
pub fn await_ready(process: &mut Process) -> Ready {
    let first = process.stdout.wait(READY, |lines| lines.first().cloned());
    let Some(line) = first else {
        panic!(
            "the server is not ready; it said:\n{}",
            process.stderr.text()
        );
    };
    Ready::parse(&line)
}
