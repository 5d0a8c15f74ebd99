//! A QUIC client made of quinn, without the client library's good manners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use skein_wire::frame::decode_update;
use skein_wire::limits::{ALPN, SERVER_FRAME_BYTES_MAX};
use skein_wire::splitter::Splitter;
use skein_wire::update::Update;
use tokio::runtime::Runtime;

use crate::harness::{PATIENCE, TestEdge};

/// A connected client and the runtime it lives in.
pub struct QuicClient {
    pub endpoint: Endpoint,
    pub connection: Connection,
    pub control: SendStream,
    answers: RecvStream,
    splitter: Splitter,
    // Last: connections end before their runtime does.
    runtime: Arc<Runtime>,
}

impl QuicClient {
    /// Connects and opens the control stream, which the server sees with the first bytes.
    pub fn open(edge: &TestEdge) -> Self {
        Self::open_with(edge, |_| {})
    }

    /// The same with other limits.
    pub fn open_with(edge: &TestEdge, set: impl FnOnce(&mut TransportConfig)) -> Self {
        let runtime = Arc::new(
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        );
        let (to, config) = (edge.quic(), config(&edge.certificate(), set));
        let (endpoint, connection, control, answers) = runtime.block_on(async {
            let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            endpoint.set_default_client_config(config);
            let connecting = endpoint.connect(to, "localhost").unwrap();
            let connection = connecting.await.unwrap();
            let (control, answers) = connection.open_bi().await.unwrap();
            (endpoint, connection, control, answers)
        });
        Self {
            endpoint,
            connection,
            control,
            answers,
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
            runtime,
        }
    }

    /// Writes to the control stream.
    pub fn write(&mut self, bytes: &[u8]) {
        self.runtime
            .clone()
            .block_on(self.control.write_all(bytes))
            .unwrap();
    }

    /// Waits for something of the connection.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, future)
                .await
                .expect("an answer in time")
        })
    }

    /// The next frame on the control stream; `None` at its end.
    pub fn update(&mut self) -> Option<Update> {
        let runtime = Arc::clone(&self.runtime);
        loop {
            if let Some(frame) = self.splitter.next_frame().unwrap() {
                return decode_update(frame).unwrap();
            }
            let read = self.answers.read_chunk(4_096, true);
            let read = runtime.block_on(async { tokio::time::timeout(PATIENCE, read).await });
            match read.expect("an answer in time") {
                Ok(Some(chunk)) => self.splitter.push(&chunk.bytes),
                _ => return None,
            }
        }
    }

    /// The next datagram.
    pub fn datagram(&self) -> Bytes {
        self.wait(self.connection.read_datagram()).unwrap()
    }

    /// All of the next stream.
    pub fn stream(&self) -> Vec<u8> {
        self.wait(async {
            let mut stream = self.connection.accept_uni().await.unwrap();
            stream.read_to_end(1 << 20).await.unwrap()
        })
    }

    /// Sends frames on a stream of their own.
    pub fn send_stream(&self, bytes: &[u8]) {
        self.wait(async {
            let mut stream = self.connection.open_uni().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.finish().unwrap();
        });
    }
}

/// A configuration that trusts the certificate.
pub fn config(certificate: &[u8], set: impl FnOnce(&mut TransportConfig)) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(8))
        .keep_alive_interval(Some(Duration::from_secs(5)));
    set(&mut transport);
    config.transport_config(Arc::new(transport));
    config
}
