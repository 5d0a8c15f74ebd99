//! All that can stand in the way of a start: cores, directory, addresses, files, keys, logs.
//!
//! The directory is taken first, so that a second server on it is told so and not of a port. Keys are made
//! only when addresses and files are in order. The logs come last: whatever fails before them, they stay
//! as cleanly closed as they were.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use skein_log::{DiskStorage, Log, OpenError, Options, WriterBackend};

use crate::access::Access;
use crate::access::control_token::ControlTokens;
use crate::app::data_dir::DataDir;
use crate::app::dir_lock::DirLock;
use crate::app::followers::FollowerDirs;
use crate::clock::Clock;
use crate::config::settings::{Config, LogWriter};
use crate::control::core::{Acknowledge, ControlCore};
use crate::edge::bind::{Addresses, Bound, bind};
use crate::edge::certificate::CertificateStore;
use crate::edge::control_tls::{CallerFiles, ControlTls};
use crate::edge::error::EdgeError;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::tls::Tls;
use crate::http::state::Callers;
use crate::key_refresher::KeySource;
use crate::machine::allowed_cores;
use crate::webhook::signer::Signer;

/// A clock that is ahead of the machine's by so much is worth a word, milliseconds.
const CLOCK_AHEAD_WARN_MS: u64 = 10_000;

/// What a server is made from.
pub struct Opened {
    /// One for each shard.
    pub cores: Vec<u16>,
    /// The keys that are trusted.
    pub access: Arc<Access>,
    /// Where further keys come from.
    pub jwks: Option<KeySource>,
    /// Who may call the control API.
    pub callers: Callers,
    /// The certificate in force.
    pub certificates: Arc<CertificateStore>,
    /// How it is used.
    pub tls: Tls,
    /// What QUIC must remember across a restart.
    pub quic_keys: QuicKeys,
    /// Every shard's sockets.
    pub bound: Bound,
    /// The control API's socket.
    pub control_listener: TcpListener,
    /// Its TLS, unless plain.
    pub control_tls: Option<Arc<ControlTls>>,
    /// The control log.
    pub control: ControlCore,
    /// The event log.
    pub log: Log,
    /// Where those who follow the logs keep what they must not forget.
    pub follower_dirs: FollowerDirs,
    /// Signs what webhooks post, if there are webhooks.
    pub webhook_signer: Option<Arc<Signer>>,
    /// Nobody else has the directory.
    pub dir_lock: DirLock,
    /// It does not run backwards across a restart, whatever the wall clock says.
    pub clock: Clock,
}

impl Opened {
    /// Opens and binds everything; nothing runs yet.
    ///
    /// # Errors
    /// What stands in the way, and what to do about it.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let cores = config.shards.cores.resolve(&allowed_cores())?;
        let dir = DataDir::open(&config.data_dir)?;
        let dir_lock = DirLock::take(&config.data_dir)?;
        let bound = bind_shards(config, cores.len() as u16)?;
        let control_listener = bind_control(config.listen.control)?;
        let callers = control_callers(config)?;
        let webhook_signer = Signer::of(&config.webhook)?;
        let (access, jwks) = open_access(config, config.dev)?;
        let certificates = open_certificates(config)?;
        let tls = Tls::new(&certificates)?;
        let quic_keys = QuicKeys::open_or_create(&config.keys_dir())?;
        let control_tls = open_control_tls(config, &certificates)?;
        let clock = Clock::start();
        let (control, seen_ms) = open_control(&dir, config, clock)?;
        let clock = Clock::anchored(seen_ms.max(clock.now_ms()));
        warn_of_clock(clock);
        let log = open_log(&dir, config, clock)?;
        Ok(Self {
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
            log,
            follower_dirs: FollowerDirs {
                history: dir.history(),
                views: dir.views(),
                webhook: dir.webhook(),
            },
            webhook_signer,
            dir_lock,
            clock,
        })
    }
}

/// Opens the keys that are trusted, and where further ones come from. With `makes_key` there is one of its
/// own in the end.
pub(crate) fn open_access(
    config: &Config,
    makes_key: bool,
) -> anyhow::Result<(Arc<Access>, Option<KeySource>)> {
    let jwks = config
        .access
        .jwks_source()
        .map_err(|problem| anyhow!("access.jwks: {problem}"))?
        .map(KeySource::new);
    let access = Access::with_rules(
        &config.keys_dir(),
        makes_key,
        config.access.token_rules(),
        jwks.as_ref().map(KeySource::signal),
    )?;
    let access = Arc::new(access.with_rates(config.limits.to_rates()));
    let jwks = jwks.map(|source| source.open(&access)).transpose()?;
    Ok((access, jwks))
}

/// Binds every shard's sockets.
pub(crate) fn bind_shards(config: &Config, shards: u16) -> anyhow::Result<Bound> {
    let addresses = Addresses {
        http: Some(config.listen.http),
        https: config.listen.https,
        quic: Some(config.listen.quic),
    };
    Ok(bind(&addresses, shards)?)
}

pub(crate) fn control_callers(config: &Config) -> anyhow::Result<Callers> {
    match &config.access.control_token {
        Some(path) => Ok(Callers::Operators(Arc::new(ControlTokens::read(path)?))),
        None if config.dev => Ok(Callers::ThisMachine),
        None => Err(anyhow!(
            "the control API needs a token: give --control-token FILE, or --dev on this machine"
        )),
    }
}

pub(crate) fn open_certificates(config: &Config) -> anyhow::Result<Arc<CertificateStore>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = match (&config.tls.cert, &config.tls.key) {
        (Some(certificate), Some(key)) => CertificateStore::open(certificate, key, provider)?,
        _ if config.dev => {
            let now_s = Clock::start().now_ms() / 1_000;
            CertificateStore::open_or_create(&config.keys_dir(), now_s, provider)?
        }
        _ => {
            return Err(anyhow!(
                "QUIC needs a certificate: set tls.cert and tls.key, or use --dev on this machine"
            ));
        }
    };
    Ok(certificates)
}

/// TLS of the control API where it is asked for, with the certificate of all else unless it has its own.
pub(crate) fn open_control_tls(
    config: &Config,
    certificates: &Arc<CertificateStore>,
) -> anyhow::Result<Option<Arc<ControlTls>>> {
    let (settings, address) = (&config.control, config.listen.control);
    if !settings.is_tls() {
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "the control API is not encrypted: whoever sits on the way can take its token; set control.client_ca or control.cert, or keep it on a network that nobody else reads"
            );
        }
        return Ok(None);
    }
    let certificates = match (&settings.cert, &settings.key) {
        (Some(certificate), Some(key)) => {
            CertificateStore::open(certificate, key, Arc::clone(certificates.provider()))?
        }
        _ => Arc::clone(certificates),
    };
    let callers = settings.client_ca.clone().map(|authorities| CallerFiles {
        authorities,
        revoked: settings.client_crl.clone(),
    });
    let tls = ControlTls::new(certificates, callers)?;
    Ok(Some(Arc::new(tls)))
}

pub(crate) fn bind_control(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    let bound = TcpListener::bind(address);
    let listener = bound.map_err(|error| EdgeError::bind(address, "control", error))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says when the directory has seen a later time than the wall clock tells: tokens of issuers whose
/// clocks are right look expired until it has caught up.
fn warn_of_clock(clock: Clock) {
    let ahead_ms = clock.ahead_ms();
    if ahead_ms >= CLOCK_AHEAD_WARN_MS {
        tracing::warn!(
            ahead_ms,
            "the data directory has seen a later time than this machine's clock tells now, so the server goes on from there: tokens may look \
             expired, and sessions end early, by so much; set the clock right, or wait until it is"
        );
    }
}

/// Opens the control log. Gives the newest time that it has seen, milliseconds since 1970.
fn open_control(
    dir: &DataDir,
    config: &Config,
    clock: Clock,
) -> anyhow::Result<(ControlCore, u64)> {
    let storage = DiskStorage::new(dir.control()).context("the control log's directory")?;
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let age_ms = config.log.control_retention_age_ms;
    let age_ms = (age_ms > 0).then_some(age_ms);
    let now_ms = clock.now_ms();
    let opened = ControlCore::open_keeping(storage, Acknowledge::AfterSync, age_ms, now_ms, random);
    let (core, report) = opened.context("the control log cannot be opened")?;
    if let Some(loss) = &report.first_loss {
        tracing::error!(
            losses = report.losses,
            first = %loss,
            directory = %dir.control().display(),
            "the control log is damaged, and a session or a membership may be missing or back: what is damaged is kept there \
             beside the log as *.quarantine; compare `skein member list` and `skein session list` with what the chat service knows"
        );
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
        writer: match settings.writer {
            LogWriter::Mapped => WriterBackend::Mapped,
            LogWriter::Pwrite => WriterBackend::Pwrite,
        },
        // The shards replay what comes after it.
        verify_from_checkpoint: true,
        ..Options::default()
    };
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let (log, report) = Log::open_dir(dir.log(), options, clock.now_ms(), random)
        .map_err(|error| match error {
            // The log does not know where its options come from.
            OpenError::PartitionsMismatch { found, wanted, .. } => anyhow!(
                "{} was made with {found} partitions, not {wanted}; set `shards.partitions = {found}`",
                dir.log().display()
            ),
            error => error.into(),
        })
        .context("the event log cannot be opened")?;
    for partition in &report.partitions {
        for corruption in &partition.corruption {
            tracing::error!(
                file = %corruption.file,
                aside = %corruption.quarantine,
                offsets_lost = ?corruption.lost,
                "a damaged segment was put aside; what could be read of it is kept; check the disk, then remove the file put aside"
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
