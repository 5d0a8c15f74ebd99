//! Nothing is taken from a client before its handshake is done: what is sent with a ticket, ahead of all round
//! trips, anybody who has heard it can send again. Clients are not told that they may, and who offers it
//! all the same is not heard before.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig as QuinnConfig, Endpoint};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, StreamOwned};
use skein_tests::cores::Cores;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::{tls, web_session};
use skein_wire::limits::ALPN;

/// Tickets of a client, and what it makes of them.
#[derive(Debug)]
struct Tickets {
    cache: ClientSessionMemoryCache,
    /// Each says that data may come early, whatever the server wrote into it.
    forged: bool,
    given: AtomicUsize,
    used: AtomicUsize,
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.cache.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.cache.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.cache.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.cache.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.cache.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.cache.insert_tls13_ticket(server, value);
        self.given.fetch_add(1, Ordering::SeqCst);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut ticket = self.cache.take_tls13_ticket(server)?;
        self.used.fetch_add(1, Ordering::SeqCst);
        if self.forged {
            // What QUIC asks for, and more than enough for TCP.
            ticket._private_set_max_early_data_size(u32::MAX);
        }
        Some(ticket)
    }
}

/// A client that sends early whenever its ticket lets it.
fn client(alpn: &[u8], forged: bool) -> (Arc<ClientConfig>, Arc<Tickets>) {
    let tickets = Arc::new(Tickets {
        cache: ClientSessionMemoryCache::new(8),
        forged,
        given: AtomicUsize::new(0),
        used: AtomicUsize::new(0),
    });
    let mut config = ClientConfig::clone(&tls::any_certificate(alpn));
    config.enable_early_data = true;
    config.resumption = Resumption::store(tickets.clone());
    (Arc::new(config), tickets)
}

/// What became of data that could have gone early.
#[derive(Debug, PartialEq, Eq)]
enum Early {
    NotOffered,
    Refused,
    Taken,
}

/// One request over TLS; whether the ticket of the one before was good, and what became of the request
/// that went ahead.
fn over_tcp(config: &Arc<ClientConfig>, to: SocketAddr) -> (Option<HandshakeKind>, Early) {
    const REQUEST: &[u8] = b"GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let name = ServerName::try_from("localhost").expect("a name");
    let mut connection = ClientConnection::new(config.clone(), name).expect("a configuration");
    let offered = connection.early_data().is_some_and(|mut early| {
        early.write_all(REQUEST).expect("there is room");
        true
    });
    let socket = TcpStream::connect(to).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("an option");
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .expect("a handshake");
    }
    let early = match (offered, stream.conn.is_early_data_accepted()) {
        (false, _) => Early::NotOffered,
        (true, false) => Early::Refused,
        (true, true) => Early::Taken,
    };
    if early != Early::Taken {
        stream.write_all(REQUEST).expect("sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    // The request counts once: early it was not heard.
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    (stream.conn.handshake_kind(), early)
}

/// One connection by QUIC.
async fn over_quic(config: &Arc<ClientConfig>, to: SocketAddr, tickets: &Tickets) -> Early {
    let crypto = QuicClientConfig::try_from(config.clone()).expect("TLS 1.3 is there");
    let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    endpoint.set_default_client_config(QuinnConfig::new(Arc::new(crypto)));
    let (given, connecting) = (
        tickets.given.load(Ordering::SeqCst),
        endpoint.connect(to, "localhost").expect("an address"),
    );
    let (connection, early) = match connecting.into_0rtt() {
        Ok((connection, accepted)) => match accepted.await {
            true => (connection, Early::Taken),
            false => (connection, Early::Refused),
        },
        Err(connecting) => (connecting.await.expect("a handshake"), Early::NotOffered),
    };
    // The ticket for the next one comes behind the handshake.
    let came = async {
        while tickets.given.load(Ordering::SeqCst) == given {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, came).await;
    came.expect("a ticket");
    drop(connection);
    early
}

fn server() -> Server {
    let mut options = Options::new(Cores::One);
    options.https = true;
    Server::start_with(options)
}

#[test]
fn nothing_comes_early_by_tcp() {
    let server = server();
    let https = server.ready.https.expect("it listens there");
    for (forged, expected) in [(false, Early::NotOffered), (true, Early::Refused)] {
        let (config, tickets) = client(b"http/1.1", forged);
        let first = over_tcp(&config, https);
        assert_eq!(first, (Some(HandshakeKind::Full), Early::NotOffered));
        wait::until("a ticket", PATIENCE, || {
            tickets.given.load(Ordering::SeqCst) > 0
        });
        let second = over_tcp(&config, https);
        assert_eq!(
            second,
            (Some(HandshakeKind::Resumed), expected),
            "forged: {forged}"
        );
    }
}

#[test]
fn nothing_comes_early_by_quic() {
    let server = server();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for alpn in [ALPN, web_session::ALPN] {
        for (forged, expected) in [(false, Early::NotOffered), (true, Early::Refused)] {
            let (config, tickets) = client(alpn, forged);
            let twice = runtime.block_on(async {
                let first = over_quic(&config, server.ready.quic, &tickets).await;
                (first, over_quic(&config, server.ready.quic, &tickets).await)
            });
            assert_eq!(twice, (Early::NotOffered, expected), "forged: {forged}");
            assert_eq!(tickets.used.load(Ordering::SeqCst), 1, "it had a ticket");
        }
    }
}
