//! Batches on a grid: nothing in them is finer than a cell, and the table stays exact.

use bytes::Bytes;
use skein_engine::batch_builder::{BatchBuilder, BatchSpec, Scope};
use skein_engine::grid::Grid;
use skein_engine::journal::{Entry, Started};
use skein_engine::table::{Table, TableLimits};
use skein_engine::time::Timestamp;
use skein_wire::batch::Batch;
use skein_wire::frame::decode_update;
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::{Fix, Heading, Payload, Point, Position, Speed};
use skein_wire::request::Delivery;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn exact(session: u64, counter: u64) -> Position {
    Position {
        lat_e6: 45_281_234 + 1_000 * session as i32 + counter as i32,
        lon_e6: 13_712_345 + counter as i32,
    }
}

fn point(counter: u64, payload: Payload) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: NOW.0 as i64,
        payload,
    }
}

/// Three plain sessions and a sealed one, with some points each.
fn table() -> Table {
    let mut table = Table::new(1, 1, TableLimits::default());
    let mut offset = 0;
    let mut apply = |table: &mut Table, entry: &Entry| {
        offset += 1;
        table.apply(offset, NOW.0, entry);
    };
    for number in 1..=4 {
        let session = SessionId(number);
        let started = Started {
            slot: table.reserve_slot().expect("room"),
            user: UserName::new(&format!("user-{number}")).expect("a name"),
            started_at_ms: NOW.0,
            expires_at_ms: NOW.0 + 900_000,
            sealed: number == 4,
        };
        apply(&mut table, &Entry::Started { session, started });
        for counter in 1..=5 {
            let payload = match number {
                4 => Payload::Sealed(Bytes::from_static(b"sealed")),
                _ => Payload::Fix(Fix {
                    position: exact(number, counter),
                    heading: Some(Heading(7)),
                    speed: Some(Speed(9)),
                    battery: Some(50),
                    ..Fix::default()
                }),
            };
            let point = point(counter, payload);
            apply(&mut table, &Entry::Point { session, point });
        }
    }
    table
}

fn batch(table: &Table, grid: Option<Grid>, from: u64) -> Batch {
    let spec = BatchSpec {
        chat: ChatHandle(1),
        scope: Scope {
            delivery: Delivery::Every,
            session: None,
            grid,
            area: None,
        },
        from,
        trail: 8,
        now: NOW,
        view: None,
    };
    let shared = BatchBuilder::new(1).build(table, &spec);
    let mut frames = shared.frames();
    let frame = split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX).expect("whole frames");
    match decode_update(frame.expect("a frame")) {
        Ok(Some(Update::Batch(body))) => Batch::decode(&body).expect("a batch"),
        other => panic!("no batch: {other:?}"),
    }
}

#[test]
fn nothing_is_finer_than_a_cell() {
    let table = table();
    let grid = Grid::new(500).expect("a size");
    // Offsets 1 to 6 are the first session's.
    for (from, sessions) in [(0, 3), (1, 3), (10, 2)] {
        let coarse = batch(&table, Some(grid), from);
        let header = &coarse.header;
        assert_eq!(
            header.anchor,
            grid.snap(header.anchor),
            "the anchor is a cell's"
        );
        assert_ne!(header.anchor, batch(&table, None, from).header.anchor);
        for entry in &coarse.entries {
            assert!(entry.earlier.is_empty() && entry.skipped == 0, "{entry:?}");
            let Some(newest) = &entry.point else {
                continue;
            };
            let Payload::Fix(fix) = &newest.payload else {
                panic!("a sealed point on a grid");
            };
            assert_eq!(fix.position, grid.snap(fix.position));
            assert_eq!((fix.heading, fix.speed, fix.battery), (None, None, None));
        }
        let places = coarse.entries.iter().filter(|entry| entry.point.is_some());
        assert_eq!(
            places.count(),
            sessions,
            "of the plain sessions, from {from}"
        );
    }
}

#[test]
fn the_table_stays_exact() {
    let table = table();
    let plain = batch(&table, None, 0);
    let newest = plain.entries[0].point.as_ref().expect("a point");
    let Payload::Fix(fix) = &newest.payload else {
        panic!("a plain point");
    };
    assert_eq!(fix.position, exact(1, 5));
    assert!(!plain.entries[0].earlier.is_empty());
}
