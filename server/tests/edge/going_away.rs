//! A server that stops tells everybody when to come back, and accepts nobody.

use std::time::Duration;

use skein_server::edge::event::Event;
use skein_wire::error::Code;
use skein_wire::update::{Goodbye, Update};

use crate::harness::TestEdge;
use crate::quic_client::QuicClient;
use crate::websocket_client::{Message, WebSocketClient};
use crate::websocket_rules::update;

fn check(goodbye: Goodbye) {
    assert_eq!(goodbye.code, Code::GoingAway);
    assert!(
        (500..=1_000).contains(&goodbye.retry_after_ms),
        "{goodbye:?}"
    );
}

#[test]
fn everybody_is_told_when_to_come_back() {
    let edge = TestEdge::start();
    let mut websocket = WebSocketClient::open(edge.http());
    websocket.message(&edge.hello());
    edge.connected();
    let mut quic = QuicClient::open(&edge);
    quic.write(&edge.hello());
    edge.connected();

    edge.with(|edge| edge.shutdown(500, Duration::ZERO));
    for _ in 0..2 {
        assert!(matches!(edge.event(), Event::Disconnected { .. }));
    }
    let Update::Goodbye(goodbye) = update(&websocket.read()) else {
        panic!("expected a goodbye");
    };
    check(goodbye);
    assert!(matches!(websocket.read(), Message::Close(4_001, _)));
    assert_eq!(websocket.read(), Message::End);
    let Some(Update::Goodbye(goodbye)) = quic.update() else {
        panic!("expected a goodbye");
    };
    check(goodbye);
    let closed = quic.wait(quic.connection.closed());
    assert!(
        matches!(closed, quinn::ConnectionError::ApplicationClosed(_)),
        "{closed:?}"
    );
    drop(websocket);
    while edge.with(|edge| edge.connections()) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}
