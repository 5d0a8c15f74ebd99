//! Views of a part of the map: who shares what, what the budget does, what stays bounded.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{
    BATCHES_PER_SCOPE_MAX, FanOut, FanOutReport, Pacing, Views, WatchSpec,
};
use skein_engine::grid::Grid;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::journal::{Entry, Started};
use skein_engine::map::MapArea;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::{Table, TableLimits, Tables};
use skein_engine::time::Timestamp;
use skein_wire::ids::{Cell, ChatHandle, Counter, SessionId, UserName};
use skein_wire::map_view::MapView;
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{CursorReport, Delivery};
use support::Viewer;

const CHAT: ChatHandle = ChatHandle(1);
const EPOCH: u32 = 1;

/// Millionths of a degree between two sessions in a row or a column.
const STEP_E6: i32 = 1_000;

/// Where the sessions begin.
const CORNER: Position = Position {
    lat_e6: 45_600_000,
    lon_e6: 13_700_000,
};

/// A table, its fan-out, and everybody who watches.
struct Rig {
    table: OneTable,
    fan_out: FanOut,
    net: Net,
    now: Timestamp,
    offset: u64,
}

struct OneTable(Table);

impl Tables for OneTable {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        (chat == CHAT).then_some(&self.0)
    }
}

/// Hands everything over at once.
#[derive(Default)]
struct Net {
    viewers: BTreeMap<u64, Viewer>,
    /// Where the bytes of the batches of the last passes are.
    batches: HashSet<*const u8>,
    offers: usize,
    told: usize,
}

impl Sink for Net {
    fn offer(&mut self, connection: ConnectionId, _: ViewerId, batch: &SharedBatch) -> Offer {
        self.batches.insert(batch.websocket().as_ptr());
        self.offers += 1;
        let viewer = self.viewers.get_mut(&connection.0).expect("a viewer");
        viewer.receive(batch.frames());
        Offer::Sent
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.told += 1;
        let viewer = self.viewers.get_mut(&connection.0).expect("a viewer");
        viewer.receive(frame.clone());
    }

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {
        panic!("nothing goes as a datagram");
    }
}

impl Rig {
    fn new() -> Self {
        Self {
            table: OneTable(Table::new(EPOCH, 1, TableLimits::default())),
            fan_out: FanOut::new(Pacing::default(), 1),
            net: Net::default(),
            now: Timestamp(1_700_000_000_000),
            offset: 0,
        }
    }

    /// A square of sessions.
    fn with_square(side: i32) -> Self {
        let mut rig = Self::new();
        for session in 0..side * side {
            rig.start(session as u64);
            rig.put(session as u64, (session / side, session % side));
        }
        rig
    }

    fn record(&mut self, entry: &Entry) {
        self.offset += 1;
        if self.table.0.apply(self.offset, self.now.0, entry).any() {
            self.fan_out.mark_changed(CHAT);
        }
    }

    fn start(&mut self, session: u64) {
        let started = Started {
            slot: self.table.0.reserve_slot().expect("room"),
            user: UserName::new(&format!("user-{session}")).expect("a name"),
            started_at_ms: self.now.0,
            expires_at_ms: self.now.0 + 9_000_000,
            sealed: false,
        };
        let session = SessionId(session);
        self.record(&Entry::Started { session, started });
    }

    /// A point at a place of the square, or beyond it.
    fn put(&mut self, session: u64, (north, east): (i32, i32)) {
        let position = Position {
            lat_e6: CORNER.lat_e6 + north * STEP_E6,
            lon_e6: CORNER.lon_e6 + east * STEP_E6,
        };
        let point = Point {
            counter: Counter(self.offset + 1),
            captured_at_ms: self.now.0 as i64,
            payload: Payload::Fix(Fix {
                position,
                ..Fix::default()
            }),
        };
        let session = SessionId(session);
        self.record(&Entry::Point { session, point });
    }

    /// A sealed point.
    fn seal(&mut self, session: u64) {
        let point = Point {
            counter: Counter(self.offset + 1),
            captured_at_ms: self.now.0 as i64,
            payload: Payload::Sealed(vec![7].into()),
        };
        let session = SessionId(session);
        self.record(&Entry::Point { session, point });
    }

    fn watch(&mut self, connection: u64, wish: &MapView) -> ViewerId {
        self.watch_on(connection, wish, None)
    }

    /// The same for who sees coarse places.
    fn watch_on(&mut self, connection: u64, wish: &MapView, grid: Option<Grid>) -> ViewerId {
        let viewer = Viewer::new(CHAT, EPOCH, 0);
        self.net.viewers.insert(connection, viewer);
        let spec = WatchSpec {
            connection: ConnectionId(connection),
            chat: CHAT,
            scope: Scope {
                delivery: Delivery::Latest,
                session: None,
                grid,
                area: Some(MapArea::around(wish)),
            },
            from: 0,
            trail: 0,
            interval_ms: 0,
        };
        self.fan_out.register(&spec, &self.table.0)
    }

    /// Passes until there is nothing more to do at once; what they did.
    fn pass_all(&mut self) -> FanOutReport {
        (self.net.offers, self.net.told) = (0, 0);
        self.net.batches.clear();
        let mut sum = FanOutReport::default();
        loop {
            let report = self.fan_out.pass(self.now, &self.table, &mut self.net);
            sum.batches += report.batches;
            sum.batch_bytes += report.batch_bytes;
            sum.sent_bytes += report.sent_bytes;
            if !report.more {
                return sum;
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    fn viewer(&self, connection: u64) -> &Viewer {
        &self.net.viewers[&connection]
    }

    /// Rows of a viewer, and how many it was told that there are elsewhere.
    fn shown(&self, connection: u64) -> (usize, usize) {
        let viewer = self.viewer(connection);
        let clusters = viewer.clusters.as_ref().expect("counted");
        let counted: u32 = clusters.clusters.iter().map(|it| it.count).sum();
        (viewer.sessions.len(), counted as usize)
    }
}

/// A rectangle from some place of the square to another, and a budget.
fn wish(from: (i32, i32), to: (i32, i32), rows: u32) -> MapView {
    MapView {
        south_e6: CORNER.lat_e6 + from.0 * STEP_E6,
        west_e6: CORNER.lon_e6 + from.1 * STEP_E6,
        north_e6: CORNER.lat_e6 + to.0 * STEP_E6,
        east_e6: CORNER.lon_e6 + to.1 * STEP_E6,
        rows,
    }
}

/// The same in tenths of a step.
fn wish_in_tenths(from: (i32, i32), to: (i32, i32), rows: u32) -> MapView {
    let corner = |(north, east): (i32, i32)| {
        let tenth = |count: i32| count * (STEP_E6 / 10);
        (CORNER.lat_e6 + tenth(north), CORNER.lon_e6 + tenth(east))
    };
    let ((south_e6, west_e6), (north_e6, east_e6)) = (corner(from), corner(to));
    MapView {
        south_e6,
        west_e6,
        north_e6,
        east_e6,
        rows,
    }
}

#[test]
fn viewers_of_about_the_same_place_share_the_same_bytes() {
    let mut rig = Rig::with_square(20);
    for connection in 0..100 {
        let mut wish = wish((0, 0), (10, 10), 100 + connection % 20);
        wish.north_e6 += connection as i32;
        rig.watch(u64::from(connection), &wish);
    }
    for round in 1..5 {
        rig.pass_all();
        assert_eq!((rig.net.offers, rig.net.batches.len()), (100, 1));
        assert_eq!(rig.net.told, if round == 1 { 100 } else { 0 });
        rig.wait(2_000);
        rig.put(3, (0, round));
    }
}

#[test]
fn views_are_encoded_once_for_all_who_look_there() {
    const VIEWERS: u64 = 1_000;
    let mut rig = Rig::with_square(100);
    for connection in 0..VIEWERS {
        let (north, east) = (connection as i32 % 4 * 25, connection as i32 / 4 % 4 * 25);
        rig.watch(
            connection,
            &wish((north, east), (north + 20, east + 20), 1_024),
        );
    }
    rig.pass_all();
    rig.wait(2_000);
    for session in 0..10_000 {
        rig.put(session, (session as i32 / 100, session as i32 % 100));
    }
    let report = rig.pass_all();
    assert_eq!((rig.net.offers as u64, report.batches), (VIEWERS, 16));
    let each = report.sent_bytes as f64 / report.batch_bytes as f64;
    println!(
        "{} bytes for all, {each:.1} times as many for each",
        report.batch_bytes
    );
    assert!(each > 60.0, "{each}");
}

#[test]
fn rows_within_the_budget_and_everybody_else_counted() {
    let mut rig = Rig::with_square(40);
    for (connection, budget) in [(1, 4_096), (2, 512), (3, 64), (4, 1)] {
        rig.watch(connection, &wish((0, 0), (39, 39), budget));
        rig.pass_all();
        let (rows, counted) = rig.shown(connection);
        assert!(rows <= budget as usize, "{rows} rows");
        assert_eq!(rows + counted, 1_600, "{budget}");
        // Not all of it is used, but most.
        let least = if budget == 4_096 {
            1_600
        } else {
            budget as usize / 3
        };
        assert!(rows >= least, "{rows} of {budget}");
    }
    // Those in the middle are the ones shown.
    let viewing = rig.viewer(2).viewing.as_ref().expect("told");
    let middle = Position {
        lat_e6: CORNER.lat_e6 + 20 * STEP_E6,
        lon_e6: CORNER.lon_e6 + 20 * STEP_E6,
    };
    let level = viewing.cells[0].level();
    let cell = skein_wire::map_cell::MapCell::at(middle, level);
    assert!(viewing.cells.contains(&cell));
}

#[test]
fn who_crosses_the_border_is_a_row_here_and_counted_there() {
    let mut rig = Rig::with_square(10);
    rig.watch(1, &wish((0, 0), (9, 9), 512));
    rig.pass_all();
    assert_eq!(rig.shown(1), (100, 0));
    let number = rig.viewer(1).cell();
    for (place, expected) in [
        ((5_000, 0), (99, 1)),
        ((0, 0), (100, 0)),
        ((0, 9_000), (99, 1)),
    ] {
        rig.wait(2_000);
        rig.put(7, place);
        rig.pass_all();
        assert_eq!(rig.shown(1), expected, "{place:?}");
        let shown = rig.viewer(1).sessions.get(&SessionId(7));
        assert_eq!(shown.is_some(), expected.0 == 100);
        assert!(shown.is_none_or(|known| known.user.as_str() == "user-7"));
    }
    assert_eq!(rig.viewer(1).cell(), number, "the cells are the same");
    // It ends where nobody sees it.
    rig.wait(2_000);
    rig.record(&Entry::Ended {
        session: SessionId(7),
        state: skein_wire::update::SessionState::Stopped,
        at_ms: rig.now.0,
    });
    rig.pass_all();
    assert_eq!(rig.shown(1), (99, 0));
}

#[test]
fn a_crowd_that_comes_in_is_counted_before_it_is_too_much() {
    let mut rig = Rig::with_square(10);
    rig.watch(1, &wish((0, 0), (9, 9), 128));
    rig.pass_all();
    assert_eq!(rig.shown(1), (100, 0));
    let number = rig.viewer(1).cell();
    for session in 100..200 {
        rig.start(session);
        rig.put(session, (session as i32 % 10, 5));
    }
    rig.wait(2_000);
    rig.pass_all();
    let (rows, counted) = rig.shown(1);
    assert!(rows <= 128 && rows + counted == 200, "{rows} and {counted}");
    assert_ne!(
        rig.viewer(1).cell(),
        number,
        "other cells have another number"
    );
    // It leaves again, and after a while there is room for all.
    for session in 100..200 {
        rig.put(session, (9_000, 9_000));
    }
    rig.wait(2_000);
    rig.pass_all();
    assert!(rig.shown(1).0 < 100, "not at once");
    rig.wait(10_000);
    rig.put(100, (9_000, 9_000));
    rig.pass_all();
    assert_eq!(rig.shown(1), (100, 100));
}

#[test]
fn cells_that_are_served_stay_while_they_do() {
    let mut rig = Rig::with_square(40);
    rig.watch(1, &wish((0, 0), (39, 39), 512));
    rig.pass_all();
    let number = rig.viewer(1).cell();
    for round in 0..30 {
        rig.wait(2_000);
        for session in 0..1_600 {
            let (north, east) = (session / 40, session % 40);
            rig.put(session as u64, (north, (east + round % 3).min(39)));
        }
        rig.pass_all();
    }
    assert_eq!(rig.viewer(1).cell(), number, "a full batch is dear");
}

#[test]
fn a_chat_is_served_in_no_more_areas_than_promised() {
    /// Areas, and the earth for each of the budgets asked for.
    const AREAS_MAX: u64 = 64 + 2;
    let mut rig = Rig::with_square(20);
    let wishes = (0..500).map(|n| {
        let (north, east) = (n % 25 * 700, n / 25 * 700);
        wish(
            (north, east),
            (north + 100, east + 100),
            [256, 512][n as usize % 2],
        )
    });
    let wishes: Vec<MapView> = wishes.collect();
    for (connection, wish) in wishes.iter().enumerate() {
        rig.watch(connection as u64, wish);
    }
    let report = rig.pass_all();
    assert_eq!(rig.net.offers, 500);
    assert!(report.batches <= AREAS_MAX, "{} areas", report.batches);
    assert!(report.batches > 60, "as many as are allowed");
    for (connection, wish) in wishes.iter().enumerate() {
        let viewing = rig
            .viewer(connection as u64)
            .viewing
            .as_ref()
            .expect("told");
        let area = viewing.area;
        assert!(area.south_e6 <= wish.south_e6 && area.north_e6 >= wish.north_e6);
        assert!(area.west_e6 <= wish.west_e6 && area.east_e6 >= wish.east_e6);
        let (rows, counted) = rig.shown(connection as u64);
        assert!(rows <= wish.rows as usize && rows + counted == 400);
    }
    for round in 0..40 {
        rig.wait(500);
        rig.put(round % 20, (0, 1));
        let report = rig.pass_all();
        assert!(report.batches <= AREAS_MAX * BATCHES_PER_SCOPE_MAX as u64);
    }
}

#[test]
fn many_areas_delay_the_others_of_a_core_no_more_than_many_viewers() {
    /// Rows that are looked at in a pass: 128 for each of its 1,024 viewers, and for each of its four slices
    /// a batch more.
    const ROWS_PER_PASS_MAX: u64 = 128 * 1_024 + 4 * SESSIONS;
    const SESSIONS: u64 = 10_000;
    let mut rig = Rig::with_square(100);
    for connection in 0..60 {
        let (north, east) = (connection / 10 * 13, connection % 10 * 9);
        rig.watch(
            connection as u64,
            &wish((north, east), (north + 4, east + 4), 64),
        );
    }
    for _ in 0..3 {
        rig.net.offers = 0;
        let (mut passes, mut batches) = (0, 0);
        loop {
            let report = rig.fan_out.pass(rig.now, &rig.table, &mut rig.net);
            assert!(report.batches * SESSIONS <= ROWS_PER_PASS_MAX, "{report:?}");
            batches += report.batches;
            passes += 1;
            if !report.more {
                break;
            }
        }
        assert_eq!(rig.net.offers, 60, "and everybody has a batch");
        assert!(
            batches > 30 && passes >= batches / 18,
            "{batches} in {passes}"
        );
        rig.wait(2_000);
        for session in 0..SESSIONS as i32 {
            rig.put(session as u64, (session / 100, session % 100));
        }
    }
}

#[test]
fn who_has_no_point_yet_is_in_no_view_and_takes_no_room() {
    let mut rig = Rig::with_square(10);
    for session in 100..10_100 {
        rig.start(session);
    }
    rig.watch(1, &wish((0, 0), (9, 9), 128));
    rig.watch(2, &wish((500, 500), (509, 509), 128));
    rig.pass_all();
    assert_eq!((rig.shown(1), rig.shown(2)), ((100, 0), (0, 100)));
    let number = rig.viewer(1).cell();
    // Their first points: in the one view, and elsewhere.
    rig.wait(2_000);
    rig.put(100, (5, 5));
    for session in 101..200 {
        rig.put(session, (5_000, 5));
    }
    let report = rig.pass_all();
    assert_eq!((rig.shown(1), rig.shown(2)), ((101, 99), (0, 200)));
    assert_eq!(rig.viewer(1).cell(), number);
    let shown = &rig.viewer(1).sessions[&SessionId(100)];
    assert_eq!(shown.user.as_str(), "user-100");
    // A row each is some ten bytes: nobody is told of those who are elsewhere.
    assert!(report.batch_bytes < 500, "{report:?}");
}

#[test]
fn a_view_without_room_is_left_alone() {
    /// As many as a view has rows.
    const SEALED: u64 = 16;
    let mut rig = Rig::with_square(10);
    for session in 1_000..1_000 + SEALED {
        rig.start(session);
        rig.seal(session);
    }
    rig.watch(1, &wish((0, 0), (19, 19), SEALED as u32));
    rig.pass_all();
    let number = rig.viewer(1).cell();
    assert_eq!(rig.shown(1), (SEALED as usize, 100));
    for step in 0..40 {
        rig.wait(1_000);
        // All walk about, into cells that were empty too.
        for session in 0..100 {
            let (north, east) = (session / 10, session % 10);
            rig.put(session as u64, (north + step % 10, east + step / 4));
        }
        rig.pass_all();
        assert_eq!(rig.viewer(1).cell(), number, "after {step} s");
        assert_eq!(rig.shown(1), (SEALED as usize, 100));
    }
}

#[test]
fn what_is_held_for_views_is_counted_and_given_back_with_the_last_one() {
    let mut rig = Rig::with_square(40);
    assert_eq!(rig.fan_out.views(), Views::default());
    let whole = WatchSpec {
        connection: ConnectionId(9),
        chat: CHAT,
        scope: Scope::whole(Delivery::Latest),
        from: 0,
        trail: 0,
        interval_ms: 0,
    };
    rig.net.viewers.insert(9, Viewer::new(CHAT, EPOCH, 0));
    rig.fan_out.register(&whole, &rig.table.0);
    let place = wish((0, 0), (9, 9), 512);
    let exact = rig.watch(1, &place);
    let beside = rig.watch(2, &wish((0, 0), (39, 39), 512));
    let coarse = rig.watch_on(3, &place, Grid::new(1_000));
    rig.pass_all();
    let all = rig.fan_out.views();
    assert_eq!((all.watches, all.areas), (3, 3));
    assert!(all.bytes >= 2 * 1_600 * 32, "two crowds: {all:?}");
    // The coarse one has a crowd of its own, the others share theirs.
    for (viewer, watches, bytes_less) in [(coarse, 2, 1_600 * 32), (exact, 1, 1)] {
        let before = rig.fan_out.views();
        rig.fan_out.remove(viewer);
        let now = rig.fan_out.views();
        assert_eq!((now.watches, now.areas), (watches, watches));
        assert!(now.bytes + bytes_less <= before.bytes, "{now:?} {before:?}");
    }
    assert!(rig.fan_out.views().bytes >= 1_600 * 32, "one looks on");
    rig.fan_out.remove(beside);
    assert_eq!(rig.fan_out.views(), Views::default());
}

#[test]
fn a_town_full_of_screens_has_a_map_on_each() {
    /// Wider than the town by so many of its sides.
    const WIDER_MAX: i32 = 16;
    let mut rig = Rig::with_square(20);
    let wishes: Vec<MapView> = (0..1_000)
        .map(|n| {
            let (north, east) = (n * 37 % 190, n * 53 % 191);
            wish_in_tenths((north, east), (north + 11, east + 7), 64)
        })
        .collect();
    for (connection, wish) in wishes.iter().enumerate() {
        rig.watch(connection as u64, wish);
    }
    let report = rig.pass_all();
    assert!(report.batches <= 64, "{} areas", report.batches);
    for (connection, wish) in wishes.iter().enumerate() {
        let viewer = rig.viewer(connection as u64);
        let area = viewer.viewing.as_ref().expect("told").area;
        assert!(area.south_e6 <= wish.south_e6 && area.north_e6 >= wish.north_e6);
        assert!(area.west_e6 <= wish.west_e6 && area.east_e6 >= wish.east_e6);
        assert!(
            area.north_e6 - area.south_e6 <= 20 * STEP_E6 * WIDER_MAX,
            "{area:?}"
        );
        let (rows, counted) = rig.shown(connection as u64);
        assert!(rows <= 64 && rows + counted == 400);
    }
}

#[test]
fn areas_that_nobody_looks_at_make_room_for_others() {
    let mut rig = Rig::with_square(10);
    for n in 0..500 {
        let viewer = rig.watch(n, &wish((n as i32 * 70, 0), (n as i32 * 70 + 9, 9), 256));
        rig.pass_all();
        let area = rig.viewer(n).viewing.as_ref().expect("told").area;
        assert!(area.north_e6 - area.south_e6 < 30 * STEP_E6, "{area:?}");
        rig.fan_out.remove(viewer);
    }
}

#[test]
fn a_view_gets_a_batch_a_second_and_the_last_one_too() {
    let mut rig = Rig::with_square(10);
    rig.watch(1, &wish((0, 0), (9, 9), 512));
    rig.pass_all();
    let mut batches = 0;
    for _ in 0..100 {
        rig.wait(100);
        rig.put(7, (0, 3));
        rig.pass_all();
        batches += rig.net.offers;
    }
    assert!((8..=11).contains(&batches), "{batches} in ten seconds");
    rig.put(7, (0, 4));
    while let Some(due) = rig.fan_out.poll_timeout() {
        rig.now = rig.now.max(due);
        rig.pass_all();
    }
    assert_eq!(rig.viewer(1).cursor, rig.offset);
}

#[test]
fn a_complaint_about_other_cells_counts_for_nothing() {
    let mut rig = Rig::with_square(10);
    let viewer = rig.watch(1, &wish((0, 0), (9, 9), 512));
    rig.pass_all();
    let own = rig.viewer(1).cell();
    let mut complain = |cell: Cell| {
        let report = CursorReport {
            chat: CHAT,
            cell,
            epoch: EPOCH,
            offset: 0,
        };
        rig.fan_out.complain(viewer, &report, &rig.table.0);
        rig.fan_out.cursor_of(viewer).expect("a viewer")
    };
    let head = complain(Cell(0));
    assert!(head > 0 && complain(Cell(own.0 + 1)) == head);
    assert_eq!(complain(own), 0);
}

#[test]
fn a_new_writer_of_the_log_is_counted_anew() {
    let mut rig = Rig::with_square(10);
    rig.watch(1, &wish((0, 0), (3, 3), 512));
    for _ in 0..3 {
        rig.put(99, (9_000, 0));
    }
    rig.pass_all();
    let before = rig.shown(1);
    // Fewer records than the old writer had, and the same people.
    rig.table = OneTable(Table::new(EPOCH + 1, 1, TableLimits::default()));
    rig.offset = 0;
    for session in 0..100 {
        rig.start(session);
        rig.put(session, (session as i32 / 10, session as i32 % 10));
    }
    rig.put(99, (9_000, 0));
    rig.wait(2_000);
    rig.pass_all();
    let clusters = rig.viewer(1).clusters.as_ref().expect("counted");
    assert_eq!((clusters.epoch, clusters.to), (EPOCH + 1, rig.offset));
    assert_eq!(rig.shown(1), before);
}

#[test]
fn nobody_is_a_row_and_counted() {
    let mut rig = Rig::with_square(30);
    rig.watch(1, &wish((0, 0), (29, 29), 256));
    rig.pass_all();
    let viewer = rig.viewer(1);
    let viewing = viewer.viewing.as_ref().expect("told");
    let served: BTreeSet<_> = viewing.cells.iter().collect();
    let clusters = viewer.clusters.as_ref().expect("counted");
    for cluster in &clusters.clusters {
        assert!(!served.contains(&cluster.cell));
        let centre = cluster.centre();
        let level = cluster.cell.level();
        assert_eq!(
            skein_wire::map_cell::MapCell::at(centre, level),
            cluster.cell
        );
    }
}
