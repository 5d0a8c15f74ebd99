//! Floor of publishing over QUIC: stock quinn on one thread, what one connection brings as a
//! datagram goes to all others as a datagram each. No protocol, no log, no sessions.
//!
//! It is the least that a server built on quinn does, with the same certificates, encryption and
//! acknowledgements as ours.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, loopback: the
//! first viewer after 180 to 360 us (median); 45,000 to 90,000 deliveries per second of processor
//! time.
//!
//! On one of an Intel Xeon the same. High percentiles are what neighbours take of a shared machine: 0.35 to 2 ms at the 99th.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, ServerConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::floors::expected::Expected;

/// Where the first viewer's time lies on the machine above, microseconds: the median.
pub const FIRST_P50: Expected = Expected::anywhere(180.0..360.0);
/// Its 99th percentile.
pub const FIRST_P99: Expected = Expected::anywhere(350.0..2_000.0);
/// Where the time of the last of 1,000 viewers lies, microseconds: the median.
pub const LAST_1000_P50: Expected = Expected::anywhere(10_000.0..30_000.0);
/// Its 99th percentile.
pub const LAST_1000_P99: Expected = Expected::anywhere(12_000.0..45_000.0);
/// Its 99.9th percentile.
pub const LAST_1000_P999: Expected = Expected::anywhere(12_000.0..60_000.0);
/// Where the deliveries per second of processor time lie.
pub const FANOUT: Expected = Expected::anywhere(45e3..90e3);

/// The protocol that it speaks.
pub const ALPN: &[u8] = b"floor";

/// Serves until the publisher leaves: the first connection publishes, so many others view. Leaves
/// its certificate at a path and says its port on stdout.
///
/// # Panics
/// If the system refuses something.
pub async fn serve(viewers: usize, certificate: &Path) {
    let endpoint = Endpoint::server(config(certificate), SocketAddr::from(([127, 0, 0, 1], 0)));
    let endpoint = endpoint.expect("a socket");
    println!("{}", endpoint.local_addr().expect("bound").port());
    let publisher = accept(&endpoint).await;
    let mut all = Vec::new();
    while all.len() < viewers {
        all.push(accept(&endpoint).await);
    }
    while let Ok(datagram) = publisher.read_datagram().await {
        for viewer in &all {
            // A viewer that has left is nobody's business here.
            let _ = viewer.send_datagram(datagram.clone());
        }
    }
}

async fn accept(endpoint: &Endpoint) -> Connection {
    let incoming = endpoint.accept().await.expect("an open endpoint");
    incoming.await.expect("a handshake")
}

fn config(certificate: &Path) -> ServerConfig {
    let own = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let CertifiedKey { cert, signing_key } = own;
    std::fs::write(certificate, cert.pem()).expect("written");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a fitting key");
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("TLS 1.3 is there");
    ServerConfig::with_crypto(Arc::new(crypto))
}
