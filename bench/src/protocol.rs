//! The few frames that the benches' peers say, and what they look for in the answers.

use bytes::Bytes;
use skein_wire::batch::{Batch, WireCounter};
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::ids::{ChatName, Counter, RequestNumber, ShareNumber};
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, VERSION};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{Delivery, Hello, Request, SharePoint, ShareStart, Token, Watch};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

use crate::server::now_ms;

/// Seconds that a session lasts: longer than any bench.
const DURATION_S: u32 = 3_600;

/// The frames of these requests, one after the other.
pub fn encoded(requests: &[Request]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        encode_request(request, &mut bytes);
    }
    bytes
}

/// The first frame of a connection.
pub fn hello(token: &str) -> Request {
    Request::Hello(Hello {
        version: VERSION,
        token: Token(token.to_owned()),
        client: "skein-bench".to_owned(),
    })
}

/// Asks to see the newest points of a chat.
///
/// # Panics
/// If the name is none.
pub fn watch(chat: &str) -> Request {
    Request::Watch(Watch {
        request: RequestNumber(1),
        chat: ChatName::new(chat).expect("a chat's name"),
        session: None,
        cells: Vec::new(),
        cursor: None,
        delivery: Delivery::Latest,
        trail: 0,
        interval_ms: 0,
    })
}

/// Asks to share in a chat.
///
/// # Panics
/// If the name is none.
pub fn share(chat: &str) -> Request {
    Request::ShareStart(ShareStart {
        request: RequestNumber(1),
        chat: ChatName::new(chat).expect("a chat's name"),
        duration_s: DURATION_S,
        idempotency_key: "bench".to_owned(),
        sealed: false,
    })
}

/// A point that differs from the one before.
pub fn point(share: ShareNumber, counter: u64) -> Request {
    let position = Position {
        lat_e6: 47_000_000 + (counter % 1_000) as i32,
        lon_e6: 8_000_000,
    };
    Request::Point(SharePoint {
        share,
        durable: false,
        point: Point {
            counter: Counter(counter),
            captured_at_ms: now_ms() as i64,
            payload: Payload::Fix(Fix {
                position,
                ..Fix::default()
            }),
        },
    })
}

/// Whether whole frames bring the point with this counter.
///
/// # Panics
/// If they do not parse, or say that the connection or the request is refused.
pub fn brings(mut frames: Bytes, counter: u64) -> bool {
    let mut found = false;
    while let Some(update) = next_update(&mut frames) {
        match update {
            Update::Batch(body) => found |= has_counter(&body, counter),
            Update::Refused(refused) => panic!("refused: {refused:?}"),
            Update::Goodbye(goodbye) => panic!("closed: {goodbye:?}"),
            _ => {}
        }
    }
    found
}

/// The next update that this version knows; takes it from the front.
///
/// # Panics
/// If a frame does not parse.
pub fn next_update(frames: &mut Bytes) -> Option<Update> {
    loop {
        let frame = split_first_shared(frames, SERVER_FRAME_BYTES_MAX).expect("whole frames")?;
        if let Some(update) = decode_update(frame).expect("a frame of the protocol") {
            return Some(update);
        }
    }
}

fn has_counter(body: &Bytes, counter: u64) -> bool {
    let batch = Batch::decode(body).expect("a batch");
    let newest = batch
        .entries
        .iter()
        .filter_map(|entry| entry.point.as_ref());
    newest.into_iter().any(|point| match point.counter {
        WireCounter::Low(low) => low == counter as u8,
        WireCounter::Whole(whole) => whole == Counter(counter),
    })
}
