//! A real server in a child process, and what its operator does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use skein_server::access::signer::TokenSigner;
use skein_wire::ids::UserName;
use tempfile::TempDir;

use crate::child::Child;
use crate::folders;

/// The role of a child that runs the server.
pub const ROLE: &str = "skein";

/// Seconds that a token is good for: longer than any bench.
const TOKEN_TTL_S: u64 = 7_200;

/// Limits that a few publishers with very many sessions would reach; they bound peers, they do
/// not change what a pass does.
const VARIABLES: &[(&str, &str)] = &[
    // One user watches on thousands of connections.
    ("SKEIN_LIMITS__USER_REQUESTS_PER_SECOND_MAX", "0"),
    ("SKEIN_LIMITS__SESSIONS_PER_USER_MAX", "1000"),
    ("SKEIN_LIMITS__SHARES_PER_CONNECTION_MAX", "1000"),
    ("SKEIN_LIMITS__POINTS_PER_SECOND_MAX", "10000"),
    ("SKEIN_LIMITS__POINTS_BURST_MAX", "10000"),
];

/// Where the next position is published as soon as all viewers have the last one: the server is not to wait for
/// more of them, nor to leave a part of its core to others.
pub const UNPACED: (&str, &str) = ("SKEIN_LIMITS__FLOOR_INTERVAL_MS_MAX", "0");

/// Runs the server; for `main` in this role.
pub fn main() -> ExitCode {
    skein_server::cli::main()
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A running server.
pub struct Server {
    /// Its process.
    pub child: Child,
    /// Where it takes QUIC.
    pub quic: SocketAddr,
    /// Where it takes HTTP and WebSocket.
    pub http: SocketAddr,
    /// Where it takes them over TLS.
    pub https: SocketAddr,
    control: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts one with a shard on each of these cores, and some more keys of the configuration set by their
    /// variables.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start_with(cores: &str, variables: &[(&str, &str)]) -> Self {
        let folder = folders::scratch();
        let data = data_dir(&folder).display().to_string();
        let any = "127.0.0.1:0";
        let arguments = [
            "serve",
            "--dev",
            "--data-dir",
            &data,
            "--quic",
            any,
            "--http",
            any,
            "--https",
            any,
            "--control",
            any,
            "--cores",
            cores,
        ];
        let variables = [VARIABLES, variables].concat();
        let child = Child::start_with(ROLE, arguments.map(Into::into), &variables);
        let ready: Value = serde_json::from_str(&child.said).expect("a line of JSON");
        let address = |key: &str| {
            let text = ready[key].as_str().unwrap_or_default();
            text.parse()
                .unwrap_or_else(|_| panic!("no address `{key}` in {ready}"))
        };
        Self {
            quic: address("quic"),
            http: address("http"),
            https: address("https"),
            control: address("control"),
            child,
            folder,
        }
    }

    /// The certificate that it made for itself.
    pub fn certificate(&self) -> PathBuf {
        data_dir(&self.folder).join("keys").join("cert.pem")
    }

    /// A token for a user.
    ///
    /// # Panics
    /// If the server has made no key.
    pub fn token(&self, user: &str) -> String {
        let path = data_dir(&self.folder).join("keys").join("token.pem");
        let signer = TokenSigner::open(&path).expect("the key of a development server");
        let user = UserName::new(user).expect("a user's name");
        signer.mint(&user, TOKEN_TTL_S, now_ms()).expect("a token")
    }

    /// Gives a user rights in a chat.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn put_member(&self, chat: &str, user: &str, rights: &[&str]) {
        let body = json!({ "rights": rights }).to_string();
        let request = format!(
            "PUT /v1/chats/{chat}/members/{user} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.control,
            body.len()
        );
        let mut socket = TcpStream::connect(self.control).expect("the control listener");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 2"), "not a member: {answer}");
    }
}

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}
