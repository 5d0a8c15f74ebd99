//! What a worker process is to do, as it is told on its stdin.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skein_wire::request::Delivery;

use crate::schedule::SchedulePlan;

/// A chat, and which senders share in it: those with consecutive numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatPlan {
    /// Its name.
    pub name: String,
    /// The first sender's number.
    pub sender_first: u32,
    /// How many they are.
    pub senders: u32,
}

/// How a viewer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// Watches from the beginning to the end and reads all the time.
    Steady,
    /// Stops reading for a while, again and again. Its latencies are not measured, its points
    /// are checked.
    Slow,
    /// May leave and come back as a new viewer.
    Restless,
}

/// One viewer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeatPlan {
    /// Its number in the run.
    pub viewer: u32,
    /// Which chat, as an index.
    pub chat: u32,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Its token.
    pub token: String,
}

/// How an encrypted transport is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TlsPlan {
    /// The server's name in its certificate.
    pub name: String,
    /// File of certificates to trust; none = trust anybody.
    pub ca: Option<PathBuf>,
    /// The application protocol, as bytes.
    pub alpn: Vec<u8>,
}

/// The viewers of one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrowdPlan {
    /// Where the server is.
    pub address: SocketAddr,
    /// Encrypted or not.
    pub tls: Option<TlsPlan>,
    /// When points are sent.
    pub schedule: SchedulePlan,
    /// All chats of the run.
    pub chats: Vec<ChatPlan>,
    /// The viewers of this worker.
    pub seats: Vec<SeatPlan>,
    /// Whether every point is owed to a viewer, or only each sender's last one.
    pub every: bool,
    /// Viewers that leave and come back, per second, in this worker.
    pub churn_per_s: f64,
    /// How long a slow viewer does not read, seconds; it reads as long in between.
    pub slow_s: f64,
    /// The core to run on, if one is wanted.
    pub core: Option<u32>,
}

impl CrowdPlan {
    /// The delivery in the words of the protocol.
    pub fn delivery(&self) -> Delivery {
        match self.every {
            true => Delivery::Every,
            false => Delivery::Latest,
        }
    }
}
