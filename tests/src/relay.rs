//! A real relay: the binary as a child process beside a [`Server`] whose tokens it knows.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cores::Cores;
use crate::http::Request;
use crate::metrics::Metrics;
use crate::port::Port;
use crate::process::{self, Ended, Process};
use crate::server::{Ready, Server, await_ready};
use crate::wait;

/// A running relay. Dies with its value.
pub struct Relay {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub ready: Ready,
    start: RelayStart,
}

/// A relay that may or may not come up.
pub struct RelayStart {
    folder: TempDir,
    ports: [Port; 4],
    arguments: Vec<String>,
}

impl RelayStart {
    /// Of `server`'s chats, by way of `upstream`.
    ///
    /// # Panics
    /// If the server's key cannot be shared with it.
    pub fn new(server: &Server, upstream: &str, cores: Cores) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("skein-relay-")
            .tempdir()
            .expect("a temporary directory");
        trust(server, &folder.path().join("data/keys/trusted"));
        let token = folder.path().join("relay.jwt");
        fs::write(&token, relay_token(server)).expect("a file");
        let ports: [Port; 4] = std::array::from_fn(|_| Port::claim());
        let [quic, http, https, control] = ports.each_ref().map(Port::address);
        let configuration = folder.path().join("relay.toml");
        fs::write(&configuration, format!("[listen]\nhttps = \"{https}\"\n")).expect("a file");
        let text = |path: PathBuf| path.display().to_string();
        let mut arguments: Vec<String> = vec!["relay".into(), "--dev".into()];
        let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        flag("--config", text(configuration));
        flag("--data-dir", text(folder.path().join("data")));
        flag("--upstream", upstream.to_owned());
        flag("--upstream-token", text(token));
        flag("--quic", quic.to_string());
        flag("--http", http.to_string());
        flag("--control", control.to_string());
        flag("--cores", cores.flag().to_owned());
        flag("--senders-to", server.quic_url());
        arguments.push("--upstream-insecure".into());
        Self {
            folder,
            ports,
            arguments,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Relay {
        let mut process = Process::skein("skein relay", &self.arguments);
        let ready = await_ready(&mut process);
        Relay {
            process,
            ready,
            start: self,
        }
    }

    /// Starts it where it must not come up.
    pub fn refused(self) -> Ended {
        let mut process = Process::skein("skein relay", &self.arguments);
        process.wait(wait::PATIENCE)
    }

    /// The place that it will have.
    pub fn quic(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// It gets what it has from there.
    pub fn set_upstream(&mut self, upstream: &str) {
        self.set("--upstream", upstream);
    }

    /// Another value of a flag that it is started with.
    pub fn set(&mut self, flag: &str, value: &str) {
        let at = self.arguments.iter().position(|it| it == flag);
        let at = at.expect("a flag that it has");
        value.clone_into(&mut self.arguments[at + 1]);
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for files of the test, gone with it.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }
}

/// The server's tokens are good where this directory of trusted keys is.
fn trust(server: &Server, directory: &Path) {
    let (of, to) = (server.data_dir(), directory.display().to_string());
    let of = of.display().to_string();
    let ended = process::run(["token", "--public-key", "--data-dir", &of, "--out", &to]);
    ended.expect_success("skein token --public-key");
}

/// A token as a relay has it.
///
/// # Panics
/// If the server gives none.
pub fn relay_token(server: &Server) -> String {
    let place = server.data_dir().display().to_string();
    let ended = process::run(["token", "--user", "relay", "--relay", "--data-dir", &place]);
    let ended = ended.expect_success("skein token --relay");
    ended.stdout.trim().to_owned()
}

impl Relay {
    /// Of `server`'s chats, directly.
    pub fn start(server: &Server, cores: Cores) -> Self {
        RelayStart::new(server, &server.quic_url(), cores).start()
    }

    /// SIGTERM and the end in good order. It may be started again, in the same place.
    pub fn stop(mut self) -> RelayStart {
        let ended = self.process.terminate(wait::PATIENCE);
        ended.expect_success("skein relay");
        self.start
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.start.data_dir()
    }

    /// Its metrics.
    pub fn metrics(&self) -> Metrics {
        let response = Request::new("GET", "/metrics").send(self.ready.control);
        Metrics::parse(&response.expect_success("metrics").body)
    }

    /// `quic://…`.
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
    /// If it does not listen there.
    pub fn wss_url(&self) -> String {
        format!("wss://{}", self.ready.https.expect("it listens there"))
    }
}
