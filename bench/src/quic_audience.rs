//! Many viewers on QUIC in one thread: who has the message, who was first, who was last.
//!
//! Ours and the floor are watched by the same code over the same client: stock quinn.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connecting, Connection, Endpoint, TransportConfig};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::audience::Arrival;

/// Viewers that share a socket: what is on its way to them fits its receive buffer.
const VIEWERS_PER_SOCKET: usize = 64;

/// Pause between two signs of life of a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Wait after which what is missing counts as lost, when nothing more has come meanwhile: loopback has
/// dropped it where buffers were full.
const LOST: Duration = Duration::from_millis(500);

/// Bytes of one server stream: a batch.
const STREAM_BYTES_MAX: usize = 1 << 20;

/// Says how many of the updates that are looked for frames bring; the number tells publications
/// apart.
pub type Look = fn(Bytes, u64) -> usize;

/// Who has what is being published right now.
#[derive(Default)]
struct Round {
    number: Cell<u64>,
    updates: Cell<usize>,
    delivered: Cell<usize>,
    began: Cell<Option<Instant>>,
    viewers: Cell<usize>,
    served: Cell<usize>,
    arrival: Cell<Arrival>,
    /// When something of it came last.
    heard: Cell<Option<Instant>>,
    done: Notify,
}

impl Round {
    fn begin(&self, number: u64, updates: usize) {
        self.number.set(number);
        self.updates.set(updates);
        self.delivered.set(0);
        let now = Instant::now();
        self.began.set(Some(now));
        self.heard.set(Some(now));
        self.served.set(0);
    }

    /// A viewer got some of it.
    fn hear(&self, updates: usize) {
        self.delivered.set(self.delivered.get() + updates);
        if updates > 0 {
            self.heard.set(Some(Instant::now()));
        }
    }

    /// Waits until nothing has come for long.
    async fn is_lost(&self) {
        while let Some(left) = self
            .heard
            .get()
            .and_then(|heard| LOST.checked_sub(heard.elapsed()))
        {
            sleep(left).await;
        }
    }

    fn serve(&self) {
        let elapsed = self
            .began
            .get()
            .map(|began| began.elapsed())
            .unwrap_or_default();
        let mut arrival = self.arrival.get();
        if self.served.get() == 0 {
            arrival.first = elapsed;
        }
        arrival.last = elapsed;
        self.arrival.set(arrival);
        self.served.set(self.served.get() + 1);
        if self.served.get() == self.viewers.get() {
            self.done.notify_one();
        }
    }
}

/// All viewers of one server, each a task of the current `LocalSet`.
pub struct QuicAudience {
    round: Rc<Round>,
    look: Look,
}

impl QuicAudience {
    /// Nobody yet.
    pub fn new(look: Look) -> Self {
        Self {
            round: Rc::default(),
            look,
        }
    }

    /// Adds a viewer.
    pub fn add(&mut self, connection: Connection) {
        self.round.viewers.set(self.round.viewers.get() + 1);
        tokio::task::spawn_local(view(connection, Rc::clone(&self.round), self.look));
    }

    /// Publishes so many updates and waits until all viewers have them. `None`: a datagram was
    /// lost on the way.
    pub async fn publish(
        &self,
        number: u64,
        updates: usize,
        publish: impl FnOnce(),
    ) -> Option<Arrival> {
        self.round.begin(number, updates);
        publish();
        let all_served = async {
            // A late end of the publication before may wake this, too.
            while self.round.served.get() < self.round.viewers.get() {
                self.round.done.notified().await;
            }
        };
        tokio::select! {
            () = all_served => Some(self.round.arrival.get()),
            () = self.round.is_lost() => None,
        }
    }

    /// Updates that viewers got of what was published last.
    pub fn delivered(&self) -> usize {
        self.round.delivered.get()
    }
}

/// Takes all that comes to one viewer.
async fn view(connection: Connection, round: Rc<Round>, look: Look) {
    let (mut number, mut got) = (0, 0);
    loop {
        let frames = tokio::select! {
            datagram = connection.read_datagram() => datagram.ok(),
            stream = connection.accept_uni() => match stream {
                Ok(mut stream) => stream.read_to_end(STREAM_BYTES_MAX).await.ok().map(Bytes::from),
                Err(_) => None,
            },
        };
        let Some(frames) = frames else {
            return;
        };
        if number != round.number.get() {
            (number, got) = (round.number.get(), 0);
        }
        let (had, updates) = (got, round.updates.get());
        let fresh = look(frames, number);
        got += fresh;
        round.hear(fresh);
        if had < updates && got >= updates {
            round.serve();
        }
    }
}

/// Sockets for so many viewers of one server.
pub struct Sockets {
    endpoints: Vec<Endpoint>,
    connected: usize,
    to: SocketAddr,
}

impl Sockets {
    /// Believes the certificate in that file, and speaks that protocol.
    ///
    /// # Panics
    /// If there is no certificate, or the system has no sockets.
    pub fn new(to: SocketAddr, certificate: &Path, alpn: &[u8], viewers: usize) -> Self {
        let config = config(certificate, alpn);
        let endpoint = |_| {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut endpoint = Endpoint::client(any).expect("a socket");
            endpoint.set_default_client_config(config.clone());
            endpoint
        };
        let endpoints = (0..viewers.div_ceil(VIEWERS_PER_SOCKET)).map(endpoint);
        Self {
            endpoints: endpoints.collect(),
            connected: 0,
            to,
        }
    }

    /// The next connection.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn connect(&mut self) -> Connection {
        self.begin().await.expect("a handshake")
    }

    /// Begins the next connection.
    ///
    /// # Panics
    /// If there is no descriptor left.
    pub fn begin(&mut self) -> Connecting {
        let endpoint = &self.endpoints[self.connected % self.endpoints.len()];
        self.connected += 1;
        endpoint.connect(self.to, "localhost").expect("an endpoint")
    }
}

fn config(certificate: &Path, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate).expect("a PEM file") {
        roots
            .add(certificate.expect("a certificate"))
            .expect("one that can be a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3 is there");
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}
