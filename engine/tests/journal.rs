//! The bytes of records: the same for ever, read back to what was written, and never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use skein_engine::journal::{
    BadRecord, Crossed, Entry, RowRecord, Started, TrailPoint, kind, kind_name,
};
use skein_engine::record::RawRecord;
use skein_wire::ids::{ChatHandle, Counter, SessionId, Slot, UserName};
use skein_wire::limits::SEALED_BYTES_MAX;
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};
use skein_wire::update::{CrossingKind, SessionState};

const SESSION: SessionId = SessionId(0x1122_3344_5566_7788);

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn plain() -> Point {
    Point {
        counter: Counter(258),
        captured_at_ms: 1_700_000_000_123,
        payload: Payload::Fix(Fix {
            position: Position {
                lat_e6: 45_270_010,
                lon_e6: -13_720_020,
            },
            heading: Some(Heading(64)),
            speed: None,
            accuracy: Some(Accuracy(7)),
            battery: Some(81),
        }),
    }
}

fn sealed() -> Point {
    Point {
        counter: Counter(2),
        captured_at_ms: -1,
        payload: Payload::Sealed(Bytes::from_static(b"blob")),
    }
}

fn started() -> Started {
    Started {
        slot: Slot(5),
        user: user("ana"),
        started_at_ms: 1_000,
        expires_at_ms: 901_000,
        sealed: false,
    }
}

fn crossed(
    kind: CrossingKind,
    other: Option<(SessionId, UserName)>,
    owner: Option<UserName>,
) -> Crossed {
    Crossed {
        kind,
        at_ms: 77,
        name: "gate".parse().unwrap(),
        user: user("ana"),
        other,
        owner,
    }
}

/// One of each kind, with its bytes: `kind flags key extension payload`.
fn golden() -> Vec<(Entry, &'static str)> {
    vec![
        (
            Entry::Point {
                session: SESSION,
                point: plain(),
            },
            "01 00 09000000 8877665544332211 \
             0201000000000000 7b68e5cf8b010000 fac3b202 2ca62eff 0d 40 00 07 51 000000",
        ),
        (
            Entry::Point {
                session: SESSION,
                point: sealed(),
            },
            "01 01 09000000 8877665544332211 0200000000000000 ffffffffffffffff 626c6f62",
        ),
        (
            Entry::HistoricalPoint {
                session: SESSION,
                point: sealed(),
            },
            "02 01 09000000 8877665544332211 0200000000000000 ffffffffffffffff 626c6f62",
        ),
        (
            Entry::Heartbeat { session: SESSION },
            "03 00 09000000 8877665544332211",
        ),
        (
            Entry::State {
                session: SESSION,
                state: SessionState::Stale,
                at_ms: 77,
            },
            "04 00 09000000 8877665544332211 02 4d00000000000000",
        ),
        (
            Entry::Started {
                session: SESSION,
                started: started(),
            },
            "05 00 09000000 8877665544332211 05000000 e803000000000000 88bf0d0000000000 03 616e61",
        ),
        (
            Entry::Extended {
                session: SESSION,
                expires_at_ms: 2_000,
            },
            "06 00 09000000 8877665544332211 d007000000000000",
        ),
        (
            Entry::Ended {
                session: SESSION,
                state: SessionState::Revoked,
                at_ms: 78,
            },
            "07 00 09000000 8877665544332211 05 4e00000000000000",
        ),
        (
            Entry::MemberPut {
                user: user("bo"),
                rights: 3,
            },
            "08 00 09000000 0000000000000000 03 02 626f",
        ),
        (
            Entry::MemberRemoved { user: user("bo") },
            "09 00 09000000 0000000000000000 02 626f",
        ),
        (
            Entry::Crossed {
                session: SESSION,
                crossed: Box::new(crossed(CrossingKind::Enter, None, None)),
            },
            "0a 00 09000000 8877665544332211 01 4d00000000000000 04 67617465 03 616e61 \
             0000000000000000 00 00",
        ),
        (
            Entry::Crossed {
                session: SESSION,
                crossed: Box::new(crossed(
                    CrossingKind::Far,
                    Some((SessionId(9), user("bo"))),
                    Some(user("cy")),
                )),
            },
            "0a 00 09000000 8877665544332211 04 4d00000000000000 04 67617465 03 616e61 \
             0900000000000000 02 626f 02 6379",
        ),
        (
            Entry::CheckpointBegin { number: 6 },
            "10 00 09000000 0600000000000000",
        ),
        (
            Entry::CheckpointChat {
                horizon: 4,
                as_of: 12,
            },
            "11 00 09000000 0000000000000000 0400000000000000 0c00000000000000",
        ),
        (
            Entry::CheckpointRow {
                session: SESSION,
                row: Box::new(RowRecord {
                    as_of: 12,
                    started: started(),
                    descriptor_offset: 5,
                    point_offset: 11,
                    state_offset: 0,
                    historical_offset: 0,
                    state: SessionState::Live,
                    state_at_ms: 1_000,
                    points_total: 3,
                    lost_offset_max: 7,
                    newest: Some(plain()),
                    trail: vec![TrailPoint {
                        offset: 9,
                        point: sealed(),
                    }],
                    admission: vec![0xaa, 0xbb],
                }),
            },
            "12 02 09000000 8877665544332211 \
             05000000 e803000000000000 88bf0d0000000000 03 616e61 \
             0c00000000000000 0500000000000000 0b00000000000000 0000000000000000 \
             0000000000000000 0300000000000000 0700000000000000 e803000000000000 00 \
             20 0201000000000000 7b68e5cf8b010000 fac3b202 2ca62eff 0d 40 00 07 51 000000 \
             01 0900000000000000 00 14 0200000000000000 ffffffffffffffff 626c6f62 \
             0200 aabb",
        ),
        (
            Entry::CheckpointMember {
                user: user("bo"),
                rights: 2,
            },
            "13 00 09000000 0000000000000000 02 02 626f",
        ),
        (
            Entry::CheckpointEnd { number: 6 },
            "14 00 09000000 0600000000000000",
        ),
    ]
}

fn hex(entry: &Entry) -> String {
    let record = entry.encode(ChatHandle(9));
    let mut bytes = vec![record.kind, record.flags];
    bytes.extend(record.key.to_le_bytes());
    bytes.extend(record.extension.to_le_bytes());
    bytes.extend(record.payload.as_slice());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_the_same_for_ever() {
    for (entry, expected) in golden() {
        let expected: String = expected.split_whitespace().collect();
        assert_eq!(hex(&entry), expected, "{entry:?}");
        let record = entry.encode(ChatHandle(9));
        assert_eq!(Entry::decode(&record.as_raw()), Ok(entry));
        assert_ne!(kind_name(record.kind), "unknown");
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for (entry, _) in golden() {
        let record = entry.encode(ChatHandle(9));
        let raw = record.as_raw();
        // A blob has no length of its own in a point's record: any cut of it is another blob.
        let blob_is_last = raw.flags & 1 != 0 && raw.kind <= kind::HISTORICAL_POINT;
        for cut in 0..raw.payload.len() {
            let payload = &raw.payload[..cut];
            let decoded = Entry::decode(&RawRecord { payload, ..raw });
            assert!(decoded.is_err() || blob_is_last, "{entry:?} cut at {cut}");
        }
        let mut longer = raw.payload.to_vec();
        longer.push(0);
        let payload = &longer[..];
        let decoded = Entry::decode(&RawRecord { payload, ..raw });
        assert!(
            decoded.is_err() || blob_is_last,
            "{entry:?} with a byte more"
        );
    }
}

#[test]
fn values_out_of_place_are_refused() {
    let check = |entry: Entry, at: usize, value: u8| {
        let record = entry.encode(ChatHandle(1));
        let mut payload = record.payload.as_slice().to_vec();
        payload[at] = value;
        let payload = &payload[..];
        let raw = RawRecord {
            payload,
            ..record.as_raw()
        };
        assert_eq!(Entry::decode(&raw), Err(BadRecord::BadPayload(record.kind)));
    };
    let at_ms = 5;
    let session = SESSION;
    let state = SessionState::Stale;
    check(
        Entry::State {
            session,
            state,
            at_ms,
        },
        0,
        3,
    ); // an end is no state
    check(
        Entry::State {
            session,
            state,
            at_ms,
        },
        0,
        6,
    ); // nor is "moved"
    let state = SessionState::Stopped;
    check(
        Entry::Ended {
            session,
            state,
            at_ms,
        },
        0,
        0,
    ); // a state is no end
    let point = plain();
    check(Entry::Point { session, point }, 24, 0x1d); // an unknown presence bit
    let point = plain();
    check(Entry::Point { session, point }, 26, 1); // a speed that is said to be absent
    let point = plain();
    check(Entry::Point { session, point }, 19, 0x7f); // a latitude beyond the pole
    let user = user("bo");
    check(Entry::MemberRemoved { user }, 1, 0xff); // a name that is no text
}

fn any_point() -> impl Strategy<Value = Point> {
    let fix = (
        -90_000_000i32..=90_000_000,
        -180_000_000i32..=180_000_000,
        any::<Option<u8>>(),
        any::<Option<u8>>(),
        any::<u8>(),
        prop::option::of(0u8..=100),
    )
        .prop_map(|(lat_e6, lon_e6, heading, speed, accuracy, battery)| {
            Payload::Fix(Fix {
                position: Position { lat_e6, lon_e6 },
                heading: heading.map(Heading),
                speed: speed.map(Speed),
                accuracy: Some(Accuracy(accuracy)),
                battery,
            })
        });
    let blob = prop::collection::vec(any::<u8>(), 1..=SEALED_BYTES_MAX)
        .prop_map(|blob| Payload::Sealed(blob.into()));
    let time = -62_135_596_800_000i64..=253_402_300_799_999;
    (1u64..1 << 62, time, prop_oneof![fix, blob]).prop_map(|(counter, captured_at_ms, payload)| {
        Point {
            counter: Counter(counter),
            captured_at_ms,
            payload,
        }
    })
}

fn any_row() -> impl Strategy<Value = RowRecord> {
    let numbers = prop::array::uniform8(any::<u64>());
    let trail = prop::collection::vec((any::<u64>(), any_point()), 0..=32);
    let admission = prop::collection::vec(any::<u8>(), 0..200);
    let name = "[a-z]{1,128}";
    (
        numbers,
        prop::option::of(any_point()),
        trail,
        admission,
        name,
        any::<u32>(),
        0u8..=5,
    )
        .prop_map(
            |(n, newest, trail, admission, name, slot, state)| RowRecord {
                as_of: n[0],
                started: Started {
                    slot: Slot(slot),
                    user: user(&name),
                    started_at_ms: n[1],
                    expires_at_ms: n[2],
                    sealed: slot % 2 == 0,
                },
                descriptor_offset: n[3],
                point_offset: n[4],
                state_offset: n[5],
                historical_offset: n[6],
                state: SessionState::from_u8(state).unwrap(),
                state_at_ms: n[7],
                points_total: n[0] ^ n[1],
                lost_offset_max: n[2] ^ n[3],
                newest,
                trail: trail
                    .into_iter()
                    .map(|(offset, point)| TrailPoint { offset, point })
                    .collect(),
                admission,
            },
        )
}

proptest! {
    #[test]
    fn points_come_back(point in any_point(), historical in any::<bool>(), session: u64) {
        let session = SessionId(session);
        let entry = match historical {
            true => Entry::HistoricalPoint { session, point },
            false => Entry::Point { session, point },
        };
        prop_assert_eq!(Entry::decode(&entry.encode(ChatHandle(1)).as_raw()), Ok(entry));
    }

    #[test]
    fn rows_come_back_and_fit_a_record(row in any_row()) {
        let entry = Entry::CheckpointRow { session: SESSION, row: Box::new(row) };
        let record = entry.encode(ChatHandle(1));
        prop_assert!(record.payload.as_slice().len() <= usize::from(u16::MAX) - 16);
        prop_assert_eq!(Entry::decode(&record.as_raw()), Ok(entry));
    }

    #[test]
    fn no_bytes_make_it_panic(
        kind in 0u8..24,
        flags: u8,
        extension: u64,
        payload in prop::collection::vec(any::<u8>(), 0..160),
    ) {
        let raw = RawRecord { kind, flags, key: 1, extension, payload: &payload };
        if let Ok(entry) = Entry::decode(&raw) {
            let again = entry.encode(ChatHandle(1));
            prop_assert_eq!(Entry::decode(&again.as_raw()), Ok(entry));
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic(which in 0usize..15, at: prop::sample::Index, bits: u8) {
        let (entry, _) = golden().swap_remove(which);
        let record = entry.encode(ChatHandle(1));
        let mut payload = record.payload.as_slice().to_vec();
        if !payload.is_empty() {
            let at = at.index(payload.len());
            payload[at] ^= bits;
        }
        let _ = Entry::decode(&RawRecord { payload: &payload, ..record.as_raw() });
    }
}
