//! A viewer that does not read costs one half-written batch, and catches up when it reads again.

use std::time::Duration;

use skein_engine::ids::ConnectionId;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_server::edge::event::Event;
use skein_wire::ids::ChatHandle;

use crate::harness::{TestEdge, filler, viewer};
use crate::websocket_client::{Message, WebSocketClient};

/// Bytes of one batch.
const BATCH_BYTES: usize = 8_192;
/// What the kernels of both ends may hold of a viewer that does not read: small buffers as asked
/// for, doubled, and the batch that is half written.
const HELD_BYTES_MAX: usize = 160 * 1024;

/// A viewer that has taken nothing for so long is stalled: longer than an acknowledgement waits.
const SETTLED: Duration = Duration::from_millis(300);

fn offer(edge: &TestEdge, connection: ConnectionId, len: usize, fill: u8) -> Offer {
    let batch = SharedBatch::from_frames(ChatHandle(1), 0, 1, 1, &filler(len, fill));
    edge.with(move |edge| edge.offer(connection, viewer(0), &batch))
}

fn stall(edge: &TestEdge) -> (WebSocketClient<std::net::TcpStream>, ConnectionId, usize) {
    let mut client = WebSocketClient::open_with_buffer(edge.http(), 16 * 1024);
    client.message(&edge.hello());
    let connection = edge.connected();
    let mut taken = 0;
    loop {
        if offer(edge, connection, BATCH_BYTES, taken as u8) == Offer::Sent {
            taken += 1;
            let held = taken * BATCH_BYTES;
            assert!(held < HELD_BYTES_MAX, "stale bytes pile up below us");
            continue;
        }
        // The kernel of the other end may still take some of it.
        match edge.events.recv_timeout(SETTLED) {
            Ok((_, event)) => assert_eq!(event, Event::Writable { connection }),
            Err(_) => return (client, connection, taken),
        }
    }
}

#[test]
fn what_is_offered_to_a_stalled_viewer_is_not_kept() {
    let edge = TestEdge::start();
    let (mut client, connection, taken) = stall(&edge);
    let before = edge.with(|edge| edge.stats().websocket);
    for _ in 0..500 {
        assert_eq!(offer(&edge, connection, BATCH_BYTES, 0), Offer::Full);
    }
    let after = edge.with(|edge| edge.stats().websocket);
    assert_eq!(before.bytes_out, after.bytes_out);
    assert_eq!(after.offers_full - before.offers_full, 500);

    for expected in 0..taken {
        assert_eq!(
            client.read(),
            Message::Binary(filler(BATCH_BYTES, expected as u8))
        );
    }
    assert_eq!(edge.event(), Event::Writable { connection });
    assert_eq!(offer(&edge, connection, BATCH_BYTES, 99), Offer::Sent);
    assert_eq!(client.read(), Message::Binary(filler(BATCH_BYTES, 99)));
}

#[test]
fn answers_wait_behind_the_batch_that_is_half_written() {
    let edge = TestEdge::start();
    let (mut client, connection, taken) = stall(&edge);
    edge.with(move |edge| edge.send(connection, filler(100, 7).into()));
    for expected in 0..taken {
        assert_eq!(
            client.read(),
            Message::Binary(filler(BATCH_BYTES, expected as u8))
        );
    }
    assert_eq!(client.read(), Message::Binary(filler(100, 7)));
}

#[test]
fn a_revoked_batch_is_not_completed() {
    let edge = TestEdge::start();
    let (mut client, connection, taken) = stall(&edge);
    edge.with(move |edge| edge.purge(connection, ChatHandle(2)));
    assert_eq!(
        edge.with(|edge| edge.connections()),
        1,
        "another chat's batch goes on"
    );
    edge.with(move |edge| edge.purge(connection, ChatHandle(1)));
    assert_eq!(edge.event(), Event::Disconnected { connection });
    let mut whole = 0;
    while let Message::Binary(_) = client.read() {
        whole += 1;
    }
    assert_eq!(whole, taken - 1);
    assert_eq!(offer(&edge, connection, 100, 0), Offer::Gone);
}

#[test]
fn a_batch_larger_than_every_buffer_arrives_whole() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    client.message(&edge.hello());
    let connection = edge.connected();
    assert_eq!(offer(&edge, connection, 600_000, 3), Offer::Sent);
    assert_eq!(client.read(), Message::Binary(filler(600_000, 3)));
}
