//! skein itself: the whole server, with access, sessions, log and control log.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use skein_bench::server::now_ms;
use skein_server::access::signer::TokenSigner;
use skein_wire::ids::UserName;

use crate::codec::http::HttpClient;
use crate::codec::skein::{SkeinWebsocket, user_of, users};
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info};
use crate::process::{Process, server_core};
use crate::stage::{Stage, TcpStage};

/// The role of a child that is this server.
pub const ROLE: &str = "skein";

/// The chat that everybody is in.
pub const CHAT: &str = "stage";

/// The user that all viewers are.
const VIEWER: &str = "viewer";

/// Seconds that a token is good for: longer than any run.
const TOKEN_TTL_S: u64 = 7_200;

/// Points per second that a session may send, and at once after a pause: as many as a server can be
/// told to allow, because saturation is the point.
const POINTS_PER_SECOND: u32 = 10_000;

/// Longest pause that a very large chat makes between two batches, milliseconds. None, because a
/// pause is what keeps the server from saturation: with the default it delivers as many positions
/// to as many viewers at a fraction of the processor time, and up to a second later.
const FLOOR_INTERVAL_MS: u32 = 0;

/// Runs the server; for `main` in this role.
pub fn main() -> std::process::ExitCode {
    skein_server::cli::main()
}

/// A running server and its addresses.
pub struct SkeinServer {
    /// Its process.
    pub process: Process,
    /// Where it takes HTTP and WebSocket.
    pub http: SocketAddr,
    /// Where it takes commands of its operator.
    pub control: SocketAddr,
    data: PathBuf,
}

impl SkeinServer {
    /// Starts it on the data directory in this folder.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        let config = format!(
            "data_dir = {data:?}\ndev = true\n[listen]\nquic = \"127.0.0.1:0\"\n\
             http = \"127.0.0.1:0\"\ncontrol = \"127.0.0.1:0\"\n[shards]\ncores = \"{}\"\n\
             [limits]\npoints_per_second_max = {POINTS_PER_SECOND}\n\
             points_burst_max = {POINTS_PER_SECOND}\n\
             floor_interval_ms_max = {FLOOR_INTERVAL_MS}\n\
             user_requests_per_second_max = 0\n",
            server_core()
        );
        let path = folder.join("skein.toml");
        fs::write(&path, config)?;
        let arguments = ["serve".into(), "--config".into(), path.into()];
        let (process, said) = Process::start_role(ROLE, arguments.into(), folder)?;
        let ready: Value = serde_json::from_str(&said).context("a line of JSON")?;
        let address = |key: &str| -> Result<SocketAddr> {
            let text = ready[key].as_str().context("an address")?;
            Ok(text.parse()?)
        };
        Ok(Self {
            http: address("http")?,
            control: address("control")?,
            process,
            data,
        })
    }

    /// A token for a user.
    ///
    /// # Errors
    /// If the server has made no key.
    pub fn token(&self, user: &str) -> Result<String> {
        let path = self.data.join("keys").join("token.pem");
        let signer = TokenSigner::open(&path).context("the key of a development server")?;
        let user = UserName::new(user).context("a user's name")?;
        signer
            .mint(&user, TOKEN_TTL_S, now_ms())
            .context("a token for it")
    }

    /// Makes viewers and the senders of so many sessions members of the chat; what they speak.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn admit(&self, sessions: u32) -> Result<SkeinWebsocket> {
        let mut control = HttpClient::connect(self.control)?;
        let mut put = |user: &str, right: &str| -> Result<String> {
            let body = json!({ "rights": [right] }).to_string();
            let path = format!("/v1/chats/{CHAT}/members/{user}");
            control.call("PUT", &path, body.as_bytes())?;
            self.token(user)
        };
        let viewer = put(VIEWER, "watch")?;
        let senders = (0..users(sessions)).map(|index| put(&user_of(index * 4), "share"));
        let senders = senders.collect::<Result<Vec<_>>>()?;
        SkeinWebsocket::new(CHAT, viewer, senders)
    }
}

/// The peer.
pub struct SkeinPeer;

impl FanOutPeer for SkeinPeer {
    fn info(&self) -> Info {
        Info {
            name: "skein",
            title: "skein, WebSocket",
            install: "",
            settings: "one chat, one shard, 64 partitions; every position appended to the log \
                       before it is sent, the log synced each second; tokens and membership \
                       checked; the rate limit of a session raised and the floor interval of \
                       large chats taken away, because saturation is the point; all else as by \
                       default",
        }
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let server = SkeinServer::start(folder)?;
        let mut crowd = Crowd::new(server.admit(sessions)?, server.http)?;
        crowd.add_senders(sessions)?;
        Ok(Box::new(TcpStage::new(crowd, vec![server.process])))
    }
}
