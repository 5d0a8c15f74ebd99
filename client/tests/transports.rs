//! The whole client over real sockets on loopback, against a server that follows a script: an
//! interruption is mended with the cursor, a share goes on and ends, a refusal is final.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use quinn::crypto::rustls::QuicServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use skein_client::change::Event;
use skein_client::connect::ConnectOptions;
use skein_client::error::ClientError;
use skein_client::sender::Sender;
use skein_client::sender_state::{SenderEvent, SenderOptions};
use skein_client::trust::Trust;
use skein_client::viewer::{Viewer, ViewerEvent};
use skein_client::viewer_state::WatchOptions;
use skein_wire::error::Code;
use skein_wire::frame::{decode_request, encode_update};
use skein_wire::ids::{Counter, SessionId, ShareNumber};
use skein_wire::limits::{ALPN, CLIENT_FRAME_BYTES_MAX};
use skein_wire::point::{Fix, Position};
use skein_wire::request::{Delivery, Request};
use skein_wire::splitter::Splitter;
use skein_wire::update::{Accepted, Done, Goodbye, SessionState, Shared, Update};
use support::{Server, chat, watching, welcome};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

/// Longest time that any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The listening end.
enum Listener {
    Quic(quinn::Endpoint),
    WebSocket(TcpListener),
}

/// The server's end of a connection.
enum Peer {
    Quic {
        quic: quinn::Connection,
        send: quinn::SendStream,
        receive: quinn::RecvStream,
        splitter: Splitter,
    },
    WebSocket {
        socket: WebSocketStream<TcpStream>,
        splitter: Splitter,
    },
}

impl Listener {
    /// Listens and says how to reach it.
    async fn start(scheme: &str) -> (Self, ConnectOptions) {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (listener, port, trust) = match scheme {
            "quic" => {
                let (config, trust) = quic_config();
                let endpoint = quinn::Endpoint::server(config, any).expect("a socket");
                let port = endpoint.local_addr().expect("bound").port();
                (Self::Quic(endpoint), port, trust)
            }
            _ => {
                let listener = TcpListener::bind(any).await.expect("a socket");
                let port = listener.local_addr().expect("bound").port();
                (Self::WebSocket(listener), port, Trust::Nobody)
            }
        };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut options = ConnectOptions::new(url.parse().expect("an address"), "a token");
        options.trust = trust;
        (listener, options)
    }

    /// The next connection, once it has said hello.
    async fn accept(&self) -> Peer {
        let splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
        let mut peer = match self {
            Self::Quic(endpoint) => {
                let incoming = endpoint.accept().await.expect("a connection");
                let quic = incoming.await.expect("a handshake");
                let (send, receive) = quic.accept_bi().await.expect("a control stream");
                Peer::Quic {
                    quic,
                    send,
                    receive,
                    splitter,
                }
            }
            Self::WebSocket(listener) => {
                let (stream, _) = listener.accept().await.expect("a connection");
                let builder = ServerBuilder::new().add_header(
                    http::header::SEC_WEBSOCKET_PROTOCOL,
                    http::HeaderValue::from_static("skein.v1"),
                );
                let builder = builder.expect("a header");
                let (request, socket) = builder.accept(stream).await.expect("an upgrade");
                assert_eq!(request.uri().path(), "/v1/ws");
                Peer::WebSocket { socket, splitter }
            }
        };
        match peer.receive().await {
            Some(Request::Hello(hello)) => assert_eq!(hello.token.0, "a token"),
            other => panic!("not a hello: {other:?}"),
        }
        peer
    }
}

fn quic_config() -> (quinn::ServerConfig, Trust) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.expect("a key"))
        .expect("a pair");
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("suites");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    (config, Trust::Roots(vec![certificate]))
}

impl Peer {
    /// The next request that is not a keep-alive; `None` at the end.
    async fn receive(&mut self) -> Option<Request> {
        loop {
            match self.receive_any().await? {
                Request::Ping(number) => {
                    let pong = skein_wire::update::Pong {
                        number,
                        server_time_ms: 1_000_000,
                    };
                    self.send(&Update::Pong(pong)).await;
                }
                Request::Cursor(_) | Request::Heartbeat(_) => {}
                other => return Some(other),
            }
        }
    }

    async fn receive_any(&mut self) -> Option<Request> {
        loop {
            let (Self::Quic { splitter, .. } | Self::WebSocket { splitter, .. }) = self;
            if let Some(frame) = splitter.next_frame().expect("frames") {
                return Some(decode_request(&frame).expect("well-formed").expect("known"));
            }
            match self {
                Self::Quic {
                    receive, splitter, ..
                } => {
                    let chunk = receive.read_chunk(4_096, true).await.ok().flatten()?;
                    splitter.push(&chunk.bytes);
                }
                Self::WebSocket { socket, splitter } => {
                    let message = socket.next().await?.ok()?;
                    if message.is_close() {
                        return None;
                    }
                    splitter.push(message.as_payload());
                }
            }
        }
    }

    async fn send(&mut self, update: &Update) {
        let bytes = encoded(update);
        match self {
            Self::Quic { send, .. } => send.write_chunk(bytes).await.expect("taken"),
            Self::WebSocket { socket, .. } => {
                socket.send(Message::binary(bytes)).await.expect("taken");
            }
        }
    }

    /// Batches go past the control stream on QUIC: as a datagram or on a stream of their own.
    async fn send_batch(&mut self, update: &Update, as_datagram: bool) {
        let Self::Quic { quic, .. } = self else {
            return self.send(update).await;
        };
        let bytes = encoded(update);
        if as_datagram {
            quic.send_datagram(bytes).expect("room");
        } else {
            let mut stream = quic.open_uni().await.expect("a stream");
            stream.write_chunk(bytes).await.expect("taken");
            stream.finish().expect("open");
        }
    }

    async fn watch(&mut self) -> skein_wire::request::Watch {
        match self.receive().await {
            Some(Request::Watch(watch)) => watch,
            other => panic!("not a watch: {other:?}"),
        }
    }
}

fn encoded(update: &Update) -> Bytes {
    let mut bytes = Vec::new();
    encode_update(update, &mut bytes);
    bytes.into()
}

/// Short text of the next event.
async fn next(viewer: &mut Viewer) -> String {
    let event = tokio::time::timeout(PATIENCE, viewer.next()).await;
    match event.expect("in time").expect("no refusal") {
        Some(ViewerEvent::Change(change)) => match change.event {
            Event::Started { .. } => "started".to_owned(),
            Event::Point { point, .. } => format!("point {}", point.counter),
            other => format!("{other:?}"),
        },
        Some(ViewerEvent::Online) => "online".to_owned(),
        Some(ViewerEvent::Doubtful) => "doubtful".to_owned(),
        Some(ViewerEvent::Answered) => "answered".to_owned(),
        Some(ViewerEvent::UpstreamLost { .. }) => "upstream lost".to_owned(),
        Some(ViewerEvent::UpstreamBack) => "upstream back".to_owned(),
        Some(ViewerEvent::Offline { why, .. }) => match why {
            ClientError::Closed { code, .. } => format!("offline {code}"),
            other => format!("offline: {other}"),
        },
        None => "over".to_owned(),
    }
}

async fn delivery(scheme: &str) {
    let (listener, options) = Listener::start(scheme).await;
    let script = tokio::spawn(async move {
        let mut server = Server::new(Delivery::Every, 32);
        let slot = server.start();
        let mut peer = listener.accept().await;
        peer.send(&welcome()).await;
        let watch = peer.watch().await;
        peer.send(&watching(watch.request, 1, 0)).await;
        peer.send_batch(&server.batch(0, None)[0], false).await;
        for as_datagram in [true, false, true] {
            let from = server.head;
            server.publish(slot, 1);
            let batch = server.batch(from, None);
            peer.send_batch(&batch[0], as_datagram).await;
        }
        // What overtakes another shows a gap and is asked for.
        while let Some(request) = peer.receive_any().await {
            if let Request::Cursor(report) = request {
                let repair = server.batch(report.offset, None);
                peer.send_batch(&repair[0], false).await;
            }
        }
    });
    let mut viewer = Viewer::connect(options).await.expect("a connection");
    let mut watch = WatchOptions::new(chat());
    watch.delivery = Delivery::Every;
    viewer.watch(watch);
    for expect in ["started", "point 1", "point 2", "point 3"] {
        assert_eq!(next(&mut viewer).await, expect, "{scheme}");
    }
    viewer.close().await;
    let ended = tokio::time::timeout(PATIENCE, script).await;
    ended.expect("a farewell").expect("the script");
}

async fn reconnect(scheme: &str) {
    let (listener, options) = Listener::start(scheme).await;
    let script = tokio::spawn(async move {
        let mut server = Server::new(Delivery::Latest, 32);
        let slot = server.start();
        server.publish(slot, 1);
        let head = server.head;
        let mut peer = listener.accept().await;
        peer.send(&welcome()).await;
        let watch = peer.watch().await;
        peer.send(&watching(watch.request, 1, 0)).await;
        let full = server.batch(0, None);
        // On the control stream, so that it is there before the farewell.
        peer.send(&full[0]).await;
        let text = "coming back".to_owned();
        let goodbye = Goodbye {
            code: Code::GoingAway,
            retry_after_ms: 10,
            text,
        };
        peer.send(&Update::Goodbye(goodbye)).await;

        let mut again = listener.accept().await;
        again.send(&welcome()).await;
        let watch = again.watch().await;
        let cursor = watch.cursor.expect("a cursor");
        assert_eq!((cursor.log, cursor.offset), (support::LOG, head));
        again.send(&watching(watch.request, 1, head)).await;
        server.publish(slot, 1);
        again.send_batch(&server.batch(head, None)[0], true).await;
        while again.receive().await.is_some() {}
    });
    let mut viewer = Viewer::connect(options).await.expect("a connection");
    viewer.watch(WatchOptions::new(chat()));
    for expect in [
        "started",
        "point 1",
        "offline going_away",
        "online",
        "point 2",
    ] {
        assert_eq!(next(&mut viewer).await, expect, "{scheme}");
    }
    viewer.close().await;
    tokio::time::timeout(PATIENCE, script)
        .await
        .expect("a farewell")
        .expect("the script");
}

async fn share(scheme: &str) {
    let (listener, options) = Listener::start(scheme).await;
    let script = tokio::spawn(async move {
        let mut peer = listener.accept().await;
        peer.send(&welcome()).await;
        let mut counters = Vec::new();
        while let Some(request) = peer.receive().await {
            match request {
                Request::ShareStart(start) => {
                    let shared = Shared {
                        request: start.request,
                        session: SessionId(7),
                        share: ShareNumber(1),
                        counter_last: Counter(0),
                        expires_at_ms: 2_000_000,
                    };
                    peer.send(&Update::Shared(shared)).await;
                }
                Request::Point(point) => {
                    counters.push(point.point.counter.0);
                    let accepted = Accepted {
                        share: point.share,
                        counter: point.point.counter,
                        durable: Counter(0),
                        verdicts: Vec::new(),
                    };
                    peer.send(&Update::Accepted(accepted)).await;
                }
                Request::ShareStop(stop) => {
                    let done = Done {
                        request: stop.request,
                        durable: true,
                    };
                    peer.send(&Update::Done(done)).await;
                }
                other => panic!("not of a share: {other:?}"),
            }
        }
        counters
    });
    let sender = Sender::start(options, SenderOptions::new(chat(), 60, &Sender::new_key())).await;
    let sender = sender.expect("a session");
    assert_eq!(sender.session(), SessionId(7));
    for lat in 1..=50 {
        let position = Position {
            lat_e6: lat,
            lon_e6: 1,
        };
        sender.share(
            1,
            Fix {
                position,
                ..Fix::default()
            },
        );
    }
    let settled = async {
        while sender.pending() > 0 {
            sender.next_event().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled)
        .await
        .expect("verdicts");
    let end = sender.stop().await.expect("confirmed");
    assert_eq!((end.why, end.durable), (Some(SessionState::Stopped), true));
    assert_eq!((end.tally.accepted, end.tally.refused), (50, 0));
    let counters = tokio::time::timeout(PATIENCE, script)
        .await
        .expect("a farewell");
    assert_eq!(
        counters.expect("the script"),
        (1..=50).collect::<Vec<u64>>()
    );
}

/// A server that says farewell to a sender, and has lost its point when the sender is back.
async fn share_interrupted(scheme: &str) {
    let (listener, options) = Listener::start(scheme).await;
    let script = tokio::spawn(async move {
        let shared = |request, counter_last| {
            Update::Shared(Shared {
                request,
                session: SessionId(7),
                share: ShareNumber(1),
                counter_last: Counter(counter_last),
                expires_at_ms: 2_000_000,
            })
        };
        let mut peer = listener.accept().await;
        peer.send(&welcome()).await;
        let Some(Request::ShareStart(start)) = peer.receive().await else {
            panic!("a share begins with its start");
        };
        peer.send(&shared(start.request, 0)).await;
        let Some(Request::Point(first)) = peer.receive().await else {
            panic!("a point follows");
        };
        let accepted = Accepted {
            share: first.share,
            counter: first.point.counter,
            durable: Counter(0),
            verdicts: Vec::new(),
        };
        peer.send(&Update::Accepted(accepted)).await;
        let goodbye = Goodbye {
            code: Code::GoingAway,
            retry_after_ms: 10,
            text: "coming back".to_owned(),
        };
        peer.send(&Update::Goodbye(goodbye)).await;

        let mut again = listener.accept().await;
        again.send(&welcome()).await;
        let Some(Request::ShareResume(resume)) = again.receive().await else {
            panic!("the session goes on");
        };
        again.send(&shared(resume.request, 0)).await;
        let Some(Request::Point(second)) = again.receive().await else {
            panic!("the point that was lost");
        };
        assert_eq!(second.point, first.point);
    });
    let sender = Sender::start(options, SenderOptions::new(chat(), 60, &Sender::new_key())).await;
    let sender = sender.expect("a session");
    let position = Position {
        lat_e6: 1,
        lon_e6: 1,
    };
    sender.share(
        1,
        Fix {
            position,
            ..Fix::default()
        },
    );
    let mut told = Vec::new();
    let events = async {
        loop {
            match sender.next_event().await.expect("it goes on") {
                SenderEvent::Offline { why, retry_ms } => {
                    assert!(retry_ms > 0);
                    told.push(format!("offline: {why}"));
                }
                SenderEvent::Started { resumed, .. } => {
                    told.push(format!("started, resumed {resumed}"));
                    return;
                }
                SenderEvent::Verdict { counter, .. } => told.push(format!("verdict {counter}")),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, events).await.expect("back");
    let offline = "offline: the server closed the connection (going_away): coming back".to_owned();
    assert_eq!(
        told,
        [
            "verdict 1".to_owned(),
            offline,
            "started, resumed true".to_owned()
        ],
        "{scheme}"
    );
    tokio::time::timeout(PATIENCE, script)
        .await
        .expect("an end")
        .expect("the script");
    drop(sender);
}

async fn refusal(scheme: &str) {
    let (listener, options) = Listener::start(scheme).await;
    let script = tokio::spawn(async move {
        let mut peer = listener.accept().await;
        let text = "get a new one".to_owned();
        let goodbye = Goodbye {
            code: Code::TokenExpired,
            retry_after_ms: 0,
            text,
        };
        peer.send(&Update::Goodbye(goodbye)).await;
        while peer.receive().await.is_some() {}
    });
    let error = Viewer::connect(options).await.expect_err("refused");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("get a new one"), "{error}");
    tokio::time::timeout(PATIENCE, script)
        .await
        .expect("an end")
        .expect("the script");
}

#[tokio::test]
async fn an_interruption_is_mended_with_the_cursor() {
    for scheme in ["quic", "ws"] {
        reconnect(scheme).await;
    }
}

#[tokio::test]
async fn batches_arrive_by_every_way_of_a_transport() {
    for scheme in ["quic", "ws"] {
        delivery(scheme).await;
    }
}

#[tokio::test]
async fn a_share_is_acknowledged_and_ends() {
    for scheme in ["quic", "ws"] {
        share(scheme).await;
    }
}

#[tokio::test]
async fn a_sender_says_that_it_is_offline_and_sends_again_what_was_lost() {
    for scheme in ["quic", "ws"] {
        share_interrupted(scheme).await;
    }
}

#[tokio::test]
async fn an_expired_token_is_final() {
    for scheme in ["quic", "ws"] {
        refusal(scheme).await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_no_reason_to_try_again() {
    let (listener, mut options) = Listener::start("quic").await;
    let script = tokio::spawn(async move {
        if let Listener::Quic(endpoint) = listener {
            let incoming = endpoint.accept().await.expect("a connection");
            assert!(incoming.await.is_err());
        }
    });
    options.trust = quic_config().1;
    let error = Viewer::connect(options).await.expect_err("not trusted");
    assert!(matches!(error, ClientError::Trust(_)), "{error}");
    script.await.expect("the script");
}

#[tokio::test]
async fn nobody_listening_is_told_at_once() {
    let (listener, options) = Listener::start("ws").await;
    drop(listener);
    let error = Viewer::connect(options).await.expect_err("nobody there");
    assert!(
        error.is_transient() && matches!(error, ClientError::Io(_)),
        "{error}"
    );
}

/// A process that was killed says nothing any more, and its kernel closes the connection for it.
#[tokio::test]
async fn a_connection_that_broke_is_not_taken_for_one_that_was_closed() {
    let (listener, options) = Listener::start("ws").await;
    let script = tokio::spawn(async move {
        let mut peer = listener.accept().await;
        peer.send(&welcome()).await;
        peer.watch().await;
    });
    let mut viewer = Viewer::connect(options).await.expect("a connection");
    viewer.watch(WatchOptions::new(chat()));
    let said = next(&mut viewer).await;
    assert!(said.starts_with("offline: no connection"), "{said}");
    script.await.expect("the script");
}
