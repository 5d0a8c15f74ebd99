//! The one line on stdout that says where the server listens.

use std::net::SocketAddr;

use anyhow::Context;
use serde::Serialize;
use skein_log::LogId;

use crate::edge::bind::Addresses;
use crate::edge::certificate::CertificateStore;

/// Printed once, when everything is bound and recovered. Ports are the ones really bound.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Always true: the line appears only then.
    pub ready: bool,
    /// QUIC (UDP).
    pub quic: SocketAddr,
    /// HTTP and WebSocket without TLS.
    pub http: SocketAddr,
    /// HTTP and WebSocket over TLS, where offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// SHA-256 of the certificate that pages in a browser get over QUIC, for their
    /// `serverCertificateHashes`; with `--dev` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser_sha256: Option<String>,
    /// The control API.
    pub control: SocketAddr,
    /// Identity of the log, part of every cursor.
    pub log: String,
    /// Number of shards.
    pub shards: usize,
    /// Where a relay has its chats from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Process id, for those who stop it with a signal.
    pub pid: u32,
    /// Version of the server.
    pub version: &'static str,
}

impl Ready {
    /// Of a server.
    ///
    /// # Errors
    /// When the shards listen nowhere: a fault of the build.
    pub(crate) fn new(
        shards: &Addresses,
        control: SocketAddr,
        certificates: &CertificateStore,
        log: LogId,
        shard_count: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            ready: true,
            quic: shards.quic.context("QUIC is not bound")?,
            http: shards.http.context("HTTP is not bound")?,
            https: shards.https,
            browser_sha256: certificates.browser_sha256(),
            control,
            log: log.to_string(),
            shards: shard_count,
            upstream: None,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Of a relay, with where it has its chats from.
    pub(crate) fn with_upstream(mut self, upstream: String) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// The line, without its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("plain data has a JSON form")
    }
}
