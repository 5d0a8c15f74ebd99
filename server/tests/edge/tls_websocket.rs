//! The same over TLS, where cipher text could hide behind the socket.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_server::edge::event::Event;
use skein_wire::ids::ChatHandle;
use skein_wire::request::Request;
use socket2::SockRef;

use crate::harness::{PATIENCE, TestEdge, filler, frame, viewer};
use crate::websocket_client::{Message, WebSocketClient};

/// A viewer that has taken nothing for so long is stalled: longer than an acknowledgement waits.
const SETTLED: Duration = Duration::from_millis(300);

type Client = WebSocketClient<StreamOwned<ClientConnection, TcpStream>>;

fn open(edge: &TestEdge, receive_buffer: usize) -> Client {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&edge.certificate()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(edge.https()).unwrap();
    SockRef::from(&stream)
        .set_recv_buffer_size(receive_buffer)
        .unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    WebSocketClient::upgrade(StreamOwned::new(tls, stream))
}

#[test]
fn frames_and_batches_pass_through_tls() {
    let edge = TestEdge::start();
    let mut client = open(&edge, 256 * 1024);
    client.message(&edge.hello());
    let connection = edge.connected();
    client.message(&frame(&Request::Ping(4)));
    let request = Request::Ping(4);
    assert_eq!(
        edge.event(),
        Event::Frame {
            connection,
            request
        }
    );
    let batch = SharedBatch::from_frames(ChatHandle(1), 0, 1, 1, &filler(300_000, 5));
    let offer = edge.with(move |edge| edge.offer(connection, viewer(0), &batch));
    assert_eq!(offer, Offer::Sent);
    assert_eq!(client.read(), Message::Binary(filler(300_000, 5)));
}

#[test]
fn a_stalled_viewer_over_tls_holds_one_batch() {
    let edge = TestEdge::start();
    let mut client = open(&edge, 16 * 1024);
    client.message(&edge.hello());
    let connection = edge.connected();
    let batch = SharedBatch::from_frames(ChatHandle(1), 0, 1, 1, &filler(8_192, 1));
    let mut taken = 0;
    loop {
        let batch = batch.clone();
        if edge.with(move |edge| edge.offer(connection, viewer(0), &batch)) == Offer::Sent {
            taken += 1;
            assert!(taken < 20, "stale bytes pile up below us");
            continue;
        }
        // The kernel of the other end may still take some of it.
        match edge.events.recv_timeout(SETTLED) {
            Ok((_, event)) => assert_eq!(event, Event::Writable { connection }),
            Err(_) => break,
        }
    }
    for _ in 0..taken {
        assert_eq!(client.read(), Message::Binary(filler(8_192, 1)));
    }
    assert_eq!(edge.event(), Event::Writable { connection });
}

#[test]
fn plain_bytes_on_the_tls_port_harm_nobody() {
    use std::io::Write as _;

    let edge = TestEdge::start();
    let mut stream = TcpStream::connect(edge.https()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut client = open(&edge, 256 * 1024);
    client.message(&edge.hello());
    edge.connected();
    while edge.with(|edge| edge.stats().tls_failed) == 0 {
        std::thread::yield_now();
    }
}
