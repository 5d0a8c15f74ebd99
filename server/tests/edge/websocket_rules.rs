//! What a well-behaved client may do, however its bytes are cut.

use skein_server::edge::event::Event;
use skein_wire::request::Request;
use skein_wire::update::Update;

use crate::harness::{TestEdge, frame};
use crate::websocket_client::{Message, WebSocketClient, client_frame};

#[test]
fn several_frames_in_one_message_keep_their_order() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    let mut message = edge.hello();
    message.extend(frame(&Request::Ping(1)));
    message.extend(frame(&Request::Ping(2)));
    client.message(&message);
    let connection = edge.connected();
    for number in [1, 2] {
        let request = Request::Ping(number);
        assert_eq!(
            edge.event(),
            Event::Frame {
                connection,
                request
            }
        );
    }
}

#[test]
fn a_message_may_arrive_byte_by_byte() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    for byte in client_frame(0x82, &edge.hello()) {
        client.raw(&[byte]);
    }
    let connection = edge.connected();
    let mut two = client_frame(0x82, &frame(&Request::Ping(1)));
    two.extend(client_frame(0x82, &frame(&Request::Ping(2))));
    for piece in two.chunks(7) {
        client.raw(piece);
    }
    for number in [1, 2] {
        let request = Request::Ping(number);
        assert_eq!(
            edge.event(),
            Event::Frame {
                connection,
                request
            }
        );
    }
}

#[test]
fn a_hello_right_behind_the_upgrade_is_not_lost() {
    use std::io::Write as _;

    let edge = TestEdge::start();
    let mut stream = std::net::TcpStream::connect(edge.http()).unwrap();
    let mut bytes = crate::websocket_client::UPGRADE.as_bytes().to_vec();
    bytes.extend(client_frame(0x82, &edge.hello()));
    stream.write_all(&bytes).unwrap();
    edge.connected();
}

#[test]
fn pings_are_answered_and_a_close_is_returned() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    client.message(&edge.hello());
    let connection = edge.connected();
    client.raw(&client_frame(0x89, b"are you there"));
    assert_eq!(client.read(), Message::Pong(b"are you there".to_vec()));
    client.raw(&client_frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(client.read(), Message::Close(1000, String::new()));
    assert_eq!(client.read(), Message::End);
    assert_eq!(edge.event(), Event::Disconnected { connection });
    drop(client);
    while edge.with(|edge| edge.connections()) > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_vanishes_is_told_once() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    client.message(&edge.hello());
    let connection = edge.connected();
    drop(client);
    assert_eq!(edge.event(), Event::Disconnected { connection });
    assert_eq!(edge.with(|edge| edge.connections()), 0);
    assert!(
        edge.events.try_recv().is_err(),
        "nothing comes after the end"
    );
}

#[test]
fn a_token_is_renewed_and_a_bad_one_changes_nothing() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    client.message(&edge.hello());
    let connection = edge.connected();
    let token = skein_wire::request::Token(edge.token());
    client.message(&frame(&Request::Auth(token)));
    assert!(matches!(edge.event(), Event::Renewed { connection: c, .. } if c == connection));
    assert!(matches!(update(&client.read()), Update::Done(done) if done.durable));
    let token = skein_wire::request::Token("rubbish".to_owned());
    client.message(&frame(&Request::Auth(token)));
    let refused = update(&client.read());
    assert!(
        matches!(&refused, Update::Refused(r) if r.code == skein_wire::error::Code::BadToken),
        "{refused:?}"
    );
    client.message(&frame(&Request::Ping(9)));
    let request = Request::Ping(9);
    assert_eq!(
        edge.event(),
        Event::Frame {
            connection,
            request
        }
    );
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up_for_ever() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open_with_buffer(edge.http(), 4_096);
    client.message(&edge.hello());
    let connection = edge.connected();
    edge.with(move |edge| {
        for _ in 0..2_000 {
            edge.send(connection, crate::harness::filler(1_000, 0).into());
        }
    });
    assert_eq!(edge.event(), Event::Disconnected { connection });
    assert_eq!(edge.with(|edge| edge.stats().websocket.cut), 1);
}

/// The only frame of a message.
pub fn update(message: &Message) -> Update {
    let Message::Binary(bytes) = message else {
        panic!("expected a binary message, got {message:?}");
    };
    let mut bytes = bytes::Bytes::copy_from_slice(bytes);
    let frame = skein_wire::splitter::split_first_shared(&mut bytes, 1 << 16)
        .unwrap()
        .unwrap();
    assert!(bytes.is_empty());
    skein_wire::frame::decode_update(frame).unwrap().unwrap()
}
