//! Brings all parts up in their order, and down in the reverse one.
//!
//! Up: cores, directory, sockets, keys, logs, threads; only when every shard serves is the server said to
//! be ready. Down: goodbye to clients, shards, janitor, event log, control log.

use std::sync::Arc;

use anyhow::Context;
use skein_log::{DiskStorage, Inspector, JanitorThread, Log, PartitionId, Reader};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::access::Access;
use crate::app::apis::Apis;
use crate::app::data_dir::DataDir;
use crate::app::dir_lock::DirLock;
use crate::app::entrance::Lobby;
use crate::app::erasers;
use crate::app::files_in_force::FilesInForce;
use crate::app::followers::{Followed, Followers};
use crate::app::http_services::HttpServices;
use crate::app::opened::Opened;
use crate::app::outcomes::Outcomes;
use crate::app::ready::Ready;
use crate::app::running::Running;
use crate::app::shards::{ShardEntries, ShardSource, Shards, ShardsStart};
use crate::chat_names::ChatNames;
use crate::clock::Clock;
use crate::config::settings::Config;
use crate::control::stats::CONTROL_METRICS;
use crate::control::thread::{ControlSignals, ControlThread};
use crate::edge::edge::EdgeConfig;
use crate::edge::origins::Origins;
use crate::health::{Health, Phase};
use crate::http::listener::CONTROL_LISTENER_METRICS;
use crate::http::log_reading::LogState;
use crate::http::state::ApiState;
use crate::http::{clock_metrics, rate_metrics};
use crate::janitor_voice::{CONTROL_JANITOR_METRICS, JANITOR_METRICS, JanitorVoice};
use crate::key_refresher::{KEY_METRICS, KeyRefresher};
use crate::log_erase::Means;
use crate::log_thinner::{LogThinner, THINNER_METRICS};
use crate::machine::raise_descriptor_limit;
use crate::metrics::MetricsBoard;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::Inbound;
use crate::shard::metrics::SHARD_METRICS;
use crate::views::handle::ViewsThread;

/// Clients of a stopping server come back around this time, milliseconds.
const RETRY_AFTER_STOP_MS: u32 = 2_000;

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    ready: Ready,
    files: FilesInForce,
    health: Arc<Health>,
    gateway: Gateway,
    shards: Shards,
    followers: Followers,
    janitor: JanitorThread,
    thinner: Option<LogThinner>,
    refresher: Option<KeyRefresher>,
    log: Log,
    control: ControlThread,
    close_entrances: watch::Sender<bool>,
    stop_http: watch::Sender<bool>,
    runtime: Runtime,
    clock: Clock,
    /// Given back when all else is down.
    _dir_lock: DirLock,
}

impl Server {
    /// Starts everything; returns when every shard serves.
    ///
    /// # Errors
    /// What stands in the way, and what to do about it.
    pub fn start(config: &Config) -> anyhow::Result<Server> {
        raise_descriptor_limit();
        let Opened {
            cores,
            access,
            jwks,
            callers,
            certificates,
            tls,
            quic_keys,
            bound,
            control_listener,
            control_tls,
            control,
            mut log,
            follower_dirs,
            webhook_signer,
            dir_lock,
            clock,
        } = Opened::open(config)?;
        let control_address = control_listener.local_addr()?;
        let shards = cores.len() as u16;
        let mut board = MetricsBoard::default();
        let metrics = board.per_shard(SHARD_METRICS, shards);
        rate_metrics::show(&mut board, &access);
        clock_metrics::show(&mut board, clock);
        let health = Arc::new(Health::default());
        let entries = ShardEntries::new(shards, log.partitions())?;
        let gateway = entries.gateway().clone();

        let state = Arc::new(control.state().clone());
        let names = Arc::new(ChatNames::of(&state));
        let signals = ControlSignals {
            health: health.clone(),
            metrics: board.once(CONTROL_METRICS),
            voice: JanitorVoice::of_control(board.once(CONTROL_JANITOR_METRICS)),
        };
        let outcomes = Outcomes {
            gateway: gateway.clone(),
            names: names.clone(),
        };
        let control = ControlThread::spawn(control, clock, Box::new(outcomes), signals)?;
        let followed = Followed {
            log: &log,
            state: &state,
            names: &names,
            feed: control.feed(),
            clock,
        };
        let followers =
            Followers::start(config, follower_dirs, webhook_signer, &followed, &mut board)?;
        let edge = EdgeConfig {
            access: access.clone(),
            clock,
            quic: None,
            shards,
            websocket_sends: config.shards.websocket_sends,
        }
        .with_quic(&tls, quic_keys, Origins::new(config.access.origins.clone()));
        // Before the shards: what they append first is prepared by it.
        let voice = JanitorVoice::of_events(board.once(JANITOR_METRICS));
        let janitor = start_janitor(&mut log, clock, voice)?;
        let start = ShardsStart {
            config,
            cores: &cores,
            source: ShardSource::Log {
                log: &mut log,
                state,
                control: control.sender(),
            },
            views: followers.views.as_ref().map(ViewsThread::sink),
            edge,
            metrics,
            health: health.clone(),
            clock,
        };
        let starting = Shards::start(start, entries, bound.shards)?;
        let (shards, entrances) = starting.wait()?;

        let thinner = LogThinner::spawn(&config.log, &log, clock, board.once(THINNER_METRICS))?;
        let refresher = KeyRefresher::spawn(
            jwks,
            config.access.jwks_interval,
            access.clone(),
            clock,
            board.once(KEY_METRICS),
        )?;
        let (close_entrances, closed) = watch::channel(false);
        let (stop_http, stopped) = watch::channel(false);
        let apis = Apis {
            gateway: &gateway,
            access: &access,
            clock,
            health: &health,
            feed: control.feed(),
            followers: &followers,
            stopped: stopped.clone(),
        };
        let operators = apis.state(callers.clone());
        let reading = log_state(&log, config, operators.clone(), stopped.clone())?;
        let means = Means {
            readers: readers(&log),
            rewriter: log.rewriter(),
            names,
            others: followers.erasers(log.id(), control.sender()),
        };
        let eraser = erasers::eraser(gateway.clone(), means);
        let services = HttpServices {
            entrances,
            lobby: Lobby::new(
                config,
                apis.public(),
                access.clone(),
                clock,
                tls.tcp,
                closed,
            ),
            control_listener,
            control_tls: control_tls.clone(),
            control_metrics: board.once(CONTROL_LISTENER_METRICS),
            control: apis.control(operators, reading, eraser, board),
        };
        let runtime = services.start(&stopped)?;

        health.set_phase(Phase::Serving);
        let ready = Ready::new(
            &bound.addresses,
            control_address,
            &certificates,
            log.id(),
            shards.count(),
        )?;
        Ok(Server {
            ready,
            files: FilesInForce {
                access,
                certificates,
                control_tls,
                callers,
                clock,
            },
            health,
            gateway,
            shards,
            followers,
            janitor,
            thinner,
            refresher,
            log,
            control,
            close_entrances,
            stop_http,
            runtime,
            clock,
            _dir_lock: dir_lock,
        })
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
        &self.files.access
    }
}

impl Running for Server {
    fn ready(&self) -> &Ready {
        &self.ready
    }

    fn reload(&self) -> anyhow::Result<()> {
        self.files.reload()
    }

    /// Says goodbye to all clients, makes everything durable and marks the logs as cleanly closed.
    ///
    /// # Errors
    /// When something could not be closed: the next start recovers as after a crash, and nothing
    /// durable is lost.
    fn stop(self) -> anyhow::Result<()> {
        self.health.set_phase(Phase::Stopping);
        let _ = self.close_entrances.send(true);
        for inbox in self.gateway.inboxes() {
            inbox.send_blocking(Inbound::Stop {
                retry_after_ms: RETRY_AFTER_STOP_MS,
            });
        }
        self.shards.join()?;
        let _ = self.stop_http.send(true);
        self.followers.stop();
        if let Some(thinner) = self.thinner {
            thinner.stop();
        }
        if let Some(refresher) = self.refresher {
            refresher.stop();
        }
        drop(self.janitor.stop());
        let closed = self.log.close().context("closing the event log");
        let control = self.control.stop().context("closing the control log");
        self.runtime
            .shutdown_timeout(std::time::Duration::from_secs(1));
        closed.and(control)
    }
}

/// What the control API reads the log by.
fn log_state(
    log: &Log,
    config: &Config,
    api: ApiState,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<LogState> {
    let directory = DataDir::open(&config.data_dir)?.log();
    let storage = DiskStorage::read_only(directory)?;
    let inspector = Inspector::of(storage)?;
    Ok(LogState::new(api, readers(log), inspector, stop))
}

/// One reader per partition, in order. What they read may be old, and have rotted since it was written.
fn readers(log: &Log) -> Vec<Reader> {
    let partitions = (0..log.partitions()).map(PartitionId);
    let mut readers: Vec<Reader> = partitions.map(|it| log.reader(it)).collect();
    for reader in &mut readers {
        reader.set_verify(true);
    }
    readers
}

fn start_janitor(
    log: &mut Log,
    clock: Clock,
    voice: JanitorVoice,
) -> anyhow::Result<JanitorThread> {
    let janitor = log.take_janitor().expect("a fresh log has its janitor");
    let observe = move |report: &skein_log::WorkReport| voice.hear(clock.now_ms(), report);
    Ok(JanitorThread::spawn(
        janitor,
        move || clock.now_ms(),
        observe,
    )?)
}
