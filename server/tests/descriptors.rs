//! A process without descriptors turns connections away, keeps the ones it has, and recovers.
//!
//! Alone in its binary, because it lowers the limit of the whole process.

#[path = "edge/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests of the edge")]
mod harness;
#[path = "edge/websocket_client.rs"]
#[expect(dead_code, reason = "shared with the other tests of the edge")]
mod websocket_client;

use std::fs::File;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skein_server::edge::event::Event;
use skein_server::http::listener::{self, CONTROL_LISTENER_METRICS, ControlListener};
use skein_server::metrics::MetricsBoard;
use skein_wire::request::Request;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::harness::{PATIENCE, TestEdge, frame};
use crate::websocket_client::WebSocketClient;

/// Descriptors of the process, little enough to be used up quickly.
const DESCRIPTORS: u64 = 128;

/// A control listener without an API behind it, and what keeps it alive.
fn control_listener() -> (SocketAddr, Runtime, watch::Sender<bool>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let listener = ControlListener {
        socket,
        tls: None,
        metrics: MetricsBoard::default().once(CONTROL_LISTENER_METRICS),
    };
    runtime.spawn(listener::serve(listener, Router::new(), stopped));
    (address, runtime, stop)
}

#[test]
fn connections_beyond_the_descriptors_are_turned_away() {
    let edge = TestEdge::start();
    let mut old = WebSocketClient::open(edge.http());
    old.message(&edge.hello());
    let connection = edge.connected();
    let (control, _runtime, _stop) = control_listener();
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();

    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    // One is left: the client takes it, and the server has none.
    files.pop();
    let mut turned_away = TcpStream::connect(edge.http()).unwrap();
    turned_away.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(
        matches!(turned_away.read(&mut [0]), Ok(0) | Err(_)),
        "it was closed"
    );
    assert_eq!(edge.with(|edge| edge.stats().http_shed), 1);
    drop(turned_away);
    let mut turned_away = TcpStream::connect(control).unwrap();
    turned_away.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(
        matches!(turned_away.read(&mut [0]), Ok(0) | Err(_)),
        "the control listener closed it"
    );
    old.message(&frame(&Request::Ping(1)));
    let request = Request::Ping(1);
    assert_eq!(
        edge.event(),
        Event::Frame {
            connection,
            request
        }
    );

    drop((files, turned_away));
    let mut new = WebSocketClient::open(edge.http());
    new.message(&edge.hello());
    edge.connected();
}
