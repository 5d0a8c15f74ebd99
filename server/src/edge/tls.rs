//! TLS for TCP and for QUIC: one certificate, one set of ticket keys for all shards.

use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use skein_wire::limits::{ALPN, WEBTRANSPORT_ALPN};

use crate::edge::certificate::CertificateStore;
use crate::edge::error::EdgeError;

/// Session tickets sent after a handshake: one is enough for one resumption.
const TICKETS: usize = 1;

/// What the listeners of all shards share.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For `https` and `wss`.
    pub tcp: Arc<ServerConfig>,
    /// For QUIC, TLS 1.3 only, without early data.
    pub quic: Arc<ServerConfig>,
}

impl Tls {
    /// Both configurations over one certificate.
    ///
    /// # Errors
    /// When the crypto library cannot make ticket keys.
    pub fn new(certificates: &Arc<CertificateStore>) -> Result<Self, EdgeError> {
        let versions = [&TLS13, &TLS12];
        Ok(Self {
            tcp: Arc::new(config(certificates, &versions, &[b"http/1.1"])?),
            quic: Arc::new(config(
                certificates,
                &versions[..1],
                &[ALPN, WEBTRANSPORT_ALPN],
            )?),
        })
    }

    /// The QUIC configuration as the QUIC library wants it.
    pub fn quic_crypto(&self) -> Arc<QuicServerConfig> {
        let config = QuicServerConfig::try_from(Arc::clone(&self.quic));
        Arc::new(config.expect("TLS 1.3 has the cipher suite of QUIC's first packets"))
    }
}

fn config(
    certificates: &Arc<CertificateStore>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<ServerConfig, rustls::Error> {
    let resolver: Arc<dyn ResolvesServerCert> = certificates.clone();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(certificates.provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // Tickets carry the session: the server keeps nothing, and any shard can resume it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = TICKETS;
    // What comes ahead of the handshake can be sent again by anybody who has heard it.
    config.max_early_data_size = 0;
    Ok(config)
}
