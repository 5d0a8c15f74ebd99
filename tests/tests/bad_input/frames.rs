//! Bytes that are no frames, or frames where they do not belong.

use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Closed, Peer, Received, encoded, live, point};
use skein_tests::server::Server;
use skein_tests::wait::PATIENCE;
use skein_tests::websocket::{Message, Options, WebSocket};
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, RequestNumber, ShareNumber};
use skein_wire::limits::{CLIENT_FRAME_BYTES_MAX, VERSION};
use skein_wire::point::Position;
use skein_wire::request::{Hello, Request, Token, Unwatch};

use crate::Bystanders;

on_one_and_two_shards!(
    each_kind_of_nonsense_has_its_code,
    nonsense_before_hello_has_its_code,
    who_says_nothing_is_closed,
    an_upgrade_that_is_none_is_refused,
    a_refused_request_leaves_the_connection_open,
);

/// What is sent after the welcome: first byte of the WebSocket frame, masked, payload.
struct Case {
    what: &'static str,
    first: u8,
    masked: bool,
    payload: Vec<u8>,
    code: Code,
}

fn binary(what: &'static str, payload: Vec<u8>, code: Code) -> Case {
    Case {
        what,
        first: 0x82,
        masked: true,
        payload,
        code,
    }
}

fn hello(version: u16, token: &str) -> Request {
    Request::Hello(Hello {
        version,
        token: Token(token.to_owned()),
        client: "bad".to_owned(),
    })
}

fn cases(token: &str) -> Vec<Case> {
    let too_long = CLIENT_FRAME_BYTES_MAX as u32 + 1;
    // A length of four bytes says 2 in its top bits.
    let claimed = (too_long | 0x8000_0000).to_be_bytes().to_vec();
    let raw = |what, first, masked, code| Case {
        what,
        first,
        masked,
        payload: vec![1, 1],
        code,
    };
    vec![
        binary("a length of zero", vec![0], Code::Malformed),
        binary("half a frame", vec![9, 1, 2], Code::Malformed),
        binary("a kind nobody knows", vec![1, 0x3e], Code::UnknownKind),
        binary(
            "a frame that claims to be too long",
            claimed,
            Code::TooLarge,
        ),
        binary(
            "a second hello",
            encoded(&[hello(VERSION, token)]),
            Code::OutOfOrder,
        ),
        binary("a kind of the server", vec![2, 0x41, 0], Code::OutOfOrder),
        raw("a text message", 0x81, true, Code::Transport),
        raw(
            "the beginning of a fragmented message",
            0x02,
            true,
            Code::Transport,
        ),
        raw("reserved bits", 0xc2, true, Code::Transport),
        raw("an unmasked frame", 0x82, false, Code::Transport),
        Case {
            what: "a message larger than any frame",
            first: 0x82,
            masked: true,
            payload: vec![0; 8 * CLIENT_FRAME_BYTES_MAX],
            code: Code::TooLarge,
        },
    ]
}

fn each_kind_of_nonsense_has_its_code(cores: Cores) {
    let server = Server::start(cores);
    let mut bystanders = Bystanders::start(&server);
    let token = server.token("mallory");
    for case in cases(&token) {
        let mut peer = Peer::connect(server.ready.http, &token);
        // A server that closes early may break the rest of a long write.
        let _ = peer
            .socket
            .send_frame(case.first, case.masked, &case.payload);
        let (said, closed) = end_of(&mut peer);
        assert_eq!(
            said.or(closed.protocol_code()),
            Some(case.code),
            "{}: {closed:?}",
            case.what
        );
        assert!(
            !closed.text.is_empty() || closed.code == 0,
            "{}: says nothing",
            case.what
        );
    }
    // A length of eight bytes must not be believed, let alone reserved.
    let mut peer = Peer::connect(server.ready.http, &token);
    let giant = [
        &[0x82, 0xff][..],
        &(1_u64 << 40).to_be_bytes(),
        &[1, 2, 3, 4],
    ]
    .concat();
    peer.socket.send_raw(&giant).expect("sent");
    let (said, closed) = end_of(&mut peer);
    assert_eq!(
        said.or(closed.protocol_code()),
        Some(Code::TooLarge),
        "{closed:?}"
    );
    bystanders.assert_unharmed("nonsense");
}

/// The code of the goodbye, if there was one, and how the connection ended.
fn end_of(peer: &mut Peer) -> (Option<Code>, Closed) {
    use skein_wire::update::Update;
    let mut said = None;
    loop {
        match peer.receive(PATIENCE) {
            Some(Received::Update(Update::Goodbye(goodbye))) => said = Some(goodbye.code),
            Some(Received::Update(_)) => {}
            Some(Received::Closed(closed)) => return (said, closed),
            None => panic!("the connection is still open"),
        }
    }
}

fn nonsense_before_hello_has_its_code(cores: Cores) {
    let server = Server::start(cores);
    let token = server.token("mallory");
    let cases = [
        (
            "a ping before hello",
            encoded(&[Request::Ping(1)]),
            Code::OutOfOrder,
        ),
        (
            "another version",
            encoded(&[hello(VERSION + 8, &token)]),
            Code::Version,
        ),
        ("noise", vec![0xde, 0xad, 0xbe, 0xef], Code::Malformed),
    ];
    for (what, bytes, code) in cases {
        let mut socket =
            WebSocket::connect(server.ready.http, &Options::default()).expect("an upgrade");
        socket.send(&bytes).expect("sent");
        let closed = await_close(&mut socket, what);
        // Noise may look too long, unknown or cut off: it must be one of the documented three.
        let noise = [Code::Malformed, Code::TooLarge, Code::UnknownKind];
        let expected = if what == "noise" { &noise[..] } else { &[code] };
        let got = closed.protocol_code().expect("a code of the protocol");
        assert!(expected.contains(&got), "{what}: {closed:?}");
    }
}

fn await_close(socket: &mut WebSocket, what: &str) -> Closed {
    loop {
        match socket.receive(PATIENCE) {
            Ok(Some(Message::Close(code, text))) => return Closed { code, text },
            Ok(Some(_)) => {}
            Ok(None) => panic!("{what}: the connection is still open"),
            Err(e) => panic!("{what}: no close frame: {e}"),
        }
    }
}

/// How long the server waits for a hello, and how much later it may say so.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

fn who_says_nothing_is_closed(cores: Cores) {
    let server = Server::start(cores);
    let mut socket =
        WebSocket::connect(server.ready.http, &Options::default()).expect("an upgrade");
    let began = Instant::now();
    let closed = await_close(&mut socket, "silence");
    assert_eq!(closed.protocol_code(), Some(Code::Deadline), "{closed:?}");
    let took = began.elapsed();
    assert!(
        took > HELLO_DEADLINE / 2 && took < HELLO_DEADLINE * 3,
        "{took:?}"
    );
}

fn an_upgrade_that_is_none_is_refused(cores: Cores) {
    let server = Server::start(cores);
    let to = server.ready.http;
    let refused = |options: &Options, what: &str| {
        let error = WebSocket::connect(to, options).err();
        let error = error.unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(error.to_string().contains(" 4"), "{what}: {error}");
    };
    let subprotocol = Some("chat.v7".to_owned());
    refused(
        &Options {
            subprotocol,
            ..Options::default()
        },
        "another subprotocol",
    );
    let origin = Some("https://evil.example".to_owned());
    refused(
        &Options {
            origin,
            ..Options::default()
        },
        "a foreign origin",
    );
    let plain = "GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(
        WebSocket::upgrade(to, &Options::default(), plain).is_err(),
        "no upgrade asked for"
    );
}

fn a_refused_request_leaves_the_connection_open(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hall", "mallory");
    let mut peer = Peer::connect(server.ready.http, &server.token("mallory"));
    for (duration_s, code) in [(0, Code::BadDuration), (u32::MAX, Code::BadDuration)] {
        let refused = peer
            .try_share("hall", duration_s, "x")
            .expect_err("no such duration");
        assert_eq!(refused.code, code, "{duration_s} s");
        assert!(!refused.text.is_empty());
    }
    let unwatch = Request::Unwatch(Unwatch {
        request: RequestNumber(77),
        chat: ChatHandle(9_999),
    });
    let stray = live(
        ShareNumber(9_999),
        point(
            1,
            Position {
                lat_e6: 1,
                lon_e6: 1,
            },
            0,
        ),
        false,
    );
    for (request, code) in [(unwatch, Code::UnknownWatch), (stray, Code::UnknownShare)] {
        peer.send(&[request]);
        let got = peer.expect("refusal", |update| match update {
            skein_wire::update::Update::Refused(refused) => Some(refused.code),
            _ => None,
        });
        assert_eq!(got, code);
    }
    let shared = peer.share("hall", 600, "works");
    let verdict = |peer: &mut Peer, counter: u64| {
        peer.expect("verdict", |update| match update {
            skein_wire::update::Update::Accepted(accepted) => accepted
                .verdicts
                .iter()
                .find(|v| v.counter.0 == counter)
                .map(|v| v.code),
            _ => None,
        })
    };
    let far = Position {
        lat_e6: 91_000_000,
        lon_e6: 0,
    };
    peer.point(shared.share, point(1, far, 0));
    assert_eq!(verdict(&mut peer, 1), Code::BadPoint);
    peer.point(shared.share, point(2, Position::default(), 0));
    assert_eq!(verdict(&mut peer, 2), Code::NoFix);
    peer.durable_point(
        shared.share,
        point(
            3,
            Position {
                lat_e6: 1,
                lon_e6: 1,
            },
            0,
        ),
    );
    peer.point(
        shared.share,
        point(
            3,
            Position {
                lat_e6: 2,
                lon_e6: 1,
            },
            0,
        ),
    );
    assert_eq!(verdict(&mut peer, 3), Code::Superseded);
}
