//! A pass allocates per batch, never per viewer: counted by the allocator itself.
//!
//! One test in this file, so that no other one allocates meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{FanOut, Pacing, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::journal::{Entry, Started};
use skein_engine::map::MapArea;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::{Table, TableLimits, Tables};
use skein_engine::time::Timestamp;
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::map_view::MapView;
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::Delivery;

const CHAT: ChatHandle = ChatHandle(1);
const VIEWERS: u64 = 10_000;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct OneTable(Table);

impl Tables for OneTable {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        (chat == CHAT).then_some(&self.0)
    }
}

/// Takes what it is offered, or nothing; keeps nothing.
struct Void(Offer);

impl Sink for Void {
    fn offer(&mut self, _: ConnectionId, _: ViewerId, _: &SharedBatch) -> Offer {
        self.0
    }

    fn tell(&mut self, _: ConnectionId, _: &Bytes) {}

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}

fn point(table: &mut OneTable, offset: u64) {
    let point = Point {
        counter: Counter(offset),
        captured_at_ms: 0,
        payload: Payload::Fix(Fix {
            position: Position {
                lat_e6: 45_000_000,
                lon_e6: 13_000_000,
            },
            ..Fix::default()
        }),
    };
    let session = SessionId(1);
    table.0.apply(offset, 0, &Entry::Point { session, point });
}

#[test]
fn a_pass_allocates_nothing_per_viewer() {
    let earth = MapView {
        south_e6: -90_000_000,
        west_e6: -180_000_000,
        north_e6: 90_000_000,
        east_e6: 180_000_000,
        rows: 100,
    };
    for area in [None, Some(MapArea::around(&earth))] {
        check_passes(area);
    }
}

fn check_passes(area: Option<MapArea>) {
    let mut table = OneTable(Table::new(1, 1, TableLimits::default()));
    let started = Started {
        slot: table.0.reserve_slot().unwrap(),
        user: UserName::new("ana").unwrap(),
        started_at_ms: 0,
        expires_at_ms: 1,
        sealed: false,
    };
    let session = SessionId(1);
    table.0.apply(1, 0, &Entry::Started { session, started });
    // The trail is full before anything is counted.
    (2..100).for_each(|offset| point(&mut table, offset));
    let mut fan_out = FanOut::new(Pacing::default(), 1);
    let before = BYTES.load(Ordering::Relaxed);
    let ids: Vec<ViewerId> = (0..VIEWERS)
        .map(|connection| {
            let spec = WatchSpec {
                connection: ConnectionId(connection),
                chat: CHAT,
                scope: Scope {
                    delivery: Delivery::Latest,
                    session: None,
                    grid: None,
                    area,
                },
                from: 0,
                trail: 0,
                interval_ms: 0,
            };
            fan_out.register(&spec, &table.0)
        })
        .collect();
    let mut now = Timestamp(1_000);
    let mut sink = Void(Offer::Sent);
    while fan_out.pass(now, &table, &mut sink).more {}
    // Slab, lists and their spare room, the ids of this test included.
    let per_viewer = (BYTES.load(Ordering::Relaxed) - before) / VIEWERS as usize;
    assert!(per_viewer <= 160, "{per_viewer} bytes per viewer");

    // Once round with every answer, so that the lists have their room.
    for offer in [
        Offer::Full,
        Offer::Sent,
        Offer::Datagram,
        Offer::Streaming,
        Offer::Sent,
    ] {
        sink.0 = offer;
        let offset = table.0.as_of() + 1;
        point(&mut table, offset);
        fan_out.mark_changed(CHAT);
        now = now.plus_ms(5_000);
        let (count, bytes) = (
            ALLOCATIONS.load(Ordering::Relaxed),
            BYTES.load(Ordering::Relaxed),
        );
        let mut offered = 0;
        loop {
            let report = fan_out.pass(now, &table, &mut sink);
            offered += report.sent + report.full + report.datagrams + report.streams;
            if !report.more {
                break;
            }
        }
        let count = ALLOCATIONS.load(Ordering::Relaxed) - count;
        assert_eq!(offered, VIEWERS, "{offer:?}");
        assert!(
            count < 40,
            "{offer:?}: {count} allocations for {VIEWERS} viewers"
        );
        let grown = BYTES.load(Ordering::Relaxed).saturating_sub(bytes);
        assert!(grown < 16 * 1024, "{offer:?}: {grown} bytes more");
        for id in &ids {
            fan_out.writable(*id);
            fan_out.stream_done(*id);
        }
        sink.0 = Offer::Sent;
        while fan_out.pass(now, &table, &mut sink).more {}
    }
}
