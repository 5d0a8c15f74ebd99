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
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skein_server::edge::event::Event;
use skein_wire::request::Request;

use crate::harness::{PATIENCE, TestEdge, frame};
use crate::websocket_client::WebSocketClient;

/// Descriptors of the process, little enough to be used up quickly.
const DESCRIPTORS: u64 = 128;

#[test]
fn connections_beyond_the_descriptors_are_turned_away() {
    let edge = TestEdge::start();
    let mut old = WebSocketClient::open(edge.http());
    old.message(&edge.hello());
    let connection = edge.connected();
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
