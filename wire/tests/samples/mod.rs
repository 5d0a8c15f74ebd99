//! One value of every kind, shared by the tests that need "all of them".

#![allow(
    dead_code,
    reason = "each test file uses the part that it needs of this module"
)]

use bytes::Bytes;
use skein_wire::batch::{
    Batch, BatchHeader, BatchWriter, Descriptor, EntryRef, Flags, Page, StateMark,
};
use skein_wire::error::Code;
use skein_wire::frame::encode_update;
use skein_wire::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, Slot,
    UserName,
};
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};
use skein_wire::request::{
    CursorReport, Delivery, Heartbeat, Hello, MembersAsk, MembersSeen, Request, ShareExtend,
    SharePoint, SharePoints, ShareResume, ShareStart, ShareStop, Token, Unwatch, Watch,
};
use skein_wire::update::{
    Accepted, Cluster, Clusters, Coarse, Crossing, CrossingKind, Demand, Done, Goodbye, Head,
    Members, Pong, Refused, SessionState, ShareEnded, Shared, Update, Upstream, Verdict, Viewing,
    WatchEnded, Watching, Welcome,
};

/// Server time of all samples, milliseconds since 1970.
pub const NOW_MS: u64 = 1_750_000_000_000;

/// A town by the sea.
const VIEW: MapView = MapView {
    south_e6: 45_600_000,
    west_e6: 13_700_000,
    north_e6: 45_700_000,
    east_e6: 13_900_000,
    rows: 500,
};

/// A fix with nothing but a place.
pub fn bare_fix(lat_e6: i32, lon_e6: i32) -> Fix {
    Fix {
        position: Position { lat_e6, lon_e6 },
        ..Fix::default()
    }
}

/// A fix with everything.
pub fn rich_fix(lat_e6: i32, lon_e6: i32) -> Fix {
    Fix {
        heading: Some(Heading(64)),
        speed: Some(Speed(100)),
        accuracy: Some(Accuracy(72)),
        battery: Some(81),
        ..bare_fix(lat_e6, lon_e6)
    }
}

/// A plain point, `age_ms` old.
pub fn point(counter: u64, age_ms: i64, fix: Fix) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: NOW_MS as i64 - age_ms,
        payload: Payload::Fix(fix),
    }
}

/// A sealed point, `age_ms` old.
pub fn sealed(counter: u64, age_ms: i64, blob: &'static [u8]) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: NOW_MS as i64 - age_ms,
        payload: Payload::Sealed(Bytes::from_static(blob)),
    }
}

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a good name")
}

fn chat() -> ChatName {
    ChatName::new("geese").expect("a good name")
}

/// A request of every kind, some kinds twice where a field is optional.
pub fn requests() -> Vec<(&'static str, Request)> {
    let mut all = session_requests();
    all.extend(watch_requests());
    all
}

fn session_requests() -> Vec<(&'static str, Request)> {
    vec![
        (
            "Hello",
            Request::Hello(Hello {
                version: 1,
                token: Token("a.b.c".to_owned()),
                client: "geese/1.0".to_owned(),
            }),
        ),
        ("Auth", Request::Auth(Token("d.e.f".to_owned()))),
        (
            "ShareStart",
            Request::ShareStart(ShareStart {
                request: RequestNumber(1),
                chat: chat(),
                duration_s: 900,
                idempotency_key: "k-1".to_owned(),
                sealed: false,
            }),
        ),
        (
            "ShareResume",
            Request::ShareResume(ShareResume {
                request: RequestNumber(2),
                chat: chat(),
                session: SessionId(0x0123_4567_89ab_cdef),
            }),
        ),
        (
            "ShareExtend",
            Request::ShareExtend(ShareExtend {
                request: RequestNumber(3),
                share: ShareNumber(1),
                duration_s: 3600,
            }),
        ),
        (
            "ShareStop",
            Request::ShareStop(ShareStop {
                request: RequestNumber(70),
                share: ShareNumber(1),
            }),
        ),
        (
            "Point, plain, all values",
            Request::Point(SharePoint {
                share: ShareNumber(1),
                durable: false,
                point: point(7, 250, rich_fix(45_270_001, 13_720_002)),
            }),
        ),
        (
            "Point, sealed, durable",
            Request::Point(SharePoint {
                share: ShareNumber(1),
                durable: true,
                point: sealed(8, 0, b"opaque"),
            }),
        ),
        (
            "Points",
            Request::Points(SharePoints {
                share: ShareNumber(1),
                historical: true,
                durable: false,
                points: vec![
                    point(5, 9_000, bare_fix(-45_270_000, -13_720_000)),
                    point(6, 8_000, rich_fix(45_270_000, 13_720_000)),
                ],
            }),
        ),
        (
            "Heartbeat",
            Request::Heartbeat(Heartbeat {
                share: ShareNumber(1),
                counter: Counter(300),
            }),
        ),
    ]
}

fn watch_requests() -> Vec<(&'static str, Request)> {
    vec![
        (
            "Watch, new",
            Request::Watch(Watch {
                request: RequestNumber(4),
                chat: chat(),
                session: None,
                view: None,
                cursor: None,
                delivery: Delivery::Latest,
                trail: 0,
                interval_ms: 0,
            }),
        ),
        (
            "Watch, everything",
            Request::Watch(Watch {
                request: RequestNumber(5),
                chat: chat(),
                session: Some(SessionId(0x0123_4567_89ab_cdef)),
                view: None,
                cursor: Some(Cursor {
                    log: 0xfeed_0000_0000_0001,
                    epoch: 2,
                    offset: 1_000_000,
                }),
                delivery: Delivery::Every,
                trail: 32,
                interval_ms: 1_000,
            }),
        ),
        (
            "Watch, a part of the map",
            Request::Watch(Watch {
                request: RequestNumber(8),
                chat: chat(),
                session: None,
                view: Some(VIEW),
                cursor: None,
                delivery: Delivery::Latest,
                trail: 0,
                interval_ms: 0,
            }),
        ),
        (
            "Unwatch",
            Request::Unwatch(Unwatch {
                request: RequestNumber(6),
                chat: ChatHandle(9),
            }),
        ),
        (
            "Cursor",
            Request::Cursor(CursorReport {
                chat: ChatHandle(9),
                cell: Cell(0),
                epoch: 2,
                offset: 1_000_000,
            }),
        ),
        ("Ping", Request::Ping(0x1122_3344_5566_7788)),
        (
            "MembersAsk",
            Request::MembersAsk(MembersAsk {
                request: RequestNumber(12),
                chat: ChatHandle(9),
                after: Some(user("ana")),
            }),
        ),
        (
            "MembersSeen",
            Request::MembersSeen(MembersSeen {
                chat: ChatHandle(9),
                offset: 1_000_001,
            }),
        ),
    ]
}

fn cluster(cell: MapCell, count: u32, (east, north): (u8, u8)) -> Cluster {
    Cluster {
        cell,
        count,
        east,
        north,
    }
}

/// An update of every kind but `Batch`.
pub fn updates() -> Vec<(&'static str, Update)> {
    let mut all = session_updates();
    all.extend(connection_updates());
    all
}

fn connection_updates() -> Vec<(&'static str, Update)> {
    vec![
        (
            "Welcome",
            Update::Welcome(Welcome {
                version: 1,
                log: 0xfeed_0000_0000_0001,
                server_time_ms: NOW_MS,
                frame_bytes_max: 4096,
                duration_s_max: 86_400,
                keep_alive_ms: 5_000,
                stale_after_ms: 30_000,
                views_recorded: true,
            }),
        ),
        (
            "Refused",
            Update::Refused(Refused {
                request: RequestNumber(4),
                code: Code::NotFound,
                text: "no such chat".to_owned(),
            }),
        ),
        (
            "Done",
            Update::Done(Done {
                request: RequestNumber(70),
                durable: true,
            }),
        ),
        (
            "Pong",
            Update::Pong(Pong {
                number: 0x1122_3344_5566_7788,
                server_time_ms: NOW_MS,
            }),
        ),
        (
            "Goodbye",
            Update::Goodbye(Goodbye {
                code: Code::GoingAway,
                retry_after_ms: 1_500,
                text: "restarting".to_owned(),
            }),
        ),
    ]
}

fn session_updates() -> Vec<(&'static str, Update)> {
    vec![
        (
            "Shared",
            Update::Shared(Shared {
                request: RequestNumber(1),
                session: SessionId(0x0123_4567_89ab_cdef),
                share: ShareNumber(1),
                counter_last: Counter(0),
                expires_at_ms: NOW_MS + 900_000,
            }),
        ),
        (
            "Accepted",
            Update::Accepted(Accepted {
                share: ShareNumber(1),
                counter: Counter(300),
                durable: Counter(8),
                verdicts: vec![
                    Verdict {
                        counter: Counter(5),
                        code: Code::Superseded,
                    },
                    Verdict {
                        counter: Counter(290),
                        code: Code::BadPoint,
                    },
                ],
            }),
        ),
        (
            "Members",
            Update::Members(Members {
                request: RequestNumber(12),
                chat: ChatHandle(9),
                offset: 1_000_000,
                more: true,
                members: vec![(user("bob"), 2), (user("cem"), 4)],
            }),
        ),
        (
            "Upstream",
            Update::Upstream(Upstream {
                lost_since_ms: NOW_MS,
                relays: vec![0x0abc, 0x0def],
            }),
        ),
        (
            "ShareEnded",
            Update::ShareEnded(ShareEnded {
                share: ShareNumber(1),
                state: SessionState::Expired,
            }),
        ),
        (
            "Crossing into a geofence",
            Update::Crossing(Crossing {
                chat: ChatHandle(9),
                offset: 1_000_002,
                kind: CrossingKind::Enter,
                is_alert: false,
                at_ms: NOW_MS,
                name: "school".parse().expect("a name"),
                subject: (SessionId(7), "ana".parse().expect("a name")),
                other: None,
            }),
        ),
        (
            "Crossing of two, an alert",
            Update::Crossing(Crossing {
                chat: ChatHandle(9),
                offset: 1_000_003,
                kind: CrossingKind::Far,
                is_alert: true,
                at_ms: NOW_MS,
                name: "ben is here".parse().expect("a name"),
                subject: (SessionId(8), "ben".parse().expect("a name")),
                other: Some((SessionId(7), "ana".parse().expect("a name"))),
            }),
        ),
        (
            "Viewing",
            Update::Viewing(Viewing {
                chat: ChatHandle(9),
                cell: Cell(70_000),
                area: VIEW,
                cells: [(2_204, 1_542), (2_205, 1_542), (2_204, 1_543)]
                    .map(|(column, row)| MapCell::new(12, column, row))
                    .to_vec(),
            }),
        ),
        (
            "Clusters",
            Update::Clusters(Clusters {
                chat: ChatHandle(9),
                cell: Cell(70_000),
                epoch: 2,
                to: 1_000_002,
                clusters: vec![
                    cluster(MapCell::EARTH, 3, (0, 255)),
                    cluster(MapCell::new(12, 2_205, 1_543), 9_100, (128, 64)),
                ],
            }),
        ),
        (
            "Coarse",
            Update::Coarse(Coarse {
                request: RequestNumber(4),
                grid_m: 5_000,
            }),
        ),
        (
            "Demand",
            Update::Demand(Demand {
                share: ShareNumber(1),
                interval_ms: 5_000,
            }),
        ),
        (
            "Watching",
            Update::Watching(Watching {
                request: RequestNumber(4),
                chat: ChatHandle(9),
                epoch: 2,
                horizon: 64,
                from: 0,
            }),
        ),
        (
            "Head",
            Update::Head(Head {
                chat: ChatHandle(9),
                cell: Cell(0),
                epoch: 2,
                to: 1_000_001,
            }),
        ),
        (
            "WatchEnded",
            Update::WatchEnded(WatchEnded {
                chat: ChatHandle(9),
                code: Code::MembershipRevoked,
            }),
        ),
    ]
}

/// A header around the sample place.
pub fn header(from: u64, to: u64) -> BatchHeader {
    BatchHeader {
        chat: ChatHandle(9),
        cell: Cell(0),
        epoch: 2,
        from,
        to,
        server_time_ms: NOW_MS,
        anchor: Position {
            lat_e6: 45_000_000,
            lon_e6: 13_000_000,
        },
        delivery: Delivery::Every,
        page: None,
    }
}

/// A descriptor of a member's session.
pub fn descriptor(session: u64, user: &str, counter: u64, sealed: bool) -> Descriptor {
    Descriptor {
        session: SessionId(session),
        user: UserName::new(user).expect("a good name"),
        started_at_ms: NOW_MS - 60_000,
        expires_at_ms: NOW_MS + 840_000,
        counter: Counter(counter),
        sealed,
    }
}

/// A row as a test states it.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub slot: u32,
    pub descriptor: Option<Descriptor>,
    pub point: Option<Point>,
    pub counter_whole: bool,
    pub skipped: u64,
    pub earlier: Vec<Point>,
    pub state: Option<StateMark>,
}

impl Row {
    /// The row as the writer takes it.
    pub fn as_entry(&self) -> EntryRef<'_> {
        EntryRef {
            slot: Slot(self.slot),
            descriptor: self.descriptor.as_ref(),
            point: self.point.as_ref(),
            counter_whole: self.counter_whole,
            skipped: self.skipped,
            state: self.state,
        }
    }
}

/// The whole frame of a batch, with its length.
pub fn batch_frame(header: &BatchHeader, flags_default: Flags, rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = BatchWriter::begin(&mut out, header, flags_default);
    for row in rows {
        writer.entry(&row.as_entry(), row.earlier.iter());
    }
    writer.finish();
    out
}

/// Reads the frame that [`batch_frame`] gives.
pub fn read_batch(frame: &[u8]) -> Batch {
    // 4 bytes of length, one of kind.
    Batch::decode(&Bytes::copy_from_slice(&frame[5..])).expect("a good batch")
}

fn state(state: SessionState, age_ms: u64) -> Option<StateMark> {
    Some(StateMark {
        state,
        at_ms: NOW_MS - age_ms,
    })
}

/// A viewer's story in frames: a welcome, a watch, then the batches: joining, moving, gaps, pages,
/// states, an end, a new epoch.
pub fn story() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |update: &Update| {
        let mut bytes = Vec::new();
        encode_update(update, &mut bytes);
        bytes
    };
    let mut all: Vec<_> = updates()
        .iter()
        .filter(|(name, _)| ["Welcome", "Watching"].contains(name))
        .map(|(name, update)| (*name, frame(update)))
        .collect();
    all.sort_by_key(|(name, _)| *name != "Welcome");
    all.extend(batches());
    all
}

/// The batches of the story.
pub fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![(
        "full batch: two sessions, one of them without a point yet",
        batch_frame(&header(0, 100), Flags::NONE, &first_rows()),
    )];
    all.extend(moving_batches());
    all.extend(odd_batches());
    all.extend(paged_batches());
    all.extend(batches_after_a_crash());
    all
}

fn first_rows() -> Vec<Row> {
    vec![
        Row {
            slot: 0,
            descriptor: Some(descriptor(0xa1, "ada", 250, false)),
            point: Some(point(250, 400, rich_fix(45_270_001, 13_720_002))),
            skipped: 249,
            ..Row::default()
        },
        Row {
            slot: 3,
            descriptor: Some(descriptor(0xb2, "bo", 0, true)),
            ..Row::default()
        },
    ]
}

fn moving_batches() -> Vec<(&'static str, Vec<u8>)> {
    let motion = Flags::POINT | Flags::HEADING | Flags::SPEED | Flags::ACCURACY | Flags::BATTERY;
    vec![
        (
            "one fix with the default flags; its counter's low byte wraps",
            batch_frame(
                &header(100, 101),
                motion,
                &[Row {
                    slot: 0,
                    point: Some(point(260, 300, rich_fix(45_270_010, 13_720_020))),
                    ..Row::default()
                }],
            ),
        ),
        (
            "earlier points, oldest first, one of them far away; two are lost; a sealed point",
            batch_frame(
                &header(101, 120),
                Flags::POINT,
                &[
                    Row {
                        slot: 0,
                        point: Some(point(264, -20, bare_fix(45_270_040, 13_720_050))),
                        skipped: 253,
                        earlier: vec![
                            point(262, 2_000, bare_fix(-33_800_000, 151_200_000)),
                            point(263, 1_000, rich_fix(45_270_030, 13_720_040)),
                        ],
                        ..Row::default()
                    },
                    Row {
                        slot: 3,
                        point: Some(sealed(1, 500, b"\x00\x01opaque\xff")),
                        counter_whole: true,
                        ..Row::default()
                    },
                ],
            ),
        ),
        (
            "states: stale, and a heartbeat that names the time it came",
            batch_frame(
                &header(120, 122),
                Flags::STATE,
                &[
                    Row {
                        slot: 0,
                        state: state(SessionState::Stale, 0),
                        ..Row::default()
                    },
                    Row {
                        slot: 3,
                        state: state(SessionState::Stationary, 1_200),
                        ..Row::default()
                    },
                ],
            ),
        ),
    ]
}

fn odd_batches() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "an old batch and one behind a gap: neither may be applied (this one begins at 500)",
            batch_frame(
                &header(500, 501),
                Flags::POINT,
                &[Row {
                    slot: 0,
                    point: Some(point(1_000, 0, bare_fix(45_000_000, 13_000_000))),
                    ..Row::default()
                }],
            ),
        ),
        (
            "a wide position, a new end and the end itself",
            batch_frame(
                &header(110, 130),
                Flags::POINT | Flags::STATE,
                &[
                    Row {
                        slot: 0,
                        point: Some(point(265, 100, bare_fix(-45_000_000, -179_999_999))),
                        state: state(SessionState::Live, 0),
                        ..Row::default()
                    },
                    Row {
                        slot: 3,
                        descriptor: Some(descriptor(0xb2, "bo", 1, true)),
                        state: state(SessionState::Stopped, 50),
                        ..Row::default()
                    },
                ],
            ),
        ),
        (
            "begins before the cursor: bo's end is told again, and that of one whom nobody knew",
            batch_frame(
                &header(120, 131),
                Flags::STATE,
                &[
                    Row {
                        slot: 3,
                        state: state(SessionState::Stopped, 50),
                        ..Row::default()
                    },
                    Row {
                        slot: 4,
                        state: state(SessionState::Expired, 0),
                        ..Row::default()
                    },
                ],
            ),
        ),
    ]
}

/// The server has lost ada's points 264 and 265, which the viewer has seen.
fn batches_after_a_crash() -> Vec<(&'static str, Vec<u8>)> {
    let batch = |from, counter| {
        let header = BatchHeader {
            epoch: 3,
            ..header(from, from + 1)
        };
        let row = Row {
            slot: 0,
            point: Some(point(counter, 0, bare_fix(45_270_080, 13_720_090))),
            ..Row::default()
        };
        batch_frame(&header, Flags::POINT, &[row])
    };
    vec![
        (
            "ada's counter 264 again: widened from 263, not from the 265 that is shown; ignored",
            batch(140, 264),
        ),
        ("ada's counter 266: shown", batch(141, 266)),
        (
            "ada's counter 261 comes late, beside the newest one: told, but the marker stays",
            late_batch(),
        ),
    ]
}

fn late_batch() -> Vec<u8> {
    let header = BatchHeader {
        epoch: 3,
        ..header(142, 143)
    };
    let row = Row {
        slot: 0,
        point: Some(point(266, 0, bare_fix(45_270_080, 13_720_090))),
        earlier: vec![point(261, 9_000, bare_fix(45_270_020, 13_720_030))],
        ..Row::default()
    };
    batch_frame(&header, Flags::POINT, &[row])
}

fn paged_batches() -> Vec<(&'static str, Vec<u8>)> {
    let page = |index| BatchHeader {
        epoch: 3,
        page: Some(Page {
            snapshot: 77,
            index,
            total: 2,
        }),
        ..header(0, 140)
    };
    let row = |slot, session, user, counter, skipped| Row {
        slot,
        skipped,
        descriptor: Some(descriptor(session, user, counter, false)),
        point: Some(point(counter, 600, bare_fix(45_270_060, 13_720_070))),
        ..Row::default()
    };
    let flags = Flags::DESCRIPTOR | Flags::POINT;
    vec![
        (
            "a full batch of a newer epoch, page 1 of 2: counts only with its other page",
            batch_frame(&page(1), flags, &[row(8, 0xc3, "cy", 4, 3)]),
        ),
        (
            "page 0 of 2; ada's row is older than what the viewer has",
            batch_frame(&page(0), flags, &[row(0, 0xa1, "ada", 263, 254)]),
        ),
    ]
}
