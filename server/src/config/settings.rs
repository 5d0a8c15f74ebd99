//! The configuration as plain data: sections, keys and defaults.
//!
//! Units are in the names. Nothing is checked here beyond types; `check.rs` does that.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use skein_engine::limits::{IMAGE_ROWS_PER_PASS, Limits};

use crate::access::jwks_source::JwksSource;
use crate::access::network::Network;
use crate::access::rates::{Rate, Rates};
use crate::access::token_rules::{CLOCK_SKEW_MS, TokenRules};
use crate::config::address;
use crate::config::choice::choose;
use crate::config::cores::CoreList;
use crate::config::idle::Idle;
use crate::config::span::Span;
use crate::config::websocket_sends::WebSocketSends;

/// Everything that `skein serve` can be told.
///
/// ```
/// use skein_server::config::settings::Config;
/// let config = Config::default();
/// assert_eq!(config.listen.quic.port(), 4433);
/// assert_eq!(config.shards.partitions, 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directory of the log, the control log and the keys. Made when it does not exist.
    pub data_dir: PathBuf,
    /// Certificate and token key are made in the data directory; loopback addresses only.
    pub dev: bool,
    /// Addresses.
    pub listen: Listen,
    /// Cores and partitions.
    pub shards: Shards,
    /// The event log.
    pub log: LogSettings,
    /// What is kept of where people were.
    pub history: HistorySettings,
    /// What is kept of who saw whom.
    pub views: ViewsSettings,
    /// Who is told what happened in chats.
    pub webhook: WebhookSettings,
    /// Bounds of sessions, connections and memory.
    pub limits: LimitSettings,
    /// Who may do what.
    pub access: AccessSettings,
    /// Certificate.
    pub tls: TlsSettings,
    /// TLS of the control API.
    pub control: ControlSettings,
    /// Of `skein relay`: what it relays.
    pub relay: RelaySettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("skein-data"),
            dev: false,
            listen: Listen::default(),
            shards: Shards::default(),
            log: LogSettings::default(),
            history: HistorySettings::default(),
            views: ViewsSettings::default(),
            webhook: WebhookSettings::default(),
            limits: LimitSettings::default(),
            access: AccessSettings::default(),
            tls: TlsSettings::default(),
            control: ControlSettings::default(),
            relay: RelaySettings::default(),
        }
    }
}

impl Config {
    /// The limits and rules as the engine takes them.
    pub fn engine_limits(&self) -> Limits {
        Limits {
            views_recorded: self.views.is_on(),
            rights_from_tokens: self.access.membership == Membership::Token,
            ..self.limits.to_engine()
        }
    }

    /// The directory of keys.
    pub fn keys_dir(&self) -> PathBuf {
        self.access
            .keys
            .clone()
            .unwrap_or_else(|| self.data_dir.join("keys"))
    }
}

/// Addresses to listen on. Port 0 takes a free one; the ready line says which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// QUIC (UDP), ALPN `skein/1`.
    #[serde(deserialize_with = "address::read")]
    pub quic: SocketAddr,
    /// HTTP and WebSocket without TLS.
    #[serde(deserialize_with = "address::read")]
    pub http: SocketAddr,
    /// HTTP and WebSocket over TLS; absent = not offered.
    #[serde(deserialize_with = "address::read_some")]
    pub https: Option<SocketAddr>,
    /// Control API, events and metrics; not for the public.
    #[serde(deserialize_with = "address::read")]
    pub control: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            quic: loopback(4433),
            http: loopback(8080),
            https: None,
            control: loopback(9090),
        }
    }
}

/// Cores and partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shards {
    /// Cores that run a shard each.
    pub cores: CoreList,
    /// What a shard does while it has nothing to do: `sleep`, `spin` or `adaptive`.
    pub idle: Idle,
    /// How batches get onto WebSockets: `auto`, `io_uring` or `write`.
    pub websocket_sends: WebSocketSends,
    /// Partitions of the log; fixed when the data directory is made.
    pub partitions: u16,
    /// How long a stop waits at most for clients to hear the goodbye, milliseconds.
    pub stop_linger_ms: u64,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            cores: CoreList::Auto,
            idle: Idle::Sleep,
            websocket_sends: WebSocketSends::Auto,
            partitions: 64,
            stop_linger_ms: 500,
        }
    }
}

/// How appends get into files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogWriter {
    /// Through mapped memory, without a system call.
    #[default]
    Mapped,
    /// With `pwrite`, for file systems that copy on write.
    Pwrite,
}

impl<'de> Deserialize<'de> for LogWriter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choose(
            deserializer,
            &[("mapped", Self::Mapped), ("pwrite", Self::Pwrite)],
        )
    }
}

/// The event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Size of a partition's first segment file, bytes; each next one doubles.
    pub segment_bytes_min: u64,
    /// Size that segment files grow to, bytes.
    pub segment_bytes_max: u64,
    /// A segment older than this is closed, milliseconds, so that retention by age can drop it.
    pub segment_age_ms: u64,
    /// Longest time between two syncs of what was appended, milliseconds: the loss window of points.
    pub sync_interval_ms: u64,
    /// Closed segments whose newest record is older than this are dropped, milliseconds; 0 = kept.
    pub retention_age_ms: u64,
    /// Commands of the control log that are older than this are dropped as soon as a checkpoint is
    /// behind them, milliseconds; 0 = for their number alone.
    pub control_retention_age_ms: u64,
    /// The oldest closed segments are dropped while all together are larger, bytes; 0 = no limit.
    pub retention_bytes: u64,
    /// Closed segments whose newest record is older than this are thinned, milliseconds; 0 = never.
    pub thin_after_ms: u64,
    /// One point of a session is kept per so many milliseconds where the log is thinned.
    pub thin_every_ms: u64,
    /// Bytes of the file system that the log leaves free.
    pub disk_reserve_bytes: u64,
    /// How appends get into files.
    pub writer: LogWriter,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes_min: 1024 * 1024,
            segment_bytes_max: 64 * 1024 * 1024,
            segment_age_ms: 60 * 60 * 1_000,
            sync_interval_ms: 1_000,
            retention_age_ms: 24 * 60 * 60 * 1_000,
            control_retention_age_ms: 7 * 24 * 60 * 60 * 1_000,
            retention_bytes: 0,
            thin_after_ms: 0,
            thin_every_ms: 60_000,
            disk_reserve_bytes: 64 * 1024 * 1024,
            writer: LogWriter::Mapped,
        }
    }
}

/// What is kept of where people were, beyond the log. Off unless it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// Keep one.
    pub enabled: bool,
    /// One point of a session per so much time.
    pub every: Span,
    /// Older ones are removed.
    pub retain: Span,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self {
            enabled: false,
            every: Span::seconds(30),
            retain: Span::seconds(30 * 86_400),
        }
    }
}

/// What is kept of who saw whom, for those who were seen. Off unless it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewsSettings {
    /// How long after its end a view is kept; 0 = no record is.
    pub retain: Span,
}

impl Default for ViewsSettings {
    fn default() -> Self {
        Self {
            retain: Span::seconds(0),
        }
    }
}

impl ViewsSettings {
    /// Whether a record is kept.
    pub fn is_on(&self) -> bool {
        self.retain > Span::seconds(0)
    }
}

/// Addresses that are told what happened in chats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where events are posted to; each address is told all of them.
    pub urls: Vec<String>,
    /// File with the secret that signs requests, one a line; required where there are addresses.
    pub secret: Option<PathBuf>,
    /// Certificates to trust there, PEM; absent = those of the system.
    pub ca: Option<PathBuf>,
    /// How often a batch is tried before it goes to the list of dead letters.
    pub tries_max: u32,
    /// How long a dead letter is kept.
    pub dead_retain: Span,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            secret: None,
            ca: None,
            tries_max: 20,
            dead_retain: Span::seconds(30 * 86_400),
        }
    }
}

/// Bounds that an operator may change; `--print-limits` prints all the others too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Longest session, seconds.
    pub duration_s_max: u32,
    /// Live sessions of one user in one chat.
    pub sessions_per_user_max: usize,
    /// Live sessions of one chat.
    pub sessions_per_chat_max: usize,
    /// Chats that one connection watches.
    pub watches_per_connection_max: usize,
    /// Sessions that one connection feeds.
    pub shares_per_connection_max: usize,
    /// Silence after which a session is stale, milliseconds.
    pub stale_after_ms: u64,
    /// Points per second of one session, sustained.
    pub points_per_second_max: u32,
    /// Points that may come at once after a pause.
    pub points_burst_max: u32,
    /// Points of a session's trail.
    pub trail_points: usize,
    /// Ended sessions that a chat remembers for viewers that were away.
    pub tombstones_per_chat_max: usize,
    /// How long it remembers them, milliseconds.
    pub tombstone_age_ms_max: u64,
    /// Longest time between two batches of a very large chat, milliseconds.
    pub floor_interval_ms_max: u64,
    /// Memory for rows, trails, mirrors, sessions and views of one shard, bytes.
    pub memory_bytes_max: usize,
    /// Connections and HTTP requests per second of one address, sustained; 0 = no limit.
    pub address_requests_per_second_max: u32,
    /// Those that may come at once.
    pub address_requests_burst_max: u32,
    /// Networks whose addresses are not limited: proxies, which bring many clients.
    pub address_exempt: Vec<Network>,
    /// Requests per second of one user, over all connections, sustained; 0 = no limit. Points have
    /// a limit of their own.
    pub user_requests_per_second_max: u32,
    /// Those that may come at once.
    pub user_requests_burst_max: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            duration_s_max: limits.duration_s_max,
            sessions_per_user_max: limits.sessions_per_user_max,
            sessions_per_chat_max: limits.sessions_per_chat_max,
            watches_per_connection_max: limits.watches_per_connection_max,
            shares_per_connection_max: limits.shares_per_connection_max,
            stale_after_ms: limits.stale_after_ms,
            points_per_second_max: limits.points_per_second_max,
            points_burst_max: limits.points_burst_max,
            trail_points: limits.trail_points,
            tombstones_per_chat_max: limits.tombstones_per_chat_max,
            tombstone_age_ms_max: limits.tombstone_age_ms_max,
            floor_interval_ms_max: limits.floor_interval_ms_max,
            memory_bytes_max: limits.memory_bytes_max,
            address_requests_per_second_max: 200,
            address_requests_burst_max: 2_000,
            address_exempt: ["127.0.0.0/8", "::1/128"].map(loopback).to_vec(),
            user_requests_per_second_max: 100,
            user_requests_burst_max: 1_000,
        }
    }
}

fn loopback(text: &str) -> Network {
    text.parse().expect("a constant network")
}

impl LimitSettings {
    /// How often addresses and users may ask.
    pub fn to_rates(&self) -> Rates {
        let address = Rate {
            per_second: self.address_requests_per_second_max,
            burst: self.address_requests_burst_max,
        };
        let user = Rate {
            per_second: self.user_requests_per_second_max,
            burst: self.user_requests_burst_max,
        };
        Rates::new(address, user, self.address_exempt.clone())
    }

    /// The limits as the engine takes them.
    pub fn to_engine(&self) -> Limits {
        Limits {
            duration_s_max: self.duration_s_max,
            sessions_per_user_max: self.sessions_per_user_max,
            sessions_per_chat_max: self.sessions_per_chat_max,
            watches_per_connection_max: self.watches_per_connection_max,
            shares_per_connection_max: self.shares_per_connection_max,
            stale_after_ms: self.stale_after_ms,
            points_per_second_max: self.points_per_second_max,
            points_burst_max: self.points_burst_max,
            trail_points: self.trail_points,
            tombstones_per_chat_max: self.tombstones_per_chat_max,
            tombstone_age_ms_max: self.tombstone_age_ms_max,
            floor_interval_ms_max: self.floor_interval_ms_max,
            memory_bytes_max: self.memory_bytes_max,
            image_rows_per_pass: IMAGE_ROWS_PER_PASS,
            ..Limits::default()
        }
    }
}

/// Where rights in chats come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Membership {
    /// From the server's own table alone, which the control API changes.
    #[default]
    Table,
    /// Also from the claim `chats` of tokens. A revocation in the table wins.
    Token,
}

impl<'de> Deserialize<'de> for Membership {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choose(
            deserializer,
            &[("table", Self::Table), ("token", Self::Token)],
        )
    }
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    /// Directory of keys: `token.pem` signs, `trusted/KID.pem` are public keys of other issuers;
    /// absent = `keys` in the data directory.
    pub keys: Option<PathBuf>,
    /// A JWK set with further public keys: a file, or an `https` address.
    pub jwks: Option<String>,
    /// Certificates to trust where the set is fetched, PEM; absent = those of the system.
    pub jwks_ca: Option<PathBuf>,
    /// The set is fetched again after so much time.
    pub jwks_interval: Span,
    /// `aud` of every token must be or contain this.
    pub audience: String,
    /// `iss` of every token must be this; absent = it is not looked at.
    pub issuer: Option<String>,
    /// How much an issuer's clock may differ from the server's.
    pub clock_skew: Span,
    /// Where rights in chats come from: `table` or `token`.
    pub membership: Membership,
    /// Browser origins that may open a WebSocket or a WebTransport session and use the public HTTP API; `*` = any; empty = only
    /// pages of the address that they connect to, and clients that send no `Origin`.
    pub origins: Vec<String>,
    /// File with the bearer tokens of the control API, one a line, each with its scopes.
    pub control_token: Option<PathBuf>,
}

impl Default for AccessSettings {
    fn default() -> Self {
        let rules = TokenRules::default();
        Self {
            keys: None,
            jwks: None,
            jwks_ca: None,
            jwks_interval: Span::seconds(300),
            audience: rules.audience,
            issuer: rules.issuer,
            clock_skew: Span::seconds(CLOCK_SKEW_MS / 1_000),
            membership: Membership::Table,
            origins: Vec::new(),
            control_token: None,
        }
    }
}

impl AccessSettings {
    /// What tokens must say.
    pub fn token_rules(&self) -> TokenRules {
        TokenRules {
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            clock_skew_ms: self.clock_skew.as_ms(),
            brings_rights: self.membership == Membership::Token,
        }
    }

    /// Where the JWK set comes from, if there is one.
    ///
    /// # Errors
    /// What is wrong with `jwks`.
    pub fn jwks_source(&self) -> Result<Option<JwksSource>, &'static str> {
        let parse = |text: &String| JwksSource::parse(text, self.jwks_ca.clone());
        self.jwks.as_ref().map(parse).transpose()
    }
}

/// Certificate for QUIC and HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM, readable by the owner only.
    pub key: Option<PathBuf>,
}

/// TLS of the control API; plain where nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// Certificate chain, PEM; absent = that of `tls.cert`.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM, readable by the owner only.
    pub key: Option<PathBuf>,
    /// Authorities of callers' certificates, PEM: a caller must show one that is signed by them.
    pub client_ca: Option<PathBuf>,
    /// Lists of revoked certificates of callers, PEM, one of each of these authorities.
    pub client_crl: Option<PathBuf>,
}

impl ControlSettings {
    /// Whether the control API is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.cert.is_some() || self.client_ca.is_some()
    }
}

/// What a relay relays. Only `skein relay` has an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelaySettings {
    /// The server, or another relay: `quic://HOST:PORT`, `wss://HOST:PORT` or `ws://HOST:PORT`.
    pub upstream: Option<String>,
    /// File with the token that this relay shows there, see `skein token --relay`. Read again when it
    /// changes.
    pub token: Option<PathBuf>,
    /// Certificates to trust there, PEM.
    pub ca: Option<PathBuf>,
    /// Trust any certificate there.
    pub insecure: bool,
    /// Where who shares is sent to; absent = the refusal names no address.
    pub senders_to: Option<String>,
}
