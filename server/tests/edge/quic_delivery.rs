//! How batches reach a QUIC viewer: a datagram, a stream, or not now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skein_engine::ids::ConnectionId;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_server::edge::event::Event;
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, Counter, ShareNumber};
use skein_wire::request::{Heartbeat, Request};

use crate::harness::{TestEdge, filler, frame, free, viewer};
use crate::quic_client::QuicClient;

fn batch(len: usize, fill: u8) -> SharedBatch {
    SharedBatch::from_frames(ChatHandle(1), 0, 1, 1, &filler(len, fill))
}

fn offer(edge: &TestEdge, connection: ConnectionId, index: u32, len: usize) -> Offer {
    let batch = batch(len, index as u8);
    edge.with(move |edge| edge.offer(connection, viewer(index), &batch))
}

fn greet(edge: &TestEdge, client: &mut QuicClient) -> ConnectionId {
    client.write(&edge.hello());
    edge.connected()
}

#[test]
fn a_small_batch_is_a_datagram_and_a_large_one_a_stream() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    assert_eq!(offer(&edge, connection, 0, 1_000), Offer::Datagram);
    assert_eq!(client.datagram(), filler(1_000, 0));
    assert_eq!(offer(&edge, connection, 0, 60_000), Offer::Streaming);
    assert_eq!(client.stream(), filler(60_000, 0));
    let done = Event::StreamDone {
        connection,
        viewer: viewer(0),
    };
    assert_eq!(edge.event(), done);
    assert_eq!(offer(&edge, connection, 0, 2_000), Offer::Streaming);
    assert_eq!(client.stream(), filler(2_000, 0));
}

#[test]
fn a_second_datagram_waits_until_the_first_has_left() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    let (small, large) = (batch(50, 1), batch(1_000, 2));
    let offers = edge.with(move |edge| {
        [
            edge.offer(connection, viewer(0), &small),
            edge.offer(connection, viewer(1), &large),
            edge.offer(connection, viewer(1), &large),
        ]
    });
    assert_eq!(offers, [Offer::Datagram, Offer::Full, Offer::Full]);
    assert_eq!(client.datagram(), filler(50, 1));
    assert_eq!(edge.event(), Event::Writable { connection });
    assert_eq!(offer(&edge, connection, 2, 1_000), Offer::Datagram);
    assert_eq!(
        client.datagram(),
        filler(1_000, 2),
        "the one that waited was not sent"
    );
    assert!(edge.events.try_recv().is_err(), "one waits for all");
}

#[test]
fn a_viewer_has_one_stream_and_the_others_go_on() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open_with(&edge, |transport| {
        transport.stream_receive_window(1_000u32.into());
    });
    let connection = greet(&edge, &mut client);
    assert_eq!(offer(&edge, connection, 0, 50_000), Offer::Streaming);
    assert_eq!(offer(&edge, connection, 0, 50_000), Offer::Full);
    assert_eq!(offer(&edge, connection, 0, 50), Offer::Full);
    assert_eq!(offer(&edge, connection, 1, 50), Offer::Datagram);
    assert_eq!(client.datagram(), filler(50, 1));
    assert_eq!(client.stream(), filler(50_000, 0));
    let done = Event::StreamDone {
        connection,
        viewer: viewer(0),
    };
    assert_eq!(edge.event(), done);
}

#[test]
fn a_client_that_allows_no_more_streams_is_waited_for() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open_with(&edge, |transport| {
        transport
            .max_concurrent_uni_streams(1u32.into())
            .stream_receive_window(1_000u32.into());
    });
    let connection = greet(&edge, &mut client);
    assert_eq!(offer(&edge, connection, 0, 5_000), Offer::Streaming);
    assert_eq!(offer(&edge, connection, 1, 5_000), Offer::Full);
    assert_eq!(client.stream(), filler(5_000, 0));
    let mut events = [edge.event(), edge.event()];
    events.sort_by_key(|event| matches!(event, Event::Writable { .. }));
    assert!(matches!(events[0], Event::StreamDone { .. }), "{events:?}");
    assert_eq!(events[1], Event::Writable { connection });
    assert_eq!(offer(&edge, connection, 1, 5_000), Offer::Streaming);
    assert_eq!(client.stream(), filler(5_000, 1));
}

#[test]
fn a_revoked_stream_is_reset() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open_with(&edge, |transport| {
        transport.stream_receive_window(1_000u32.into());
    });
    let connection = greet(&edge, &mut client);
    assert_eq!(offer(&edge, connection, 0, 50_000), Offer::Streaming);
    let mut stream = client.wait(client.connection.accept_uni()).unwrap();
    assert_eq!(offer(&edge, connection, 1, 50_000), Offer::Streaming);
    let mut other = client.wait(client.connection.accept_uni()).unwrap();
    edge.with(move |edge| edge.purge(connection, ChatHandle(2)));
    edge.with(move |edge| edge.purge(connection, ChatHandle(1)));
    // A watch that was replaced is another viewer of the same chat.
    client.wait(other.read_to_end(1 << 20)).unwrap_err();
    let error = client.wait(stream.read_to_end(1 << 20)).unwrap_err();
    let code = quinn::VarInt::from_u32(Code::MembershipRevoked as u32);
    assert!(
        matches!(&error, quinn::ReadToEndError::Read(quinn::ReadError::Reset(c)) if *c == code),
        "{error:?}"
    );
    assert_eq!(
        offer(&edge, connection, 0, 2_000),
        Offer::Streaming,
        "the place is free"
    );
    assert_eq!(client.stream(), filler(2_000, 0));
    assert!(matches!(edge.event(), Event::StreamDone { .. }));
    assert!(
        edge.events.try_recv().is_err(),
        "a purged stream is not reported as done"
    );
}

#[test]
fn a_revoked_datagram_is_pushed_out() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    let secret = batch(400, 9);
    let offer = edge.with(move |edge| {
        let offer = edge.offer(connection, viewer(0), &secret);
        edge.purge(connection, ChatHandle(1));
        offer
    });
    assert_eq!(offer, Offer::Datagram);
    let got = client.datagram();
    assert!(
        got.iter().skip(3).all(|&byte| byte == 0),
        "only a frame that says nothing"
    );
}

#[test]
fn points_come_on_any_lane_and_other_requests_on_the_control_stream_only() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    let request = Request::Heartbeat(Heartbeat {
        share: ShareNumber(1),
        counter: Counter(2),
    });
    let expected = Event::Frame {
        connection,
        request: request.clone(),
    };
    client
        .connection
        .send_datagram(frame(&request).into())
        .unwrap();
    assert_eq!(edge.event(), expected);
    client.send_stream(&frame(&request));
    assert_eq!(edge.event(), expected);
    client.write(&frame(&request));
    assert_eq!(edge.event(), expected);
    client.send_stream(&frame(&Request::Ping(1)));
    assert_eq!(edge.event(), Event::Disconnected { connection });
    let closed = client.wait(client.connection.closed());
    let code = quinn::VarInt::from_u32(Code::OutOfOrder as u32);
    assert!(
        matches!(&closed, quinn::ConnectionError::ApplicationClosed(c) if c.error_code == code),
        "{closed:?}"
    );
}

#[test]
fn a_client_that_leaves_is_told_once() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    client.connection.close(0u32.into(), b"");
    assert_eq!(edge.event(), Event::Disconnected { connection });
    assert_eq!(offer(&edge, connection, 0, 100), Offer::Gone);
    while edge.with(|edge| edge.connections()) > 0 {
        std::thread::yield_now();
    }
    assert!(
        edge.events.try_recv().is_err(),
        "nothing comes after the end"
    );
}

#[test]
fn a_server_with_many_addresses_answers_from_the_one_that_was_asked() {
    let mut addresses = free();
    addresses.quic = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut edge = TestEdge::start_in(dir, addresses, 1);
    // Left alone the kernel would answer from 127.0.0.1, which this client would not believe.
    let port = edge.quic().port();
    edge.addresses.quic = Some(SocketAddr::from(([127, 0, 0, 2], port)));
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    assert_eq!(offer(&edge, connection, 0, 1_000), Offer::Datagram);
    assert_eq!(client.datagram(), filler(1_000, 0));
}

#[test]
fn what_a_client_said_before_it_left_counts() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    let connection = greet(&edge, &mut client);
    let request = Request::Heartbeat(Heartbeat {
        share: ShareNumber(1),
        counter: Counter(2),
    });
    // The thread of the edge is held until all of it has come.
    let (hold, held) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let bytes = frame(&request);
    let leaving = std::thread::spawn(move || {
        held.recv().unwrap();
        client.write(&bytes);
        client.send_stream(&bytes);
        client.wait(async { tokio::time::sleep(Duration::from_millis(20)).await });
        client.connection.close(0u32.into(), b"");
        client.wait(client.endpoint.wait_idle());
        release.send(()).unwrap();
    });
    edge.with(move |_| {
        hold.send(()).unwrap();
        released.recv().unwrap();
    });
    leaving.join().unwrap();
    for _ in 0..2 {
        let request = request.clone();
        assert_eq!(
            edge.event(),
            Event::Frame {
                connection,
                request
            }
        );
    }
    assert_eq!(edge.event(), Event::Disconnected { connection });
}
