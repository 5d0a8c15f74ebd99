//! The one line on stdout that says where the server listens.

use std::net::SocketAddr;

use serde::Serialize;

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
    /// The line, without its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("plain data has a JSON form")
    }
}
