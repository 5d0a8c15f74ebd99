//! Brings all parts up in their order, and down in the reverse one.
//!
//! Up: directory, logs, keys, sockets, threads; only when every shard serves is the server said to
//! be ready. Down: goodbye to clients, shards, janitor, event log, control log.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::placement::owner_of;
use skein_engine::shard::ShardConfig;
use skein_engine::time::Timestamp;
use skein_log::{DiskStorage, JanitorThread, Log, Options, Reader};
use tokio::sync::{oneshot, watch};

use crate::access::Access;
use crate::access::control_token::ControlToken;
use crate::app::data_dir::DataDir;
use crate::app::outcomes::Outcomes;
use crate::app::ready::Ready;
use crate::clock::Clock;
use crate::config::settings::Config;
use crate::control::core::{Acknowledge, ControlCore};
use crate::control::stats::CONTROL_METRICS;
use crate::control::thread::{ControlSender, ControlSignals, ControlThread};
use crate::edge::bind::{Addresses, Bound, ShardSockets, bind};
use crate::edge::bridge::HttpBridge;
use crate::edge::certificate::CertificateStore;
use crate::edge::edge::{Edge, EdgeConfig};
use crate::edge::origins::Origins;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::tls::Tls;
use crate::health::{Health, Phase};
use crate::http::events::EventsState;
use crate::http::metrics::MetricsBoard;
use crate::http::state::{ApiState, Callers};
use crate::http::{bridge, control as control_api, listener, public};
use crate::shard::core::Core;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::{Inbound, Inbox};
use crate::shard::log_writer::CHECKPOINT_EVERY_BYTES;
use crate::shard::metrics::SHARD_METRICS;
use crate::shard::peers::Peers;
use crate::shard::recovery::{ShardParts, recover};
use crate::shard::server_ports::ServerPorts;
use crate::shard::thread::{self, ShardEntry, ShardLoop};
use crate::shard::waker::ShardWaker;

/// Threads of the runtime for everything that is not hot.
const CONTROL_RUNTIME_THREADS: usize = 2;

/// Clients of a stopping server come back around this time, milliseconds.
const RETRY_AFTER_STOP_MS: u32 = 2_000;

type ShardHandle = JoinHandle<anyhow::Result<()>>;

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    ready: Ready,
    access: Arc<Access>,
    certificates: Arc<CertificateStore>,
    health: Arc<Health>,
    gateway: Gateway,
    shards: Vec<ShardHandle>,
    janitor: JanitorThread,
    log: Log,
    control: ControlThread,
    stop_http: watch::Sender<bool>,
    runtime: tokio::runtime::Runtime,
    clock: Clock,
}

impl Server {
    /// Starts everything; returns when every shard serves.
    ///
    /// # Errors
    /// What stands in the way, and what to do about it.
    pub fn start(config: &Config) -> anyhow::Result<Server> {
        raise_descriptor_limit();
        let cores = config.shards.cores.resolve(available_cores());
        let shards = cores.len() as u16;
        let clock = Clock::start();
        let keys = config.keys_dir();
        let dir = DataDir::open(&config.data_dir)?;
        let (control, report) = open_control(&dir, clock)?;
        // Time does not run backwards across a restart, whatever the wall clock says.
        let clock = Clock::anchored(report.max(clock.now_ms()));
        let mut log = open_log(&dir, config, clock)?;
        let access = Arc::new(Access::open(&keys, config.dev)?);
        let callers = control_callers(config)?;
        let certificates = open_certificates(config)?;
        let tls = Tls::new(&certificates)?;
        let bound = bind(
            &Addresses {
                http: Some(config.listen.http),
                https: config.listen.https,
                quic: Some(config.listen.quic),
            },
            shards,
        )?;
        let control_listener = bind_control(config.listen.control)?;
        let control_address = control_listener.local_addr()?;

        let mut board = MetricsBoard::default();
        let shard_rows = board.per_shard(SHARD_METRICS, shards);
        let control_row = board.once(CONTROL_METRICS);
        let health = Arc::new(Health::default());
        let wakers: Vec<ShardWaker> = (0..shards).map(|_| ShardWaker::default()).collect();
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            wakers.iter().map(|waker| Inbox::new(waker.clone())).unzip();
        let partitions = log.partitions();
        let gateway = Gateway::new(senders, partitions);
        wake_on_durable(&log, &gateway, shards);

        let control_state = Arc::new(control.state().clone());
        let signals = ControlSignals {
            health: health.clone(),
            metrics: control_row,
        };
        let control =
            ControlThread::spawn(control, clock, Box::new(Outcomes(gateway.clone())), signals)?;
        let (bridge, requests) = HttpBridge::channel();
        let edge = EdgeConfig {
            access: access.clone(),
            clock,
            origins: Origins::new(config.access.origins.clone()),
            http: bridge,
            tls: None,
            quic: None,
            shards,
        }
        .with_tls(tls, QuicKeys::open_or_create(&keys)?);

        let readers: Vec<Reader> = (0..partitions)
            .map(|p| log.reader(skein_log::PartitionId(p)))
            .collect();
        let Bound {
            addresses,
            shards: sockets,
        } = bound;
        let mut handles = Vec::new();
        let mut started = Vec::new();
        let entries = inboxes
            .into_iter()
            .zip(wakers.iter().cloned())
            .zip(shard_rows)
            .map(|((inbox, waker), metrics)| ShardEntry {
                inbox,
                waker,
                metrics,
                health: health.clone(),
            });
        let peers = Peers::mesh(&wakers);
        for (index, ((entry, peers), sockets)) in entries.zip(peers).zip(sockets).enumerate() {
            let shard = ShardId(index as u16);
            let parts = ShardParts {
                config: ShardConfig {
                    shard,
                    shards,
                    partitions,
                    log_id: log.id().0,
                    limits: config.limits.to_engine(),
                    seed: getrandom::u64().context("the system gives no random numbers")?,
                },
                writers: take_writers(&mut log, shard, shards),
                readers: readers.clone(),
                checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
            };
            let (serves, waits) = oneshot::channel();
            started.push(waits);
            let start = ShardStart {
                parts,
                state: control_state.clone(),
                edge: edge.clone(),
                sockets,
                peers,
                control: control.sender(),
                entry,
                clock,
                serves,
            };
            let core = usize::from(cores[index]);
            handles.push(thread::spawn(shard, Some(core), move || {
                run_shard(shard, start)
            })?);
        }
        drop(edge);
        let janitor = start_janitor(&mut log, clock)?;
        wait_for_shards(started, &mut handles)?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_RUNTIME_THREADS)
            .thread_name("http")
            .enable_all()
            .build()?;
        let (stop_http, stopped) = watch::channel(false);
        let api =
            |callers| ApiState::new(Arc::new(gateway.clone()), callers, clock, health.clone());
        let public = public::router(api(Callers::Users(access.clone())));
        runtime.spawn(bridge::serve(requests, public, stopped.clone()));
        let api = api(callers);
        let events = EventsState::new(api.clone(), control.feed(), stopped.clone());
        let router = control_api::router(api, events, Arc::new(board));
        let _in_runtime = runtime.enter();
        let control_listener = tokio::net::TcpListener::from_std(control_listener)?;
        runtime.spawn(listener::serve(control_listener, router, stopped));
        drop(_in_runtime);

        health.set_phase(Phase::Serving);
        let ready = Ready {
            ready: true,
            quic: addresses.quic.ok_or_else(|| anyhow!("QUIC is not bound"))?,
            http: addresses.http.ok_or_else(|| anyhow!("HTTP is not bound"))?,
            https: addresses.https,
            control: control_address,
            log: log.id().to_string(),
            shards: handles.len(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Server {
            ready,
            access,
            certificates,
            health,
            gateway,
            shards: handles,
            janitor,
            log,
            control,
            stop_http,
            runtime,
            clock,
        })
    }

    /// Where it listens.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The way to its shards, for callers in this process.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The server's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The keys that it trusts.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Reads the trusted keys and the certificate again, for new connections. What cannot be read
    /// stays as it was.
    ///
    /// # Errors
    /// What could not be read.
    pub fn reload(&self) -> anyhow::Result<()> {
        let keys = self.access.reload().context("the keys stay as they were");
        let certificate = self.certificates.reload();
        keys.and(certificate.context("the certificate stays as it was"))
    }

    /// Says goodbye to all clients, makes everything durable and marks the logs as cleanly closed.
    ///
    /// # Errors
    /// When something could not be closed: the next start recovers as after a crash, and nothing
    /// durable is lost.
    pub fn stop(self) -> anyhow::Result<()> {
        self.health.set_phase(Phase::Stopping);
        for inbox in self.gateway.inboxes() {
            inbox.send_blocking(Inbound::Stop {
                retry_after_ms: RETRY_AFTER_STOP_MS,
            });
        }
        for shard in self.shards {
            join(shard)?;
        }
        let _ = self.stop_http.send(true);
        drop(self.janitor.stop());
        let closed = self
            .log
            .close(self.clock.now_ms())
            .context("closing the event log");
        let control = self.control.stop().context("closing the control log");
        self.runtime
            .shutdown_timeout(std::time::Duration::from_secs(1));
        closed.and(control)
    }
}

/// Everything that one shard's thread starts from.
struct ShardStart {
    parts: ShardParts,
    state: Arc<skein_engine::control_state::ControlState>,
    edge: EdgeConfig,
    sockets: ShardSockets,
    peers: Peers,
    control: ControlSender,
    entry: ShardEntry,
    clock: Clock,
    serves: oneshot::Sender<()>,
}

async fn run_shard(shard: ShardId, start: ShardStart) -> anyhow::Result<()> {
    let ShardStart {
        parts,
        state,
        edge,
        sockets,
        peers,
        control,
        entry,
        clock,
        serves,
    } = start;
    let now = Timestamp(clock.now_ms());
    let (core, report) = recover(parts, &state, now)
        .with_context(|| format!("shard {shard} cannot read its partitions"))?;
    drop(state);
    tracing::info!(
        shard = shard.0,
        records = report.records,
        chats = report.chats,
        "recovered"
    );
    let edge = Edge::new(&edge, shard.0, sockets)?;
    let ports = ServerPorts::new(shard, edge, peers, control);
    let _ = serves.send(());
    let core: Core = ShardLoop::new(core, ports, entry, clock).run().await;
    drop(core);
    Ok(())
}

fn wait_for_shards(
    started: Vec<oneshot::Receiver<()>>,
    handles: &mut Vec<ShardHandle>,
) -> anyhow::Result<()> {
    for (index, serves) in started.into_iter().enumerate() {
        if serves.blocking_recv().is_err() {
            join(handles.swap_remove(index))?;
            return Err(anyhow!("shard {index} ended before it served"));
        }
    }
    Ok(())
}

fn join(shard: ShardHandle) -> anyhow::Result<()> {
    match shard.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Connections are descriptors: take as many as the system lets this process have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the descriptor limit stays as it is");
    }
}

/// Opens the control log. Gives the newest time that it has seen, milliseconds since 1970.
fn open_control(dir: &DataDir, clock: Clock) -> anyhow::Result<(ControlCore, u64)> {
    let storage = DiskStorage::new(dir.control()).context("the control log's directory")?;
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let (core, report) = ControlCore::open(storage, Acknowledge::AfterSync, clock.now_ms(), random)
        .context("the control log cannot be opened")?;
    if let Some(loss) = &report.first_loss {
        tracing::error!(losses = report.losses, first = %loss, "the control log has lost something");
    }
    tracing::info!(commands = report.commands_replayed, "control log recovered");
    Ok((core, report.time_ms))
}

fn open_log(dir: &DataDir, config: &Config, clock: Clock) -> anyhow::Result<Log> {
    let settings = &config.log;
    let options = Options {
        partitions: config.shards.partitions,
        segment_bytes_min: settings.segment_bytes_min,
        segment_bytes_max: settings.segment_bytes_max,
        segment_age_ms: settings.segment_age_ms,
        sync_interval_ms: settings.sync_interval_ms,
        retention_age_ms: (settings.retention_age_ms > 0).then_some(settings.retention_age_ms),
        retention_bytes: (settings.retention_bytes > 0).then_some(settings.retention_bytes),
        disk_reserve_bytes: settings.disk_reserve_bytes,
        ..Options::default()
    };
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let (log, report) = Log::open_dir(dir.log(), options, clock.now_ms(), random)
        .context("the event log cannot be opened")?;
    for partition in &report.partitions {
        for corruption in &partition.corruption {
            tracing::error!(
                file = %corruption.file,
                aside = %corruption.quarantine,
                offsets_lost = ?corruption.lost,
                "a damaged segment was put aside; what could be read of it is kept"
            );
        }
    }
    tracing::info!(
        created = report.created,
        clean = report.clean,
        "event log recovered"
    );
    Ok(log)
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

fn wake_on_durable(log: &Log, gateway: &Gateway, shards: u16) {
    let inboxes = gateway.inboxes().to_vec();
    log.on_durable(Box::new(move |partition, _| {
        let owner = owner_of(PartitionId(partition.0), shards);
        inboxes[usize::from(owner.0)].durable_moved();
    }));
}

fn start_janitor(log: &mut Log, clock: Clock) -> anyhow::Result<JanitorThread> {
    let janitor = log.take_janitor().expect("a fresh log has its janitor");
    let observe = |report: &skein_log::WorkReport| {
        for failure in &report.failures {
            tracing::error!(%failure, "the log's janitor");
        }
    };
    Ok(JanitorThread::spawn(
        janitor,
        move || clock.now_ms(),
        observe,
    )?)
}

fn control_callers(config: &Config) -> anyhow::Result<Callers> {
    match &config.access.control_token {
        Some(path) => Ok(Callers::Operators(Arc::new(ControlToken::read(path)?))),
        None if config.dev => Ok(Callers::ThisMachine),
        None => Err(anyhow!(
            "the control API needs a token: give --control-token FILE, or --dev on this machine"
        )),
    }
}

fn open_certificates(config: &Config) -> anyhow::Result<Arc<CertificateStore>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = match (&config.tls.cert, &config.tls.key) {
        (Some(certificate), Some(key)) => CertificateStore::open(certificate, key, provider)?,
        _ if config.dev => CertificateStore::open_or_create(&config.keys_dir(), provider)?,
        _ => {
            return Err(anyhow!(
                "QUIC needs a certificate: set tls.cert and tls.key, or use --dev on this machine"
            ));
        }
    };
    Ok(certificates)
}

fn bind_control(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("{address} (control) cannot be bound; stop the program that has it, or choose another port with --control")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
