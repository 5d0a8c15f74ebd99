//! The usual stack that skein replaces: Kafka, then our consumer, then Redis for the latest
//! position and Centrifugo for the viewers; all on the servers' core.
//!
//! The loader is the ingest service in front of it: it collects what has been published since the
//! last look into one batch (no linger) and keeps up to five batches on the way, as Kafka's own
//! producer does by default.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use skein_bench::server::now_ms;

use crate::codec::centrifuge;
use crate::codec::kafka::KafkaClient;
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info, lacks, peers_folder};
use crate::peers::broker::{self, Broker, Flush};
use crate::peers::consumer::{self, Publishing};
use crate::peers::redis::{self, Persistence};
use crate::position::{POSITION_BYTES, Position};
use crate::process::{Process, free_port, local};
use crate::protocol::{LineState, Protocol};
use crate::sink::Sink;
use crate::stage::Stage;
use crate::tally::Tally;

/// Batches on the way to the broker at a time: `max.in.flight.requests.per.connection`.
const IN_FLIGHT_MAX: usize = 5;

/// The leader has it in its page cache: as sure as a point that skein has appended.
const ACKS: i16 = 1;

/// The peer, in one of two ways to publish.
pub struct StackPeer {
    publishing: Publishing,
}

impl StackPeer {
    /// A publication for each position.
    pub fn each() -> Self {
        Self {
            publishing: Publishing::Each,
        }
    }

    /// A publication for all that one fetch brought.
    pub fn joined() -> Self {
        Self {
            publishing: Publishing::Joined,
        }
    }
}

impl FanOutPeer for StackPeer {
    fn info(&self) -> Info {
        let (name, title) = match self.publishing {
            Publishing::Each => ("stack", "Kafka + Redis + Centrifugo"),
            Publishing::Joined => (
                "stack-joined",
                "Kafka + Redis + Centrifugo, positions joined by the consumer",
            ),
        };
        Info {
            name,
            title,
            install: "bench/compare/install.sh redis kafka centrifugo",
            settings: SETTINGS,
        }
    }

    fn missing(&self) -> Option<String> {
        let gateway = peers_folder().join("centrifugo").join("centrifugo");
        let gateway = (!gateway.is_file()).then(|| format!("no {}", gateway.display()));
        lacks("redis-server").or_else(broker::missing).or(gateway)
    }

    fn start(&self, _sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let broker = Broker::start(folder, Flush::Never)?;
        let (cache, cache_port) = redis::start(folder, Persistence::None)?;
        let (gateway, gateway_port) = start_gateway(folder)?;
        let ports = [broker.port, cache_port, gateway_port].map(|port| port.to_string());
        let mut arguments: Vec<_> = ports.map(Into::into).into();
        arguments.push(self.publishing.name().into());
        let (consumer, _) = Process::start_role(consumer::ROLE, arguments, folder)?;
        Ok(Box::new(StackStage {
            producer: KafkaClient::connect(local(broker.port))?,
            collected: Vec::new(),
            crowd: Crowd::new(GatewayViewers, local(gateway_port))?,
            processes: vec![broker.process, cache, gateway, consumer],
        }))
    }
}

/// How it is set up, for people.
const SETTINGS: &str = "Kafka 4.1 (KRaft, one node, Java 17, 1 GB heap, G1), acks=1 and no forced \
                        flush: as sure as a point that skein has appended; no linger, up to five \
                        batches on the way; fetch.min.bytes=1, so that nothing waits; one Redis \
                        pipeline and one Centrifugo request per fetch, both at the same time; \
                        Centrifugo in memory, protobuf over WebSocket, no history, no presence; \
                        all of it on the one core of the servers";

fn start_gateway(folder: &Path) -> Result<(Process, u16)> {
    let port = free_port()?;
    let config = json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "client": {
            "insecure": true,
            "allowed_origins": ["*"],
            "queue_max_size": 64 << 20,
        },
        "channel": { "without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        } },
        "http_api": { "insecure": true },
        "websocket": { "write_timeout": "60s" },
        "log": { "level": "error" },
    });
    let path = folder.join("centrifugo.json");
    fs::write(&path, config.to_string())?;
    let program = peers_folder().join("centrifugo").join("centrifugo");
    let command = vec![program.into(), "-c".into(), path.into()];
    let mut process = Process::start("centrifugo", command, folder)?;
    process.wait_for_port(port).context("the gateway")?;
    Ok((process, port))
}

/// The viewers' half of the gateway. Nobody sends through it.
struct GatewayViewers;

impl Protocol for GatewayViewers {
    fn viewer_greeting(&self, _viewer: usize) -> Vec<u8> {
        centrifuge::greeting()
    }

    fn sender_greeting(&self, _session: u32) -> Vec<u8> {
        Vec::new()
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        centrifuge::take(state, input, out, sink)
    }

    fn take_as_sender(
        &mut self,
        _session: u32,
        _state: &mut LineState,
        input: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<usize> {
        Ok(input.len())
    }

    fn publish(&mut self, _session: u32, _counter: u64, _out: &mut Vec<u8>) {}
}

struct StackStage {
    producer: KafkaClient,
    /// Published since the last batch.
    collected: Vec<[u8; POSITION_BYTES]>,
    crowd: Crowd<GatewayViewers>,
    processes: Vec<Process>,
}

impl StackStage {
    fn produce(&mut self) -> Result<()> {
        if self.producer.in_flight() > 0 {
            self.producer.take_acknowledged()?;
        }
        if !self.collected.is_empty() && self.producer.in_flight() < IN_FLIGHT_MAX {
            let now_ms = now_ms() as i64;
            self.producer.produce(&self.collected, ACKS, now_ms)?;
            self.collected.clear();
        }
        Ok(())
    }
}

impl Stage for StackStage {
    fn add_viewers(&mut self, more: usize, tally: &mut Tally) -> Result<()> {
        self.crowd.add_viewers(more, tally)
    }

    fn publish(&mut self, session: u32, counter: u64) -> Result<()> {
        self.collected.push(Position { session, counter }.bytes());
        Ok(())
    }

    fn poll(&mut self, tally: &mut Tally) -> Result<()> {
        self.produce()?;
        self.crowd.poll(tally)
    }

    fn processes(&self) -> &[Process] {
        &self.processes
    }
}
