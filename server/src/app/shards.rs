//! The shards of one server: what each starts from, and their threads.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use skein_engine::control_state::ControlState;
use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::placement::owner_of;
use skein_engine::shard::{RelayConfig, Shard, ShardConfig};
use skein_engine::time::Timestamp;
use skein_log::Log;
use tokio::sync::oneshot;

use crate::app::entrance::Entrance;
use crate::clock::Clock;
use crate::config::settings::Config;
use crate::control::thread::ControlSender;
use crate::edge::arrivals::Arrivals;
use crate::edge::bind::ShardSockets;
use crate::edge::edge::{Edge, EdgeConfig, Sources};
use crate::edge::http_listener::HttpCounters;
use crate::edge::waker::ShardWaker;
use crate::health::Health;
use crate::metrics::MetricRow;
use crate::shard::core::Core;
use crate::shard::followers::Followers;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::Inbox;
use crate::shard::log_writer::{CHECKPOINT_EVERY_BYTES, LogWriters, checkpoint_age_ms};
use crate::shard::peers::Peers;
use crate::shard::recovery::{ShardParts, recover};
use crate::shard::server_ports::ServerPorts;
use crate::shard::thread::{self, ShardEntry, ShardLoop};
use crate::views::handle::ViewSink;

/// A shard's thread.
type ShardHandle = JoinHandle<anyhow::Result<()>>;

/// What the shards are reached by before they run.
pub struct ShardEntries {
    inboxes: Vec<Inbox>,
    wakers: Vec<ShardWaker>,
    gateway: Gateway,
}

impl ShardEntries {
    /// Of so many shards.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn new(shards: u16, partitions: u16) -> io::Result<Self> {
        let wakers: Vec<ShardWaker> = (0..shards)
            .map(|_| ShardWaker::new())
            .collect::<io::Result<_>>()?;
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            wakers.iter().map(|waker| Inbox::new(waker.clone())).unzip();
        Ok(Self {
            inboxes,
            wakers,
            gateway: Gateway::new(senders, partitions),
        })
    }

    /// The way to all of them.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

/// What all shards have in common at their start.
pub struct ShardsStart<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Which core each is pinned to.
    pub cores: &'a [u16],
    /// Where their chats come from.
    pub source: ShardSource<'a>,
    /// The way to the record of views, if one is kept.
    pub views: Option<ViewSink>,
    /// Sockets, keys, certificates.
    pub edge: EdgeConfig,
    /// Where each shows its numbers.
    pub metrics: Vec<Arc<MetricRow>>,
    /// Where each says how its log is.
    pub health: Arc<Health>,
    /// Engine time.
    pub clock: Clock,
}

/// Where the chats of shards come from.
pub enum ShardSource<'a> {
    /// From the log.
    Log {
        /// Whose partitions they write and follow.
        log: &'a mut Log,
        /// The control log's state at its newest command.
        state: Arc<ControlState>,
        /// The way to the control log.
        control: ControlSender,
    },
    /// From a relay's hub.
    Hub {
        /// Identity of the upstream's log.
        log_id: u64,
        /// Wakes the hub.
        waker: ShardWaker,
    },
}

impl ShardSource<'_> {
    fn control(&self) -> Option<ControlSender> {
        match self {
            Self::Log { control, .. } => Some(control.clone()),
            Self::Hub { .. } => None,
        }
    }

    /// One for each shard, and the hub's behind them.
    fn wakers(&self, of_shards: &[ShardWaker]) -> Vec<ShardWaker> {
        let mut wakers = of_shards.to_vec();
        if let Self::Hub { waker, .. } = self {
            wakers.push(waker.clone());
        }
        wakers
    }

    fn core(&mut self, shard: ShardId, config: &Config, shards: u16) -> anyhow::Result<CoreStart> {
        let seed = getrandom::u64().context("the system gives no random numbers")?;
        let config_of = |partitions, log_id, relay| ShardConfig {
            shard,
            shards,
            partitions,
            log_id,
            limits: config.engine_limits(),
            seed,
            relay,
        };
        Ok(match self {
            Self::Log { log, state, .. } => CoreStart::Log {
                parts: ShardParts {
                    config: config_of(log.partitions(), log.id().0, None),
                    writers: take_writers(log, shard, shards),
                    readers: (0..log.partitions())
                        .map(|partition| log.reader(skein_log::PartitionId(partition)))
                        .collect(),
                    checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
                    checkpoint_age_ms: checkpoint_age_ms(config.log.retention_age_ms),
                    may_wait: false,
                },
                state: state.clone(),
            },
            Self::Hub { log_id, .. } => {
                let relay = RelayConfig {
                    senders_to: config.relay.senders_to.clone(),
                };
                CoreStart::Relay(config_of(1, *log_id, Some(relay)))
            }
        })
    }
}

/// What a shard's core is made from, on its own thread.
enum CoreStart {
    Log {
        parts: ShardParts,
        state: Arc<ControlState>,
    },
    Relay(ShardConfig),
}

impl CoreStart {
    fn make(self, now: Timestamp) -> anyhow::Result<Core> {
        match self {
            Self::Log { parts, state } => {
                let shard = parts.config.shard;
                let (core, report) = recover(parts, &state, now)
                    .with_context(|| format!("shard {shard} cannot read its partitions"))?;
                tracing::info!(
                    shard = shard.0,
                    records = report.records,
                    chats = report.chats,
                    "recovered"
                );
                Ok(core)
            }
            Self::Relay(config) => Ok(relay_core(config, now)),
        }
    }
}

/// Running shards.
#[derive(Debug)]
pub struct Shards {
    handles: Vec<ShardHandle>,
}

impl Shards {
    /// Starts one thread per core. Returns at once; see [`Starting::wait`].
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn start(
        start: ShardsStart<'_>,
        entries: ShardEntries,
        sockets: Vec<ShardSockets>,
    ) -> anyhow::Result<Starting> {
        let mut start = start;
        let shards = start.cores.len() as u16;
        if let ShardSource::Log { log, .. } = &start.source {
            wake_on_log(log, &entries.gateway, shards);
        }
        let mut peers = Peers::mesh(&start.source.wakers(&entries.wakers));
        let hub = peers.drain(usize::from(shards)..).next();
        let entries = entries.inboxes.into_iter().zip(entries.wakers);
        let of_each = entries.zip(start.metrics).zip(peers).zip(sockets);
        let (mut handles, mut waiting, mut entrances) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ((((inbox, waker), metrics), peers), sockets)) in of_each.enumerate() {
            let shard = ShardId(index as u16);
            let (serves, waits) = oneshot::channel();
            waiting.push(waits);
            let (to_shard, arrivals) = Arrivals::channel(waker.clone());
            let http = Arc::new(HttpCounters::default());
            entrances.push(Entrance {
                http: sockets.http,
                https: sockets.https,
                arrivals: to_shard,
                counters: http.clone(),
            });
            let of_shard = ShardStart {
                core: start.source.core(shard, start.config, shards)?,
                edge: start.edge.clone(),
                sources: Sources {
                    quic: sockets.quic,
                    arrivals,
                    http,
                },
                peers,
                control: start.source.control(),
                views: start.views.clone(),
                entry: ShardEntry {
                    inbox,
                    waker,
                    metrics,
                    health: start.health.clone(),
                    idle: start.config.shards.idle,
                    stop_linger: Duration::from_millis(start.config.shards.stop_linger_ms),
                },
                clock: start.clock,
                serves,
            };
            let core = usize::from(start.cores[index]);
            handles.push(thread::spawn(shard, Some(core), move || {
                run_shard(shard, of_shard)
            })?);
        }
        Ok(Starting {
            shards: Self { handles },
            waiting,
            entrances,
            hub,
        })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    /// What ended one of them.
    ///
    /// # Panics
    /// As a shard panicked.
    pub fn join(self) -> anyhow::Result<()> {
        self.handles.into_iter().try_for_each(join)
    }
}

/// Shards that recover.
pub struct Starting {
    shards: Shards,
    waiting: Vec<oneshot::Receiver<()>>,
    entrances: Vec<Entrance>,
    hub: Option<Peers>,
}

impl Starting {
    /// The hub's ends of the rings, of a relay.
    pub fn take_hub(&mut self) -> Option<Peers> {
        self.hub.take()
    }

    /// Waits until every shard serves. Gives them and the way in for their WebSockets.
    ///
    /// # Errors
    /// What stopped one of them.
    ///
    /// # Panics
    /// As a shard panicked.
    pub fn wait(mut self) -> anyhow::Result<(Shards, Vec<Entrance>)> {
        for (index, serves) in self.waiting.into_iter().enumerate() {
            if serves.blocking_recv().is_err() {
                join(self.shards.handles.swap_remove(index))?;
                return Err(anyhow!("shard {index} ended before it served"));
            }
        }
        Ok((self.shards, self.entrances))
    }
}

fn join(shard: ShardHandle) -> anyhow::Result<()> {
    match shard.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Everything that one shard's thread starts from.
struct ShardStart {
    core: CoreStart,
    edge: EdgeConfig,
    sources: Sources,
    peers: Peers,
    control: Option<ControlSender>,
    views: Option<ViewSink>,
    entry: ShardEntry,
    clock: Clock,
    serves: oneshot::Sender<()>,
}

fn run_shard(shard: ShardId, start: ShardStart) -> anyhow::Result<()> {
    let ShardStart {
        core,
        edge,
        sources,
        peers,
        control,
        views,
        entry,
        clock,
        serves,
    } = start;
    let now = Timestamp(clock.now_ms());
    let core = core.make(now)?;
    let edge = Edge::new(&edge, shard.0, sources, &entry.waker)?;
    let ports = ServerPorts::new(shard, edge, peers, control, views);
    let _ = serves.send(());
    let core = ShardLoop::new(core, ports, entry, clock).run();
    drop(core);
    Ok(())
}

/// A shard of a relay: it has no log, and is fed by the hub alone.
fn relay_core(config: ShardConfig, now: Timestamp) -> Core {
    let (shard, shards) = (config.shard, config.shards);
    let mut engine = Shard::new(config, now);
    engine.finish_recovery(now);
    let peers = (0..=shards).map(ShardId).filter(|&other| other != shard);
    Core::new(
        engine,
        LogWriters::new(Vec::new(), CHECKPOINT_EVERY_BYTES, false),
        Followers::default(),
        Vec::new(),
        peers.collect(),
    )
}

fn take_writers(
    log: &mut Log,
    shard: ShardId,
    shards: u16,
) -> Vec<(PartitionId, skein_log::Writer)> {
    (0..log.partitions())
        .map(PartitionId)
        .filter(|&partition| owner_of(partition, shards) == shard)
        .map(|partition| {
            let writer = log.take_writer(skein_log::PartitionId(partition.0));
            (partition, writer.expect("each writer is taken once"))
        })
        .collect()
}

/// Wakes the owner of a partition when its durable mark has moved, when something of it is lost, and when
/// what it wanted to append need not wait for the disk any longer.
fn wake_on_log(log: &Log, gateway: &Gateway, shards: u16) {
    let inboxes = gateway.inboxes().to_vec();
    let wake = move |partition: skein_log::PartitionId| {
        let owner = owner_of(PartitionId(partition.0), shards);
        inboxes[usize::from(owner.0)].log_moved();
    };
    let (wake_durable, wake_lost) = (wake.clone(), wake.clone());
    log.on_durable(Box::new(move |partition, _| wake_durable(partition)));
    log.on_lost(Box::new(move |partition, _, _| wake_lost(partition)));
    log.on_ready(Box::new(wake));
}
