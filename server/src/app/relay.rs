//! Brings the parts of a relay up in their order, and down in the reverse one.
//!
//! A relay has shards and sockets like a server and neither log nor control log: its chats come from the
//! upstream, whose first word it waits for before it listens.

use std::sync::Arc;

use anyhow::{Context, ensure};
use skein_engine::relay::hub::{Hub, HubConfig};
use skein_engine::table::TableLimits;
use skein_log::LogId;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::access::{key_set, secret_file};
use crate::app::data_dir::DataDir;
use crate::app::dir_lock::DirLock;
use crate::app::entrance::Lobby;
use crate::app::files_in_force::FilesInForce;
use crate::app::http_services::HttpServices;
use crate::app::opened::{
    bind_control, bind_shards, control_callers, open_access, open_certificates, open_control_tls,
};
use crate::app::ready::Ready;
use crate::app::running::Running;
use crate::app::shards::{ShardEntries, ShardSource, Shards, ShardsStart};
use crate::clock::Clock;
use crate::config::settings::Config;
use crate::edge::edge::EdgeConfig;
use crate::edge::origins::Origins;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::tls::Tls;
use crate::health::{Health, Phase};
use crate::http::listener::CONTROL_LISTENER_METRICS;
use crate::http::relayed::{self, RelayState};
use crate::http::{clock_metrics, rate_metrics};
use crate::key_refresher::{KEY_METRICS, KeyRefresher};
use crate::machine::{allowed_cores, raise_descriptor_limit};
use crate::metrics::MetricsBoard;
use crate::relay::link::LinkParts;
use crate::relay::link_core::LinkCore;
use crate::relay::metrics::RELAY_METRICS;
use crate::relay::thread::{LinkThread, WaitingLink};
use crate::relay::upstream::UpstreamAddress;
use crate::shard::gateway::Gateway;
use crate::shard::inbox::Inbound;
use crate::shard::metrics::SHARD_METRICS;

/// Viewers of a stopping relay come back around this time, milliseconds.
const RETRY_AFTER_STOP_MS: u32 = 2_000;

/// File with the relay's identity, in the directory of keys.
const RELAY_ID_FILE: &str = "relay.id";

/// A relay that serves.
#[derive(Debug)]
pub struct Relay {
    ready: Ready,
    files: FilesInForce,
    health: Arc<Health>,
    gateway: Gateway,
    shards: Shards,
    link: LinkThread,
    refresher: Option<KeyRefresher>,
    close_entrances: watch::Sender<bool>,
    stop_http: watch::Sender<bool>,
    runtime: Runtime,
    /// Given back when all else is down.
    _dir_lock: DirLock,
}

impl Relay {
    /// Starts everything; returns when every shard serves.
    ///
    /// # Errors
    /// What stands in the way, and what to do about it.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        raise_descriptor_limit();
        let upstream = UpstreamAddress::of(config)?;
        let cores = config.shards.cores.resolve(&allowed_cores())?;
        let shards = cores.len() as u16;
        ensure!(
            !DataDir::is_of_server(&config.data_dir),
            "{} is the data directory of a server; a relay needs one of its own, choose it with --data-dir",
            config.data_dir.display()
        );
        need_keys(config)?;
        DataDir::open(&config.data_dir)?;
        let dir_lock = DirLock::take(&config.data_dir)?;
        // A key of its own would let nobody in whom the server lets in.
        let (access, jwks) = open_access(config, false)?;
        let callers = control_callers(config)?;
        let certificates = open_certificates(config)?;
        let control_tls = open_control_tls(config, &certificates)?;
        let tls = Tls::new(&certificates)?;
        let quic_keys = QuicKeys::open_or_create(&config.keys_dir())?;
        let relay_id = relay_id(config)?;
        let named = upstream.server.to_string();
        let link = WaitingLink::connect(upstream, relay_id)?;
        // The upstream's time: what is shown and judged here is shown and judged there.
        let clock = Clock::anchored(link.first.welcome.server_time_ms);
        let bound = bind_shards(config, shards)?;
        let control_listener = bind_control(config.listen.control)?;
        let control_address = control_listener.local_addr()?;

        let mut board = MetricsBoard::default();
        let metrics = board.per_shard(SHARD_METRICS, shards);
        rate_metrics::show(&mut board, &access);
        clock_metrics::show(&mut board, clock);
        let link_metrics = board.once(RELAY_METRICS);
        let health = Arc::new(Health::default());
        let entries = ShardEntries::new(shards, 1)?;
        let gateway = entries.gateway().clone();
        let edge = EdgeConfig {
            access: access.clone(),
            clock,
            quic: None,
            shards,
            websocket_sends: config.shards.websocket_sends,
        }
        .with_quic(&tls, quic_keys, Origins::new(config.access.origins.clone()));
        let log_id = link.first.welcome.log;
        let start = ShardsStart {
            config,
            cores: &cores,
            source: ShardSource::Hub {
                log_id,
                waker: link.waker.clone(),
            },
            views: None,
            edge,
            metrics,
            health: health.clone(),
            clock,
        };
        let mut starting = Shards::start(start, entries, bound.shards)?;
        let peers = starting.take_hub();
        let (shards, entrances) = starting.wait()?;
        let hub = HubConfig {
            shards: cores.len() as u16,
            relay_id,
            table: table_limits(config),
        };
        let mut hub = Hub::new(hub, log_id);
        let above = link.first.above.clone();
        // It was looked at before.
        let _ = hub.handle_upstream(&above);
        let link = link.begin(LinkParts {
            core: LinkCore::new(hub),
            peers: peers.context("a relay has a hub")?,
            clock,
            metrics: link_metrics.clone(),
        });

        let (close_entrances, closed) = watch::channel(false);
        let (stop_http, stopped) = watch::channel(false);
        let refresher = KeyRefresher::spawn(
            jwks,
            config.access.jwks_interval,
            access.clone(),
            clock,
            board.once(KEY_METRICS),
        )?;
        let state = RelayState {
            health: health.clone(),
            link: link_metrics,
            clock,
            senders_to: config.relay.senders_to.clone(),
        };
        let services = HttpServices {
            entrances,
            lobby: Lobby::new(
                config,
                relayed::public(state.clone()),
                access.clone(),
                clock,
                tls.tcp,
                closed,
            ),
            control_listener,
            control_tls: control_tls.clone(),
            control_metrics: board.once(CONTROL_LISTENER_METRICS),
            control: relayed::control(state, Arc::new(board)),
        };
        let runtime = services.start(&stopped)?;

        health.set_phase(Phase::Serving);
        let log = LogId(log_id);
        let ready = Ready::new(
            &bound.addresses,
            control_address,
            &certificates,
            log,
            shards.count(),
        )?
        .with_upstream(named);
        Ok(Self {
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
            link,
            refresher,
            close_entrances,
            stop_http,
            runtime,
            _dir_lock: dir_lock,
        })
    }
}

impl Running for Relay {
    fn ready(&self) -> &Ready {
        &self.ready
    }

    fn reload(&self) -> anyhow::Result<()> {
        self.files.reload()
    }

    /// Says goodbye to all viewers, then to the upstream.
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
        if let Some(refresher) = self.refresher {
            refresher.stop();
        }
        let link = self.link.stop();
        self.runtime
            .shutdown_timeout(std::time::Duration::from_secs(1));
        link
    }
}

fn table_limits(config: &Config) -> TableLimits {
    let limits = config.engine_limits();
    TableLimits {
        trail_points: limits.trail_points,
        tombstones_max: limits.tombstones_per_chat_max,
        tombstone_age_ms_max: limits.tombstone_age_ms_max,
    }
}

/// Who shows a token of the server's to a relay that does not know its key is told "bad token", and the
/// operator nothing: better to say what is missing at the start.
fn need_keys(config: &Config) -> anyhow::Result<()> {
    let dir = config.keys_dir();
    ensure!(
        config.access.jwks.is_some() || !key_set::read_dir(&dir)?.is_empty(),
        "a relay has no keys of its own and needs those that its server trusts: put them into {0}, with `skein token --public-key --data-dir DIR --out {0}` of the server's DIR, or name a JWK set with `access.jwks`",
        dir.join(key_set::TRUSTED_DIR).display()
    );
    Ok(())
}

/// Random and kept, so that a relay knows itself on its upstream's way.
fn relay_id(config: &Config) -> anyhow::Result<u64> {
    let path = config.keys_dir().join(RELAY_ID_FILE);
    let key = secret_file::read_or_create_key(&path)?;
    let mut id = [0; 8];
    id.copy_from_slice(&key[..8]);
    Ok(u64::from_le_bytes(id))
}
