//! Floor of publishing over TLS: the loop of `epoll_server`, each viewer's bytes through a rustls
//! session of its own before its `send`. No protocol, no log, no sessions, no slow viewers.
//!
//! The publisher speaks without TLS: what is measured is what a viewer costs.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, loopback:
//! 85,000 to 170,000 deliveries per second of processor time to 10,000 viewers.
//!
//! On one of an Intel Xeon the same.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::floors::expected::Expected;

/// Where the deliveries per second of processor time to 10,000 viewers lie on the machine above.
pub const FANOUT_10K_EXPECTED: Expected = Expected::anywhere(85e3..170e3);

/// Bytes taken from the publisher at a time.
const READ_BYTES: usize = 64 * 1024;

/// Serves until the publisher leaves: the first connection publishes, so many others view. Leaves
/// its certificate at a path and says its port on stdout.
///
/// # Panics
/// If the kernel refuses something.
pub fn serve(viewers: usize, certificate: &Path) {
    let config = Arc::new(config(certificate));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("bound").port());
    let accept = || {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket
    };
    let mut publisher = accept();
    let viewer = |_| {
        let mut socket = accept();
        let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a session");
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut socket).expect("a handshake");
        }
        (socket, tls)
    };
    let mut viewers: Vec<(TcpStream, ServerConnection)> = (0..viewers).map(viewer).collect();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = publisher.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return;
        }
        for (socket, tls) in &mut viewers {
            tls.writer().write_all(&buffer[..count]).expect("room");
            while tls.wants_write() {
                tls.write_tls(socket).expect("a viewer that reads");
            }
        }
    }
}

fn config(certificate: &Path) -> ServerConfig {
    let own = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let CertifiedKey { cert, signing_key } = own;
    std::fs::write(certificate, cert.pem()).expect("written");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a fitting key")
}
