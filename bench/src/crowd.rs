//! A stage in a process of its own, told by lines what to do: it has descriptors for 10,000
//! viewers beside another crowd, and memory that nobody else counts.

use std::io::{BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audience::Arrival;
use crate::pin;
use crate::plain_stage::PlainStage;
use crate::quic_stage::QuicStage;
use crate::quinn_stage::QuinnStage;
use crate::sealed_stage::SealedStage;
use crate::stage::{Stage, Streamed};
use crate::websocket_stage::{Way, WebsocketStage};

/// The role of a child that is a crowd.
pub const ROLE: &str = "crowd";

/// Which server stands in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Ours over WebSocket, by io_uring where the kernel has it.
    Websocket,
    /// The same, written one by one.
    WebsocketWrites,
    /// Ours over WebSocket with TLS.
    WebsocketTls,
    /// Ours over QUIC.
    Quic,
    /// A bare `send` loop.
    Plain,
    /// The same with rustls.
    PlainTls,
    /// Stock quinn.
    Quinn,
    /// `sendmmsg` of sealed datagrams.
    Sealed,
}

/// What a crowd is made of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CrowdSpec {
    /// The server.
    pub kind: Kind,
    /// The core that it runs on.
    pub core: usize,
    /// How many watch.
    pub viewers: usize,
    /// How many share.
    pub sessions: usize,
    /// Bytes of a floor's message.
    pub message_bytes: usize,
}

/// What a crowd says when everybody is there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Memory of the server for each viewer.
    pub viewer_bytes: Option<f64>,
    /// Bytes that a viewer gets for one update.
    pub message_bytes: usize,
}

/// What a crowd is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Publish a few times.
    Publish {
        /// Time before each publication, microseconds.
        pause_us: u64,
        /// Sessions that move in each.
        updates: usize,
        /// How many.
        times: usize,
    },
    /// Let all sessions move once a second.
    Stream {
        /// For how long.
        seconds: u64,
    },
}

/// What came of some publications.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Published {
    /// Of each that nothing was lost of: microseconds until the first and until the last viewer.
    pub arrivals_us: Vec<[f64; 2]>,
    /// Updates that viewers got.
    pub delivered: usize,
    /// Processor time of the server, seconds.
    pub server_s: f64,
}

/// Plays a crowd until nobody tells it anything any more; for `main` in this role.
///
/// # Panics
/// If its argument is no [`CrowdSpec`].
pub fn main() {
    let spec = std::env::args().nth(1).expect("a crowd");
    let spec: CrowdSpec = serde_json::from_str(&spec).expect("a crowd");
    // The server first: it keeps the cores that it is given, this thread goes to the last one.
    let mut stage = start(&spec);
    pin::to_last();
    say(&Ready {
        viewer_bytes: stage.viewer_bytes(),
        message_bytes: stage.message_bytes(),
    });
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line).expect("an order") {
            Order::Publish {
                pause_us,
                updates,
                times,
            } => say(&publish(
                &mut *stage,
                Duration::from_micros(pause_us),
                updates,
                times,
            )),
            Order::Stream { seconds } => say::<Option<Streamed>>(&stage.stream(seconds)),
        }
    }
}

fn start(spec: &CrowdSpec) -> Box<dyn Stage> {
    let CrowdSpec {
        kind,
        core,
        viewers,
        sessions,
        message_bytes,
    } = *spec;
    match kind {
        Kind::Websocket => Box::new(WebsocketStage::start(core, viewers, sessions, Way::Plain)),
        Kind::WebsocketWrites => {
            Box::new(WebsocketStage::start(core, viewers, sessions, Way::Writes))
        }
        Kind::WebsocketTls => Box::new(WebsocketStage::start(
            core,
            viewers,
            sessions,
            Way::Encrypted,
        )),
        Kind::Quic => Box::new(QuicStage::start(core, viewers, sessions)),
        Kind::Plain => Box::new(PlainStage::start(core, viewers, message_bytes, false)),
        Kind::PlainTls => Box::new(PlainStage::start(core, viewers, message_bytes, true)),
        Kind::Quinn => Box::new(QuinnStage::start(core, viewers, message_bytes)),
        Kind::Sealed => Box::new(SealedStage::start(core, viewers, message_bytes)),
    }
}

fn publish(stage: &mut dyn Stage, pause: Duration, updates: usize, times: usize) -> Published {
    let mut published = Published::default();
    let before = stage.server_time();
    for _ in 0..times {
        let arrival = stage.publish(pause, updates);
        published.arrivals_us.extend(arrival.map(micros));
        published.delivered += stage.delivered();
    }
    stage.settle();
    published.server_s = (stage.server_time() - before).as_secs_f64();
    published
}

fn micros(arrival: Arrival) -> [f64; 2] {
    [arrival.first, arrival.last].map(|time| time.as_secs_f64() * 1e6)
}

fn say<T: Serialize>(what: &T) {
    let line = serde_json::to_string(what).expect("plain data");
    println!("{line}");
    // Nobody listens any more: the next read says so, too.
    let _ = std::io::stdout().flush();
}
