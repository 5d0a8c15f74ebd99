//! Every malformed input gets its documented code and text, and harms nobody else.

use quinn::{ConnectionError, VarInt};
use skein_server::edge::bad_input::{BAD_INPUTS, BadInput, Sends};
use skein_server::edge::event::Event;
use skein_wire::error::Code;
use skein_wire::request::Request;
use skein_wire::update::Update;

use crate::harness::{TestEdge, frame};
use crate::quic_client::QuicClient;
use crate::websocket_client::{Message, WebSocketClient};
use crate::websocket_rules::update;

#[test]
fn a_websocket_is_closed_with_the_documented_code() {
    let edge = TestEdge::start();
    let mut neighbour = WebSocketClient::open(edge.http());
    neighbour.message(&edge.hello());
    let neighbour_id = edge.connected();
    for bad in BAD_INPUTS {
        let mut client = WebSocketClient::open(edge.http());
        if bad.after_hello {
            client.message(&edge.hello());
            edge.connected();
        }
        match bad.sends {
            Sends::WebSocket(bytes) => client.raw(bytes),
            Sends::Frames(bytes) => client.message(bytes),
        }
        let goodbye = loop {
            match client.read() {
                Message::Pong(_) => {}
                message => break update(&message),
            }
        };
        check(bad, &goodbye);
        let close = Message::Close(4_000 + bad.code as u16, bad.text.to_owned());
        assert_eq!(client.read(), close, "{}", bad.input);
        if bad.after_hello {
            assert!(
                matches!(edge.event(), Event::Disconnected { .. }),
                "{}",
                bad.input
            );
        }
    }
    neighbour.message(&frame(&Request::Ping(1)));
    let request = Request::Ping(1);
    let connection = neighbour_id;
    assert_eq!(
        edge.event(),
        Event::Frame {
            connection,
            request
        }
    );
}

#[test]
fn a_quic_connection_is_closed_with_the_documented_code() {
    let edge = TestEdge::start();
    for bad in BAD_INPUTS {
        let Sends::Frames(bytes) = bad.sends else {
            continue;
        };
        let mut client = QuicClient::open(&edge);
        if bad.after_hello {
            client.write(&edge.hello());
            edge.connected();
        }
        client.write(bytes);
        check(bad, &client.update().expect(bad.input));
        let closed = client.wait(client.connection.closed());
        let ConnectionError::ApplicationClosed(close) = closed else {
            panic!("{}: {closed:?}", bad.input);
        };
        assert_eq!(
            close.error_code.into_inner(),
            bad.code as u64,
            "{}",
            bad.input
        );
        assert_eq!(close.reason, bad.text, "{}", bad.input);
        if bad.after_hello {
            assert!(
                matches!(edge.event(), Event::Disconnected { .. }),
                "{}",
                bad.input
            );
        }
    }
}

#[test]
fn a_message_with_one_bad_frame_has_no_effect_at_all() {
    let edge = TestEdge::start();
    let mut client = WebSocketClient::open(edge.http());
    client.message(&edge.hello());
    let connection = edge.connected();
    let mut message = frame(&Request::Ping(1));
    message.extend([1, 0x3f]);
    client.message(&message);
    assert_eq!(edge.event(), Event::Disconnected { connection });
}

#[test]
fn a_client_that_only_gives_up_streams_is_ended() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    client.write(&edge.hello());
    edge.connected();
    let connection = client.connection.clone();
    let given_up = client.wait(async {
        let mut count = 0;
        while let Ok(mut stream) = connection.open_uni().await {
            if stream.write_all(b"\x40").await.is_err() {
                break;
            }
            let _ = stream.reset(VarInt::from_u32(0));
            count += 1;
        }
        count
    });
    assert!(given_up >= 128, "{given_up}");
    let ended = client.connection.close_reason();
    let Some(ConnectionError::ApplicationClosed(closed)) = &ended else {
        panic!("{ended:?}");
    };
    let code = u64::from(Code::LimitReached as u16);
    assert_eq!(closed.error_code.into_inner(), code, "{closed:?}");
    let counted = edge.with(|edge| edge.stats().quic.given_up);
    assert!(counted > 128, "{counted}");
}

fn check(bad: &BadInput, answer: &Update) {
    let Update::Goodbye(goodbye) = answer else {
        panic!("{}: expected a goodbye, got {answer:?}", bad.input);
    };
    assert_eq!(goodbye.code, bad.code, "{}", bad.input);
    assert_eq!(goodbye.text, bad.text, "{}", bad.input);
}
