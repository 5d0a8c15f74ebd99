//! Values of every shape within the limits, for the tests that generate.

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use skein_wire::batch::{BatchHeader, Descriptor, Page, StateMark};
use skein_wire::error::Code;
use skein_wire::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, UserName,
};
use skein_wire::limits::{
    CAPTURED_AT_MS_MAX, CAPTURED_AT_MS_MIN, LAT_E6_MAX, LON_E6_MAX, PAGES_MAX, SEALED_BYTES_MAX,
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
use skein_wire::varint;

use crate::samples::Row;

/// Small numbers and large ones, up to what a varint holds.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, 0..=varint::MAX, Just(varint::MAX)]
}

fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![0..300u32, any::<u32>()]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![Just(Delivery::Latest), Just(Delivery::Every)]
}

fn code() -> impl Strategy<Value = Code> {
    proptest::sample::select(Code::ALL)
}

fn state() -> impl Strategy<Value = SessionState> {
    (0..=6u8).prop_map(|byte| SessionState::from_u8(byte).expect("a state"))
}

fn user_name() -> impl Strategy<Value = UserName> {
    "[a-zä ]{1,60}".prop_map(|name| UserName::new(&name).expect("a name"))
}

fn chat_name() -> impl Strategy<Value = ChatName> {
    "[a-zä ]{1,60}".prop_map(|name| ChatName::new(&name).expect("a name"))
}

fn position() -> impl Strategy<Value = Position> {
    let lat = prop_oneof![
        -LAT_E6_MAX..=LAT_E6_MAX,
        Just(LAT_E6_MAX),
        Just(-LAT_E6_MAX)
    ];
    let lon = prop_oneof![
        -LON_E6_MAX..=LON_E6_MAX,
        Just(LON_E6_MAX),
        Just(-LON_E6_MAX)
    ];
    (lat, lon).prop_map(|(lat_e6, lon_e6)| Position { lat_e6, lon_e6 })
}

/// Near the anchor, at the border of the narrow form, or anywhere.
fn position_around(anchor: Position) -> impl Strategy<Value = Position> {
    let edge = 8_388_607;
    let by = || {
        prop_oneof![
            -50_000..50_000i32,
            (edge - 1)..=(edge + 2),
            -(edge + 2)..=-(edge - 1)
        ]
    };
    let near = (by(), by()).prop_map(move |(lat, lon)| Position {
        lat_e6: (anchor.lat_e6 + lat).clamp(-LAT_E6_MAX, LAT_E6_MAX),
        lon_e6: (anchor.lon_e6 + lon).clamp(-LON_E6_MAX, LON_E6_MAX),
    });
    prop_oneof![3 => near, 1 => position()]
}

fn payload(position: impl Strategy<Value = Position> + 'static) -> impl Strategy<Value = Payload> {
    let byte = || option::of(any::<u8>());
    let fix = (position, byte(), byte(), byte(), option::of(0..=100u8)).prop_map(
        |(position, heading, speed, accuracy, battery)| {
            Payload::Fix(Fix {
                position,
                heading: heading.map(Heading),
                speed: speed.map(Speed),
                accuracy: accuracy.map(Accuracy),
                battery,
            })
        },
    );
    let sealed =
        vec(any::<u8>(), 1..=SEALED_BYTES_MAX).prop_map(|blob| Payload::Sealed(Bytes::from(blob)));
    prop_oneof![4 => fix, 1 => sealed]
}

/// Points as a client may send them: also those that deserve a verdict.
fn sent_point() -> impl Strategy<Value = Point> {
    let wild =
        (any::<i32>(), any::<i32>()).prop_map(|(lat_e6, lon_e6)| Position { lat_e6, lon_e6 });
    (number(), any::<i64>(), payload(wild)).prop_map(|(counter, captured_at_ms, payload)| Point {
        counter: Counter(counter),
        captured_at_ms,
        payload,
    })
}

/// Any request that a client may send.
pub fn request() -> impl Strategy<Value = Request> {
    prop_oneof![session_request(), watch_request()]
}

fn session_request() -> impl Strategy<Value = Request> {
    let request = || number32().prop_map(RequestNumber);
    let share = || number32().prop_map(ShareNumber);
    prop_oneof![
        ("[ -~]{0,300}", ".{0,16}").prop_map(|(token, client)| Request::Hello(Hello {
            version: 1,
            token: Token(token),
            client,
        })),
        "[ -~]{0,300}".prop_map(|token| Request::Auth(Token(token))),
        (
            request(),
            chat_name(),
            number32(),
            "[a-z0-9-]{0,64}",
            any::<bool>()
        )
            .prop_map(|(request, chat, duration_s, idempotency_key, sealed)| {
                Request::ShareStart(ShareStart {
                    request,
                    chat,
                    duration_s,
                    idempotency_key,
                    sealed,
                })
            }),
        (request(), chat_name(), any::<u64>()).prop_map(|(request, chat, session)| {
            Request::ShareResume(ShareResume {
                request,
                chat,
                session: SessionId(session),
            })
        }),
        (request(), share(), number32()).prop_map(|(request, share, duration_s)| {
            Request::ShareExtend(ShareExtend {
                request,
                share,
                duration_s,
            })
        }),
        (request(), share())
            .prop_map(|(request, share)| Request::ShareStop(ShareStop { request, share })),
        (share(), any::<bool>(), sent_point()).prop_map(|(share, durable, point)| {
            Request::Point(SharePoint {
                share,
                durable,
                point,
            })
        }),
        (
            share(),
            any::<bool>(),
            any::<bool>(),
            vec(sent_point(), 0..20)
        )
            .prop_map(|(share, historical, durable, points)| {
                Request::Points(SharePoints {
                    share,
                    historical,
                    durable,
                    points,
                })
            }),
        (share(), number()).prop_map(|(share, counter)| Request::Heartbeat(Heartbeat {
            share,
            counter: Counter(counter),
        })),
    ]
}

fn map_view() -> impl Strategy<Value = MapView> {
    (any::<[i32; 4]>(), any::<u32>()).prop_map(|(edges, rows)| {
        let [south_e6, west_e6, north_e6, east_e6] = edges;
        MapView {
            south_e6,
            west_e6,
            north_e6,
            east_e6,
            rows,
        }
    })
}

fn map_cell() -> impl Strategy<Value = MapCell> {
    (0..=MapCell::LEVEL_MAX, any::<(u32, u32)>()).prop_map(|(level, (column, row))| {
        let mask = (1 << level) - 1;
        MapCell::new(level, column & mask, row & mask)
    })
}

/// What a view shows, and what it counts.
fn view_update() -> impl Strategy<Value = Update> {
    let chat = || number32().prop_map(ChatHandle);
    let part = (1..=u32::MAX, any::<(u8, u8)>());
    prop_oneof![
        (number32(), number32()).prop_map(|(request, grid_m)| {
            let request = RequestNumber(request);
            Update::Coarse(Coarse { request, grid_m })
        }),
        (chat(), number(), map_view(), btree_set(map_cell(), 0..=64)).prop_map(
            |(chat, cell, area, cells)| Update::Viewing(Viewing {
                chat,
                cell: Cell(cell),
                area,
                cells: cells.into_iter().collect(),
            })
        ),
        (
            (chat(), number(), any::<u32>(), number()),
            btree_map(map_cell(), part, 0..=256)
        )
            .prop_map(|((chat, cell, epoch, to), clusters)| {
                let cluster = |(cell, (count, (east, north)))| Cluster {
                    cell,
                    count,
                    east,
                    north,
                };
                Update::Clusters(Clusters {
                    chat,
                    cell: Cell(cell),
                    epoch,
                    to,
                    clusters: clusters.into_iter().map(cluster).collect(),
                })
            }),
    ]
}

fn watch_request() -> impl Strategy<Value = Request> {
    let request = || number32().prop_map(RequestNumber);
    let chat = || number32().prop_map(ChatHandle);
    let cursor = (any::<u64>(), any::<u32>(), number()).prop_map(|(log, epoch, offset)| Cursor {
        log,
        epoch,
        offset,
    });
    let watch = (
        (request(), chat_name(), option::of(any::<u64>())),
        (option::of(map_view()), option::of(cursor)),
        (delivery(), 0..=32u8, any::<u32>()),
    );
    prop_oneof![
        watch.prop_map(
            |((request, chat, session), (view, cursor), (delivery, trail, interval_ms))| {
                Request::Watch(Watch {
                    request,
                    chat,
                    session: session.map(SessionId),
                    view,
                    cursor,
                    delivery,
                    trail,
                    interval_ms,
                })
            }
        ),
        (request(), chat()).prop_map(|(request, chat)| Request::Unwatch(Unwatch { request, chat })),
        (chat(), number(), any::<u32>(), number()).prop_map(|(chat, cell, epoch, offset)| {
            Request::Cursor(CursorReport {
                chat,
                cell: Cell(cell),
                epoch,
                offset,
            })
        }),
        any::<u64>().prop_map(Request::Ping),
        (request(), chat(), option::of(user_name())).prop_map(|(request, chat, after)| {
            Request::MembersAsk(MembersAsk {
                request,
                chat,
                after,
            })
        }),
        (chat(), number())
            .prop_map(|(chat, offset)| Request::MembersSeen(MembersSeen { chat, offset })),
    ]
}

/// Any update that the server may send.
pub fn update() -> impl Strategy<Value = Update> {
    prop_oneof![connection_update(), share_update(), watch_update()]
}

fn connection_update() -> impl Strategy<Value = Update> {
    let request = || number32().prop_map(RequestNumber);
    prop_oneof![
        (
            any::<u16>(),
            any::<u64>(),
            number(),
            any::<[u32; 4]>(),
            any::<bool>()
        )
            .prop_map(|(version, log, server_time_ms, limits, views_recorded)| {
                Update::Welcome(Welcome {
                    version,
                    log,
                    server_time_ms,
                    frame_bytes_max: limits[0],
                    duration_s_max: limits[1],
                    keep_alive_ms: limits[2],
                    stale_after_ms: limits[3],
                    views_recorded,
                })
            }),
        (request(), code(), ".{0,60}").prop_map(|(request, code, text)| {
            Update::Refused(Refused {
                request,
                code,
                text,
            })
        }),
        (any::<u64>(), number()).prop_map(|(number, server_time_ms)| Update::Pong(Pong {
            number,
            server_time_ms,
        })),
        (code(), any::<u32>(), ".{0,60}").prop_map(|(code, retry_after_ms, text)| {
            Update::Goodbye(Goodbye {
                code,
                retry_after_ms,
                text,
            })
        }),
        (request(), any::<bool>())
            .prop_map(|(request, durable)| Update::Done(Done { request, durable })),
    ]
}

fn share_update() -> impl Strategy<Value = Update> {
    let share = || number32().prop_map(ShareNumber);
    let verdict = (number(), code()).prop_map(|(counter, code)| Verdict {
        counter: Counter(counter),
        code,
    });
    prop_oneof![
        (number32(), any::<u64>(), share(), number(), number()).prop_map(
            |(request, session, share, counter, expires_at_ms)| {
                Update::Shared(Shared {
                    request: RequestNumber(request),
                    session: SessionId(session),
                    share,
                    counter_last: Counter(counter),
                    expires_at_ms,
                })
            }
        ),
        (share(), number(), number(), vec(verdict, 0..=256)).prop_map(
            |(share, counter, durable, verdicts)| {
                Update::Accepted(Accepted {
                    share,
                    counter: Counter(counter),
                    durable: Counter(durable),
                    verdicts,
                })
            }
        ),
        (share(), any::<u32>())
            .prop_map(|(share, interval_ms)| Update::Demand(Demand { share, interval_ms })),
        (share(), 3..=5u8).prop_map(|(share, state)| Update::ShareEnded(ShareEnded {
            share,
            state: SessionState::from_u8(state).expect("a state"),
        })),
    ]
}

fn relay_update() -> impl Strategy<Value = Update> {
    let members = vec((user_name(), any::<u8>()), 0..=5);
    prop_oneof![
        (number32(), number32(), number(), any::<bool>(), members).prop_map(
            |(request, chat, offset, more, members)| {
                Update::Members(Members {
                    request: RequestNumber(request),
                    chat: ChatHandle(chat),
                    offset,
                    more,
                    members,
                })
            }
        ),
        (number(), vec(any::<u64>(), 0..=8)).prop_map(|(lost_since_ms, relays)| Update::Upstream(
            Upstream {
                lost_since_ms,
                relays,
            }
        )),
    ]
}

fn watch_update() -> impl Strategy<Value = Update> {
    let chat = || number32().prop_map(ChatHandle);
    prop_oneof![
        relay_update(),
        view_update(),
        (number32(), chat(), any::<u32>(), number(), number()).prop_map(
            |(request, chat, epoch, horizon, from)| {
                Update::Watching(Watching {
                    request: RequestNumber(request),
                    chat,
                    epoch,
                    horizon,
                    from,
                })
            }
        ),
        (chat(), number(), any::<u32>(), number()).prop_map(|(chat, cell, epoch, to)| {
            Update::Head(Head {
                chat,
                cell: Cell(cell),
                epoch,
                to,
            })
        }),
        (chat(), code()).prop_map(|(chat, code)| Update::WatchEnded(WatchEnded { chat, code })),
        (
            (chat(), number(), 1..=4u8, any::<bool>(), number()),
            subject(),
            option::of(subject())
        )
            .prop_map(|((chat, offset, kind, is_alert, at_ms), subject, other)| {
                Update::Crossing(Crossing {
                    chat,
                    offset,
                    kind: CrossingKind::from_u8(kind).expect("a kind"),
                    is_alert,
                    at_ms,
                    name: "gate".parse().expect("a name"),
                    subject,
                    other,
                })
            }),
    ]
}

fn subject() -> impl Strategy<Value = (SessionId, UserName)> {
    (any::<u64>(), "[a-z]{1,9}")
        .prop_map(|(session, user)| (SessionId(session), user.parse().expect("a name")))
}

/// Times of the generated batches are around this one, or anywhere.
const NOW_MS: u64 = 1_750_000_000_000;

/// Anchor of the generated batches: near a pole and the antimeridian, but with both borders of the
/// narrow form on the globe.
const ANCHOR: Position = Position {
    lat_e6: 81_000_000,
    lon_e6: -171_000_000,
};

/// A batch's header.
pub fn header() -> impl Strategy<Value = BatchHeader> {
    let page =
        (any::<u32>(), 1..=PAGES_MAX, any::<u32>()).prop_map(|(snapshot, total, index)| Page {
            snapshot,
            index: index % total,
            total,
        });
    let span = (number(), number()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let ids = (number32(), number(), any::<u32>());
    (ids, span, delivery(), option::of(page)).prop_map(
        |((chat, cell, epoch), (from, to), delivery, page)| BatchHeader {
            chat: ChatHandle(chat),
            cell: Cell(cell),
            epoch,
            from,
            to,
            server_time_ms: NOW_MS,
            anchor: ANCHOR,
            delivery,
            page,
        },
    )
}

fn device_time() -> impl Strategy<Value = i64> {
    let now = NOW_MS as i64;
    prop_oneof![
        3 => now - 10_000..now + 1_000,
        1 => CAPTURED_AT_MS_MIN..=CAPTURED_AT_MS_MAX,
    ]
}

fn server_time() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=CAPTURED_AT_MS_MAX as u64,
        NOW_MS - 60_000..NOW_MS + 60_000
    ]
}

fn row_point(counter: u64) -> impl Strategy<Value = Point> {
    (device_time(), payload(position_around(ANCHOR))).prop_map(move |(captured_at_ms, payload)| {
        Point {
            counter: Counter(counter),
            captured_at_ms,
            payload,
        }
    })
}

fn descriptor(counter: u64) -> impl Strategy<Value = Descriptor> {
    (
        any::<u64>(),
        "[a-z]{1,20}",
        server_time(),
        server_time(),
        any::<bool>(),
    )
        .prop_map(
            move |(session, user, started_at_ms, expires_at_ms, sealed)| Descriptor {
                session: SessionId(session),
                user: UserName::new(&user).expect("a name"),
                started_at_ms,
                expires_at_ms,
                counter: Counter(counter),
                sealed,
            },
        )
}

fn row() -> impl Strategy<Value = Row> {
    (1..=varint::MAX, 0..5u64).prop_flat_map(|(counter, earlier)| {
        let earlier = earlier.min(counter - 1);
        let behind: Vec<_> = (1..=earlier)
            .rev()
            .map(|by| row_point(counter - by))
            .collect();
        let mark = (state(), server_time()).prop_map(|(state, at_ms)| StateMark { state, at_ms });
        (
            option::of(descriptor(counter)),
            option::of((row_point(counter), behind, 0..40u64)),
            any::<bool>(),
            option::of(mark),
        )
            .prop_map(|(descriptor, points, counter_whole, state)| {
                let (point, earlier, skipped) = match points {
                    Some((point, earlier, skipped)) => (Some(point), earlier, skipped),
                    None => (None, Vec::new(), 0),
                };
                Row {
                    slot: 0,
                    descriptor,
                    point,
                    counter_whole,
                    skipped,
                    earlier,
                    state,
                }
            })
    })
}

/// Rows with ascending slots, sometimes up to the last one there is.
pub fn rows() -> impl Strategy<Value = Vec<Row>> {
    let gap = prop_oneof![4 => 0..3u32, 1 => 0..100_000_000u32];
    (vec((gap, row()), 0..12), any::<bool>()).prop_map(|(rows, to_the_end)| {
        let mut next = 0;
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(gap, mut row)| {
                row.slot = next + gap;
                next = row.slot + 1;
                row
            })
            .collect();
        if let Some(last) = rows.last_mut().filter(|_| to_the_end) {
            last.slot = u32::MAX;
        }
        rows
    })
}
