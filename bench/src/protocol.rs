//! The few frames that the benches' peers say, and what they look for in the answers.

use bytes::Bytes;
use skein_wire::batch::{Batch, Entry, WireCounter};
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
        view: None,
        cursor: None,
        delivery: Delivery::Latest,
        trail: 0,
        interval_ms: 0,
    })
}

/// Asks to share in a chat; the number tells the sessions of a user apart.
///
/// # Panics
/// If the name is none.
pub fn share(chat: &str, number: usize) -> Request {
    Request::ShareStart(ShareStart {
        request: RequestNumber(number as u32 + 1),
        chat: ChatName::new(chat).expect("a chat's name"),
        duration_s: DURATION_S,
        idempotency_key: format!("bench-{number}"),
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

/// The newest point of a session, as a batch brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The session's place in the table.
    pub slot: u32,
    /// Lowest byte of the point's counter: all that a batch tells of most.
    pub counter: u8,
    /// When it was taken, milliseconds since 1970.
    pub captured_at_ms: i64,
}

/// What some rows bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Positions.
    pub positions: usize,
    /// Those among them with the counter that was looked for.
    pub fresh: usize,
    /// When all of them were taken, milliseconds since 1970, added up.
    pub captured_at_ms: i64,
}

/// Puts the rows of the batches in whole frames into `rows`.
///
/// # Panics
/// If they do not parse, or say that the connection or the request is refused.
pub fn read_rows(mut frames: Bytes, rows: &mut Vec<Row>) {
    rows.clear();
    while let Some(update) = next_update(&mut frames) {
        match update {
            Update::Batch(body) => {
                let batch = Batch::decode(&body).expect("a batch");
                rows.extend(batch.entries.iter().filter_map(row));
            }
            Update::Refused(refused) => panic!("refused: {refused:?}"),
            Update::Goodbye(goodbye) => panic!("closed: {goodbye:?}"),
            _ => {}
        }
    }
}

/// How many positions of this counter are in whole frames.
///
/// # Panics
/// As [`read_rows`].
pub fn fresh(frames: Bytes, counter: u64) -> usize {
    let mut rows = Vec::new();
    read_rows(frames, &mut rows);
    Brought::of(&rows, counter).fresh
}

fn row(entry: &Entry) -> Option<Row> {
    let point = entry.point.as_ref()?;
    Some(Row {
        slot: entry.slot.0,
        counter: match point.counter {
            WireCounter::Low(low) => low,
            WireCounter::Whole(whole) => whole.0 as u8,
        },
        captured_at_ms: point.captured_at_ms,
    })
}

impl Brought {
    /// What these bring to whoever looks for a counter.
    pub fn of(rows: &[Row], counter: u64) -> Self {
        let is_fresh = |row: &&Row| row.counter == counter as u8;
        Self {
            positions: rows.len(),
            fresh: rows.iter().filter(is_fresh).count(),
            captured_at_ms: rows.iter().map(|row| row.captured_at_ms).sum(),
        }
    }
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
