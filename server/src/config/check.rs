//! Relations between values that types cannot express.

use std::net::SocketAddr;

use skein_client::server_url::{Scheme, ServerUrl};
use skein_engine::limits::DURATION_S_CEILING;
use skein_wire::limits::TRAIL_POINTS_MAX;

use crate::config::error::ConfigError;
use crate::config::limits::{PARTITIONS_MAX, WEBHOOK_URLS_MAX};
use crate::config::settings::Config;
use crate::config::span::Span;
use crate::http_call;

/// Longest that a stop waits for clients, milliseconds: supervisors kill what takes longer.
const STOP_LINGER_MS_MAX: u64 = 60_000;

/// Commands are kept for a second at least: a quarter of it is how often checkpoints are written.
const CONTROL_RETENTION_AGE_MS_MIN: u64 = 1_000;

/// Smallest and largest segment, bytes: below, headers and descriptors outweigh the data; above,
/// retention becomes too coarse.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 256 * 1024..=1024 * 1024 * 1024;

/// Least memory of a shard, bytes: below, a few chats fill it.
pub const MEMORY_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Shortest and longest time between two rows of a session: below, the log itself is the history;
/// above, a row tells nothing.
const HISTORY_EVERY: std::ops::RangeInclusive<Span> = Span::seconds(1)..=Span::seconds(86_400);

/// Shortest and longest time for which rows are kept: a minute, ten years.
const HISTORY_RETAIN: std::ops::RangeInclusive<Span> =
    Span::seconds(60)..=Span::seconds(10 * 366 * 86_400);

/// Shortest and longest time between two fetches of a JWK set: below, the issuer is a burden; above, a
/// withdrawn key is good for too long.
const JWKS_INTERVAL: std::ops::RangeInclusive<Span> = Span::seconds(10)..=Span::seconds(86_400);

/// How often a batch may be tried: a thousand tries are more than three days.
const WEBHOOK_TRIES: std::ops::RangeInclusive<u32> = 1..=1_000;

/// How much clocks may differ at most: beyond it expiry means little.
const CLOCK_SKEW: std::ops::RangeInclusive<Span> = Span::seconds(0)..=Span::seconds(300);

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the key and the remedy; the first one found.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_listen()?;
        self.check_shards()?;
        self.check_log()?;
        self.check_thinning()?;
        self.check_history()?;
        self.check_views()?;
        self.check_webhook()?;
        self.check_limits()?;
        self.check_tokens()?;
        self.check_relay()?;
        self.check_access()
    }

    fn check_listen(&self) -> Result<(), ConfigError> {
        let addresses = [
            ("listen.quic", Some(self.listen.quic)),
            ("listen.http", Some(self.listen.http)),
            ("listen.https", self.listen.https),
            ("listen.control", Some(self.listen.control)),
        ];
        for (key, address) in addresses {
            let outside = address.filter(|address| self.dev && !address.ip().is_loopback());
            if let Some(address) = outside {
                return invalid(
                    key,
                    format!(
                        "{address} is not a loopback address, and dev mode is for this machine only; \
                     use 127.0.0.1 or leave dev mode"
                    ),
                );
            }
        }
        let tcp: Vec<(&'static str, SocketAddr)> = addresses[1..]
            .iter()
            .filter_map(|&(key, address)| Some((key, address?)))
            .collect();
        for (index, (key, address)) in tcp.iter().enumerate() {
            let taken = tcp[..index]
                .iter()
                .find(|(_, other)| other == address && other.port() != 0);
            if let Some((other, _)) = taken {
                return invalid(
                    key,
                    format!("{address} is also the value of `{other}`; use another port"),
                );
            }
        }
        Ok(())
    }

    fn check_thinning(&self) -> Result<(), ConfigError> {
        if self.log.thin_after_ms > 0 && self.log.thin_every_ms == 0 {
            return invalid(
                "log.thin_every_ms",
                "0 would keep every point; set an interval, or leave `thin_after_ms` at 0"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_shards(&self) -> Result<(), ConfigError> {
        let partitions = self.shards.partitions;
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return invalid(
                "shards.partitions",
                format!("{partitions} is not within 1 to {PARTITIONS_MAX}"),
            );
        }
        let linger_ms = self.shards.stop_linger_ms;
        if linger_ms > STOP_LINGER_MS_MAX {
            return invalid(
                "shards.stop_linger_ms",
                format!("{linger_ms} is not within 0 to {STOP_LINGER_MS_MAX}"),
            );
        }
        Ok(())
    }

    fn check_log(&self) -> Result<(), ConfigError> {
        let bytes = self.log.segment_bytes_max;
        if !SEGMENT_BYTES.contains(&bytes) {
            return invalid(
                "log.segment_bytes_max",
                format!(
                    "{bytes} is not within {} to {}",
                    SEGMENT_BYTES.start(),
                    SEGMENT_BYTES.end()
                ),
            );
        }
        if self.log.sync_interval_ms == 0 {
            return invalid(
                "log.sync_interval_ms",
                "0 would sync without a pause; use 1 or more".to_owned(),
            );
        }
        let age_ms = self.log.control_retention_age_ms;
        if age_ms > 0 && age_ms < CONTROL_RETENTION_AGE_MS_MIN {
            return invalid(
                "log.control_retention_age_ms",
                format!("{age_ms} is neither 0 nor {CONTROL_RETENTION_AGE_MS_MIN} or more"),
            );
        }
        Ok(())
    }

    fn check_history(&self) -> Result<(), ConfigError> {
        let history = &self.history;
        for (key, value, range) in [
            ("history.every", history.every, HISTORY_EVERY),
            ("history.retain", history.retain, HISTORY_RETAIN),
        ] {
            if !range.contains(&value) {
                return invalid(
                    key,
                    format!("{value} is not within {} to {}", range.start(), range.end()),
                );
            }
        }
        if history.retain < history.every {
            return invalid(
                "history.retain",
                format!(
                    "{} is shorter than `history.every`; rows would be gone before the next one",
                    history.retain
                ),
            );
        }
        Ok(())
    }

    fn check_views(&self) -> Result<(), ConfigError> {
        let retain = self.views.retain;
        if self.views.is_on() && !HISTORY_RETAIN.contains(&retain) {
            return invalid(
                "views.retain",
                format!(
                    "{retain} is neither 0 nor within {} to {}",
                    HISTORY_RETAIN.start(),
                    HISTORY_RETAIN.end()
                ),
            );
        }
        Ok(())
    }

    fn check_webhook(&self) -> Result<(), ConfigError> {
        let webhook = &self.webhook;
        for (index, url) in webhook.urls.iter().enumerate() {
            if let Err(problem) = http_call::address(url) {
                return invalid("webhook.urls", problem.to_owned());
            }
            if webhook.urls[..index].contains(url) {
                return invalid("webhook.urls", "an address is named twice".to_owned());
            }
        }
        if webhook.urls.len() > WEBHOOK_URLS_MAX {
            return invalid(
                "webhook.urls",
                format!(
                    "{} addresses are more than {WEBHOOK_URLS_MAX}",
                    webhook.urls.len()
                ),
            );
        }
        if !webhook.urls.is_empty() && webhook.secret.is_none() {
            return invalid(
                "webhook.secret",
                "no file is named, and requests are always signed; make one with `openssl rand -hex 32`".to_owned(),
            );
        }
        if !WEBHOOK_TRIES.contains(&webhook.tries_max) {
            return invalid(
                "webhook.tries_max",
                format!(
                    "{} is not within {} to {}",
                    webhook.tries_max,
                    WEBHOOK_TRIES.start(),
                    WEBHOOK_TRIES.end()
                ),
            );
        }
        if !HISTORY_RETAIN.contains(&webhook.dead_retain) {
            return invalid(
                "webhook.dead_retain",
                format!(
                    "{} is not within {} to {}",
                    webhook.dead_retain,
                    HISTORY_RETAIN.start(),
                    HISTORY_RETAIN.end()
                ),
            );
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let ranges = [
            (
                "limits.duration_s_max",
                u64::from(limits.duration_s_max),
                1,
                u64::from(DURATION_S_CEILING),
            ),
            (
                "limits.sessions_per_user_max",
                limits.sessions_per_user_max as u64,
                1,
                1_000,
            ),
            (
                "limits.sessions_per_chat_max",
                limits.sessions_per_chat_max as u64,
                1,
                1_000_000,
            ),
            (
                "limits.watches_per_connection_max",
                limits.watches_per_connection_max as u64,
                1,
                1_024,
            ),
            (
                "limits.shares_per_connection_max",
                limits.shares_per_connection_max as u64,
                1,
                1_024,
            ),
            (
                "limits.stale_after_ms",
                limits.stale_after_ms,
                1_000,
                3_600_000,
            ),
            (
                "limits.points_per_second_max",
                u64::from(limits.points_per_second_max),
                1,
                10_000,
            ),
            (
                "limits.points_burst_max",
                u64::from(limits.points_burst_max),
                1,
                100_000,
            ),
            (
                "limits.trail_points",
                limits.trail_points as u64,
                1,
                TRAIL_POINTS_MAX as u64,
            ),
            (
                "limits.tombstones_per_chat_max",
                limits.tombstones_per_chat_max as u64,
                1,
                10_000_000,
            ),
            (
                "limits.tombstone_age_ms_max",
                limits.tombstone_age_ms_max,
                1_000,
                30 * 24 * 3_600_000,
            ),
            (
                "limits.floor_interval_ms_max",
                limits.floor_interval_ms_max,
                0,
                60_000,
            ),
            (
                "limits.address_requests_per_second_max",
                u64::from(limits.address_requests_per_second_max),
                0,
                1_000_000,
            ),
            (
                "limits.address_requests_burst_max",
                u64::from(limits.address_requests_burst_max),
                1,
                1_000_000,
            ),
            (
                "limits.user_requests_per_second_max",
                u64::from(limits.user_requests_per_second_max),
                0,
                1_000_000,
            ),
            (
                "limits.user_requests_burst_max",
                u64::from(limits.user_requests_burst_max),
                1,
                1_000_000,
            ),
            (
                "limits.memory_bytes_max",
                limits.memory_bytes_max as u64,
                MEMORY_BYTES_MIN,
                u64::MAX,
            ),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return invalid(key, format!("{value} is not within {min} to {max}"));
            }
        }
        Ok(())
    }

    fn check_relay(&self) -> Result<(), ConfigError> {
        let relay = &self.relay;
        let Some(upstream) = &relay.upstream else {
            return Ok(());
        };
        let server: ServerUrl = match upstream.parse() {
            Ok(server) => server,
            Err(error) => return invalid("relay.upstream", format!("{error}")),
        };
        if relay.token.is_none() {
            return invalid(
                "relay.token",
                "the upstream wants to know who relays; name a file with the output of `skein token --relay`"
                    .to_owned(),
            );
        }
        let is_open = server.scheme == Scheme::Ws;
        if !is_open && relay.ca.is_none() && !relay.insecure {
            return invalid(
                "relay.ca",
                "nothing says which certificate of the upstream to trust; name its PEM file, or set relay.insecure"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), ConfigError> {
        let access = &self.access;
        if let Err(problem) = access.jwks_source() {
            return invalid("access.jwks", problem.to_owned());
        }
        for (key, value, range) in [
            ("access.jwks_interval", access.jwks_interval, JWKS_INTERVAL),
            ("access.clock_skew", access.clock_skew, CLOCK_SKEW),
        ] {
            if !range.contains(&value) {
                return invalid(
                    key,
                    format!("{value} is not within {} to {}", range.start(), range.end()),
                );
            }
        }
        if access.audience.is_empty() {
            return invalid(
                "access.audience",
                "empty would let in tokens that are meant for others; name this server".to_owned(),
            );
        }
        Ok(())
    }

    fn check_access(&self) -> Result<(), ConfigError> {
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return invalid(
                "tls.cert",
                "certificate and key go together; set both `tls.cert` and `tls.key`".to_owned(),
            );
        }
        if self.control.client_crl.is_some() && self.control.client_ca.is_none() {
            return invalid(
                "control.client_crl",
                "without `control.client_ca` callers need no certificate; set both".to_owned(),
            );
        }
        if self.control.cert.is_some() != self.control.key.is_some() {
            return invalid(
                "control.cert",
                "certificate and key go together; set both `control.cert` and `control.key`"
                    .to_owned(),
            );
        }
        if self.dev {
            return Ok(());
        }
        if self.tls.cert.is_none() {
            return invalid("tls.cert", "no certificate is named; set `tls.cert` and `tls.key`, or use --dev for a self-signed one".to_owned());
        }
        if self.access.control_token.is_none() {
            return invalid(
                "access.control_token",
                "no file is named; set it or --control-token, or use --dev".to_owned(),
            );
        }
        Ok(())
    }
}

fn invalid(key: &'static str, problem: String) -> Result<(), ConfigError> {
    Err(ConfigError::Invalid { key, problem })
}
