//! Random records, random viewers, a network that loses, repeats and reorders: whoever follows the
//! protocol ends with the table, never goes back, and knows exactly what it has lost.

mod support;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use proptest::prelude::*;
use skein_engine::batch_builder::Scope;
use skein_engine::cursor::{CursorContext, resume_offset};
use skein_engine::fan_out::{BATCHES_PER_SCOPE_MAX, FanOut, Pacing, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::journal::{Entry, Started};
use skein_engine::map::MapArea;
use skein_engine::row::Row;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::{Table, TableLimits, Tables};
use skein_engine::time::Timestamp;
use skein_wire::ids::{ChatHandle, Counter, Cursor, SessionId, UserName};
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{CursorReport, Delivery};
use skein_wire::update::SessionState;
use support::{Known, Viewer};

const CHAT: ChatHandle = ChatHandle(9);
const EPOCH: u32 = 3;
const LOG: u64 = 77;
const LIMITS: TableLimits = TableLimits {
    trail_points: 4,
    tombstones_max: 3,
    tombstone_age_ms_max: 60_000,
};

struct OneTable(Table);

impl Tables for OneTable {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        (chat == CHAT).then_some(&self.0)
    }
}

/// What one viewer's transport holds.
#[derive(Default)]
struct Transport {
    datagrams: bool,
    blocked: bool,
    /// Ordered bytes that the kernel has taken.
    ordered: Vec<Bytes>,
    /// Datagrams on their way.
    loose: Vec<Bytes>,
    /// The open stream.
    stream: Option<(ViewerId, Bytes)>,
}

/// Datagrams hold so many bytes: few, so that streams are used too.
const DATAGRAM_BYTES_MAX: usize = 160;

#[derive(Default)]
struct Net {
    transports: HashMap<ConnectionId, Transport>,
}

impl Sink for Net {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        let transport = self.transports.get_mut(&connection).expect("a transport");
        assert!(transport.stream.is_none(), "offered while a stream is open");
        if transport.blocked {
            return Offer::Full;
        }
        if !transport.datagrams {
            transport.ordered.push(batch.frames());
            return Offer::Sent;
        }
        if batch.frame_count() > 1 || batch.frames_len() > DATAGRAM_BYTES_MAX {
            transport.stream = Some((viewer, batch.frames()));
            return Offer::Streaming;
        }
        transport.loose.push(batch.frames());
        Offer::Datagram
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        let transport = self.transports.get_mut(&connection).expect("a transport");
        transport.ordered.push(frame.clone());
    }

    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes) {
        let transport = self.transports.get_mut(&connection).expect("a transport");
        transport.loose.push(frame.clone());
    }
}

/// A watcher: its reference state and its place in the fan-out.
struct Watcher {
    id: ViewerId,
    connection: ConnectionId,
    scope: Scope,
    interval_ms: u32,
    state: Viewer,
    /// Greatest counter ever shown, per session.
    shown: BTreeMap<SessionId, u64>,
}

/// What the records say, kept naively.
#[derive(Default)]
struct Session {
    /// (offset, counter) of every point that counts.
    points: Vec<(u64, u64)>,
    newest: u64,
    ended: bool,
}

struct World {
    table: OneTable,
    fan_out: FanOut,
    net: Net,
    now: Timestamp,
    offset: u64,
    sessions: BTreeMap<SessionId, Session>,
    watchers: Vec<Watcher>,
    connections: u64,
}

impl World {
    fn new(pacing: Pacing) -> Self {
        Self {
            table: OneTable(Table::new(EPOCH, 1, LIMITS)),
            fan_out: FanOut::new(pacing, 5),
            net: Net::default(),
            now: Timestamp(1_700_000_000_000),
            offset: 0,
            sessions: BTreeMap::new(),
            watchers: Vec::new(),
            connections: 0,
        }
    }

    fn record(&mut self, entry: &Entry) {
        // Other chats have records in the partition too.
        self.offset += 1 + self.offset % 3;
        let record = entry.encode(CHAT);
        let entry = Entry::decode(&record.as_raw()).expect("a record of ours");
        let applied = self.table.0.apply(self.offset, self.now.0, &entry);
        if applied.any() {
            self.fan_out.mark_changed(CHAT);
        }
    }

    fn pick(&self, choice: u16) -> Option<SessionId> {
        let count = self.sessions.len();
        let index = usize::from(choice) % count.max(1);
        self.sessions.keys().nth(index).copied()
    }

    fn start(&mut self) {
        let session = SessionId(1_000 + self.sessions.len() as u64);
        let started = Started {
            slot: self.table.0.reserve_slot().expect("room"),
            user: UserName::new(&format!("user-{session}")).unwrap(),
            started_at_ms: self.now.0,
            expires_at_ms: self.now.0 + 900_000,
            sealed: false,
        };
        self.sessions.insert(session, Session::default());
        self.record(&Entry::Started { session, started });
    }

    fn live_point(&mut self, session: SessionId, step: u64) {
        let model = self.sessions.get_mut(&session).unwrap();
        let counter = (model.newest + step).max(1);
        let counts = !model.ended && counter > model.newest;
        if counts {
            model.newest = counter;
        }
        let point = point(session, counter, self.now);
        self.record(&Entry::Point { session, point });
        if counts {
            let offset = self.offset;
            let model = self.sessions.get_mut(&session).unwrap();
            model.points.push((offset, counter));
        }
    }

    /// A point with a counter that was left out before.
    fn historical_point(&mut self, session: SessionId) {
        let model = &self.sessions[&session];
        let used = |counter: &u64| model.points.iter().all(|(_, other)| other != counter);
        let Some(counter) = (1..model.newest).rev().take(40).find(used) else {
            return;
        };
        let counts = !model.ended;
        let point = point(session, counter, self.now);
        self.record(&Entry::HistoricalPoint { session, point });
        if counts {
            let offset = self.offset;
            let model = self.sessions.get_mut(&session).unwrap();
            model.points.push((offset, counter));
        }
    }

    fn end(&mut self, session: SessionId) {
        self.sessions.get_mut(&session).unwrap().ended = true;
        self.record(&Entry::Ended {
            session,
            state: SessionState::Stopped,
            at_ms: self.now.0,
        });
    }

    fn join(&mut self, choice: u16) {
        let scope = Scope {
            delivery: if choice & 1 == 0 {
                Delivery::Every
            } else {
                Delivery::Latest
            },
            session: (choice & 0b1110 == 0)
                .then(|| self.pick(choice >> 4))
                .flatten(),
            grid: None,
            area: None,
        };
        let scope = if choice & 0x1800 == 0 {
            view(choice >> 13)
        } else {
            scope
        };
        let interval_ms = if choice & 0b11_0000 == 0 { 700 } else { 0 };
        let with_trail = choice & 0b1100_0000 == 0 && scope.area.is_none();
        let trail = if with_trail { 3 } else { 0 };
        let datagrams = choice & 0x100 == 0;
        let connection = self.connect(datagrams);
        let id = self.watch(connection, scope, interval_ms, trail, 0);
        self.watchers.push(Watcher {
            id,
            connection,
            scope,
            interval_ms,
            state: Viewer::new(CHAT, EPOCH, 0),
            shown: BTreeMap::new(),
        });
    }

    fn connect(&mut self, datagrams: bool) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let transport = Transport {
            datagrams,
            ..Transport::default()
        };
        self.net.transports.insert(connection, transport);
        connection
    }

    fn watch(
        &mut self,
        connection: ConnectionId,
        scope: Scope,
        interval_ms: u32,
        trail: u8,
        from: u64,
    ) -> ViewerId {
        let spec = WatchSpec {
            connection,
            chat: CHAT,
            scope,
            from,
            trail,
            interval_ms,
        };
        self.fan_out.register(&spec, &self.table.0)
    }

    /// The connection breaks; what is on its way is gone; the viewer comes back with its cursor.
    fn reconnect(&mut self, index: usize, datagrams: bool) {
        self.fan_out.remove(self.watchers[index].id);
        self.net.transports.remove(&self.watchers[index].connection);
        let context = CursorContext {
            log: LOG,
            epochs: &[(1, 1), (EPOCH, 2)],
            offset_max: self.offset,
            horizon: self.table.0.horizon(),
        };
        let cursor = Cursor {
            log: LOG,
            epoch: EPOCH,
            offset: self.watchers[index].state.cursor,
        };
        let from = match self.watchers[index].scope.area {
            Some(_) => 0,
            None => resume_offset(Some(cursor), &context),
        };
        let connection = self.connect(datagrams);
        let (scope, interval_ms) = (self.watchers[index].scope, self.watchers[index].interval_ms);
        let id = self.watch(connection, scope, interval_ms, 0, from);
        let watcher = &mut self.watchers[index];
        (watcher.id, watcher.connection) = (id, connection);
        watcher.state.cursor = from;
        watcher.state.gap = false;
    }

    fn pass(&mut self) {
        let report = self.fan_out.pass(self.now, &self.table, &mut self.net);
        // One scope per delivery, and one per watched session and delivery; trails of full batches.
        let sessions = self.sessions.len() as u64;
        let scopes = 2 * (1 + sessions) + VIEWS;
        assert!(report.batches <= scopes * (1 + BATCHES_PER_SCOPE_MAX as u64));
        assert!(!report.more, "few viewers: one pass is enough");
    }

    /// What is on its way arrives, in an order that `choice` mixes; datagrams may get lost or come
    /// twice.
    fn deliver(&mut self, index: usize, choice: u16, lossy: bool) {
        let watcher = &mut self.watchers[index];
        let transport = self.net.transports.get_mut(&watcher.connection).unwrap();
        for bytes in transport.ordered.drain(..) {
            watcher.state.receive(bytes);
        }
        let mut loose = std::mem::take(&mut transport.loose);
        if lossy {
            if choice & 1 == 0 {
                loose.reverse();
            }
            if choice & 2 == 0 && !loose.is_empty() {
                loose.remove(usize::from(choice >> 4) % loose.len());
            }
            if choice & 4 == 0
                && let Some(first) = loose.first().cloned()
            {
                loose.push(first);
            }
        }
        for bytes in loose {
            watcher.state.receive(bytes);
        }
        if let Some((viewer, bytes)) = transport.stream.take() {
            watcher.state.receive(bytes);
            self.fan_out.stream_done(viewer);
        }
        watcher.check_never_back();
    }

    fn complain(&mut self, index: usize) {
        if self.watchers[index].state.gap {
            self.report_cursor(index);
        }
    }

    /// A complaint, or the cursor that a keep-alive carries.
    fn report_cursor(&mut self, index: usize) {
        let watcher = &mut self.watchers[index];
        watcher.state.gap = false;
        let report = CursorReport {
            chat: CHAT,
            cell: watcher.state.cell(),
            epoch: watcher.state.epoch,
            offset: watcher.state.cursor,
        };
        self.fan_out.complain(watcher.id, &report, &self.table.0);
    }

    fn set_blocked(&mut self, index: usize, blocked: bool) {
        let watcher = &self.watchers[index];
        let transport = self.net.transports.get_mut(&watcher.connection).unwrap();
        let freed = transport.blocked && !blocked;
        transport.blocked = blocked;
        if freed {
            self.fan_out.writable(watcher.id);
        }
    }

    /// Faults end; everything must heal by what the protocol has for it.
    fn heal(&mut self) {
        for index in 0..self.watchers.len() {
            self.set_blocked(index, false);
            self.deliver(index, 0, false);
            self.report_cursor(index);
        }
        for _ in 0..200 {
            self.pass();
            for index in 0..self.watchers.len() {
                self.deliver(index, 0, false);
                self.complain(index);
            }
            match self.fan_out.poll_timeout() {
                Some(due) => self.now = self.now.max(due),
                None => return,
            }
        }
        panic!("the fan-out never comes to rest");
    }

    fn check(&self) {
        for watcher in &self.watchers {
            let scope = watcher.scope;
            let seen = |session: &SessionId| {
                let is_watched = scope.session.is_none_or(|only| only == *session);
                is_watched && self.is_in_view(watcher, *session)
            };
            let live: Vec<SessionId> = self
                .sessions
                .iter()
                .filter(|(session, model)| !model.ended && seen(session))
                .map(|(session, _)| *session)
                .collect();
            let known: Vec<SessionId> = watcher
                .state
                .sessions
                .iter()
                .filter(|(_, known)| !known.state.is_ended())
                .map(|(session, _)| *session)
                .collect();
            assert_eq!(known, live, "the set of sessions");
            if scope.area.is_some() {
                self.check_clusters(watcher, live.len());
            }
            for session in live {
                self.check_session(watcher, session);
            }
            let cursor = self.fan_out.cursor_of(watcher.id).expect("a viewer");
            // A watched row that is gone says nothing about what its viewer has.
            let gone = scope
                .session
                .is_some_and(|session| self.table.0.row(session).is_none());
            let behind = cursor < scope.head(&self.table.0);
            assert!(gone || !behind, "a viewer is left behind");
        }
    }

    /// Whether a session is a row of what a watcher was told that it sees.
    fn is_in_view(&self, watcher: &Watcher, session: SessionId) -> bool {
        let Some(viewing) = &watcher.state.viewing else {
            return true;
        };
        let row = self.table.0.row(session);
        let Some(row) = row.filter(|row| row.newest().is_some()) else {
            return false;
        };
        row.position().is_none_or(|place| {
            let is_at = |cell: &MapCell| MapCell::at(place, cell.level()) == *cell;
            viewing.cells.iter().any(is_at)
        })
    }

    /// Everybody else is counted once, in the smallest cluster around.
    fn check_clusters(&self, watcher: &Watcher, shown: usize) {
        let Some(held) = &watcher.state.clusters else {
            assert_eq!(self.table.0.as_of(), 0, "counted with the first batch");
            return;
        };
        let is_somewhere = |row: &&Row| row.newest().is_some();
        let live = self.table.0.rows_live().filter(is_somewhere).count();
        let counted: u32 = held.clusters.iter().map(|cluster| cluster.count).sum();
        assert_eq!(counted as usize, live - shown, "all others are counted");
        let mut left: BTreeMap<MapCell, u32> = BTreeMap::new();
        for row in self.table.0.rows_live().filter(is_somewhere) {
            if self.is_in_view(watcher, row.session()) {
                continue;
            }
            let place = row.position().expect("a sealed row is in every view");
            let is_around = |cell: &MapCell| MapCell::at(place, cell.level()) == *cell;
            let around = held.clusters.iter().map(|it| it.cell).filter(is_around);
            let smallest = around.max_by_key(|cell| cell.level());
            *left.entry(smallest.expect("a cluster")).or_default() += 1;
        }
        let told: BTreeMap<MapCell, u32> =
            held.clusters.iter().map(|it| (it.cell, it.count)).collect();
        assert_eq!(told, left, "each where it is");
    }

    fn check_session(&self, watcher: &Watcher, session: SessionId) {
        let row = self.table.0.row(session).expect("a live row");
        let known = &watcher.state.sessions[&session];
        let model = &self.sessions[&session];
        let newest = row.newest().map(|p| (p.counter, p.payload.clone()));
        assert_eq!(row.descriptor().counter.0, model.newest);
        assert_eq!(row.points_total(), model.points.len() as u64);
        assert_eq!(known.shown, newest);
        assert_eq!(known.slot, row.slot().0);
        assert_eq!(known.user, row.descriptor().user);
        assert_eq!(known.expires_at_ms, row.descriptor().expires_at_ms);
        assert_eq!(known.state, row.state().state);
        if watcher.scope.delivery == Delivery::Every && !known.blurred {
            assert_eq!(known.had, row.points_total());
            let missing = model
                .points
                .iter()
                .filter(|(offset, counter)| {
                    *offset > known.first_sight && !known.seen.contains(counter)
                })
                .count();
            assert_eq!(known.lost, missing as u64, "lost points of {session}");
        }
    }

    fn step(&mut self, op: u8, choice: u16) {
        let watcher = |world: &Self| usize::from(choice) % world.watchers.len().max(1);
        let has_watchers = !self.watchers.is_empty();
        match op {
            0..=1 if self.sessions.len() < 12 => self.start(),
            2..=9 => {
                if let Some(session) = self.pick(choice) {
                    let step = match choice >> 8 {
                        0..=8 => 0, // an old or repeated counter
                        9..=20 => 300,
                        21..=100 => 2,
                        _ => 1,
                    };
                    self.live_point(session, step);
                }
            }
            10 => {
                if let Some(session) = self.pick(choice) {
                    self.historical_point(session);
                }
            }
            11 => {
                if let Some(session) = self.pick(choice) {
                    let entry = match choice >> 8 & 3 {
                        0 => Entry::Heartbeat { session },
                        1 => Entry::State {
                            session,
                            state: SessionState::Stale,
                            at_ms: self.now.0,
                        },
                        _ => Entry::Extended {
                            session,
                            expires_at_ms: self.now.0 + 1_000_000,
                        },
                    };
                    self.record(&entry);
                }
            }
            12 if choice & 1 == 0 => {
                if let Some(session) = self.pick(choice >> 1) {
                    self.end(session);
                }
            }
            13..=16 => self.pass(),
            17 if self.watchers.len() < 10 => self.join(choice),
            18..=21 if has_watchers => self.deliver(watcher(self), choice >> 4, true),
            22 if has_watchers => self.complain(watcher(self)),
            23 if has_watchers => self.set_blocked(watcher(self), choice & 0x100 == 0),
            24 if has_watchers && choice & 0x200 == 0 => {
                self.reconnect(watcher(self), choice & 0x100 == 0);
            }
            25 if has_watchers && choice & 0x300 == 0 => {
                let left = self.watchers.swap_remove(watcher(self));
                self.fan_out.remove(left.id);
                self.net.transports.remove(&left.connection);
            }
            26 if choice & 0x70 == 0 => {
                self.table.0.give_back_trails();
            }
            27 if choice & 0x70 == 0 => {
                self.table.0.give_back_ended();
            }
            28..=30 => self.now = self.now.plus_ms(u64::from(choice) % 900),
            31 if choice & 0x70 == 0 => {
                self.now = self.now.plus_ms(70_000);
                self.table.0.forget_old(self.now);
            }
            _ => {}
        }
    }
}

impl Watcher {
    fn check_never_back(&mut self) {
        let live = |known: &Known| !known.state.is_ended();
        for (session, known) in self.state.sessions.iter().filter(|(_, known)| live(known)) {
            let counter = known.shown.as_ref().map_or(0, |(counter, _)| counter.0);
            let before = self.shown.insert(*session, counter).unwrap_or(0);
            assert!(
                counter >= before,
                "{session} went from {before} to {counter}"
            );
        }
    }
}

/// Different views that watchers may have.
const VIEWS: u64 = 4;

/// One of some views: the south of the first two columns of sessions, or all, with few rows or many.
fn view(choice: u16) -> Scope {
    let (north_e6, east_e6) =
        [(45_100_000, 10_000_000), (46_000_000, 40_000_000)][usize::from(choice & 1)];
    let wish = MapView {
        south_e6: 44_900_000,
        west_e6: -1_000_000,
        north_e6,
        east_e6,
        rows: [3, 4_096][usize::from(choice >> 1 & 1)],
    };
    Scope {
        delivery: Delivery::Latest,
        session: None,
        grid: None,
        area: Some(MapArea::around(&wish)),
    }
}

fn point(session: SessionId, counter: u64, now: Timestamp) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: now.0 as i64 - 400,
        payload: Payload::Fix(Fix {
            // Some sessions are beyond the anchor's reach, and all go to and fro.
            position: Position {
                lat_e6: 45_000_000 + (counter % 3) as i32 * 800_000 + counter as i32,
                lon_e6: (session.0 as i32 % 5) * 9_000_000 + counter as i32,
            },
            ..Fix::default()
        }),
    }
}

fn run(steps: &[(u8, u16)], pacing: Pacing) {
    let mut world = World::new(pacing);
    for (op, choice) in steps {
        world.step(*op, *choice);
    }
    world.heal();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn viewers_converge(steps in prop::collection::vec((0u8..32, any::<u16>()), 0..400)) {
        run(&steps, Pacing::default());
    }
}
