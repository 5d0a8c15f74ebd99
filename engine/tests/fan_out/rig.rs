//! What the scenarios play on: the tables of a shard, its fan-out, and a sink that remembers.

use std::collections::HashMap;

use bytes::Bytes;
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{FanOut, FanOutReport, Pacing, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::journal::{Entry, Started};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::{Table, TableLimits, Tables};
use skein_engine::time::Timestamp;
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::Delivery;

pub const CHAT: ChatHandle = ChatHandle(1);
pub const EPOCH: u32 = 1;

/// A shard's tables and fan-out, and the one partition they follow.
pub struct Rig {
    pub tables: HashMap<ChatHandle, Table>,
    pub fan_out: FanOut,
    pub sink: Recorder,
    pub now: Timestamp,
    pub offset: u64,
}

struct TableMap<'a>(&'a HashMap<ChatHandle, Table>);

impl Tables for TableMap<'_> {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        self.0.get(&chat)
    }
}

/// Takes everything in the way it is told to, and remembers what.
#[derive(Default)]
pub struct Recorder {
    pub offer: Option<Offer>,
    pub offers: Vec<(ConnectionId, ViewerId, SharedBatch)>,
    pub heads: Vec<(ConnectionId, Bytes)>,
}

impl Sink for Recorder {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        self.offers.push((connection, viewer, batch.clone()));
        self.offer.unwrap_or(Offer::Sent)
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        panic!("{connection:?} has no view: {frame:?}");
    }

    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.heads.push((connection, frame.clone()));
    }
}

impl Rig {
    pub fn new() -> Self {
        Self {
            tables: HashMap::new(),
            fan_out: FanOut::new(Pacing::default(), 1),
            sink: Recorder::default(),
            now: Timestamp(1_000_000),
            offset: 0,
        }
    }

    /// A chat with so many sessions, each with a point.
    pub fn with_sessions(count: u64) -> Self {
        let mut rig = Self::new();
        for session in 0..count {
            rig.start(CHAT, session);
            rig.point(CHAT, session, 1);
        }
        rig
    }

    pub fn record(&mut self, chat: ChatHandle, entry: &Entry) {
        self.offset += 1;
        let table = self
            .tables
            .entry(chat)
            .or_insert_with(|| Table::new(EPOCH, 1, TableLimits::default()));
        if table.apply(self.offset, self.now.0, entry).any() {
            self.fan_out.mark_changed(chat);
        }
    }

    pub fn start(&mut self, chat: ChatHandle, session: u64) {
        let fresh = || Table::new(EPOCH, 1, TableLimits::default());
        let table = self.tables.entry(chat).or_insert_with(fresh);
        let started = Started {
            slot: table.reserve_slot().unwrap(),
            user: UserName::new(&format!("user-{session}")).unwrap(),
            started_at_ms: self.now.0,
            expires_at_ms: self.now.0 + 900_000,
            sealed: false,
        };
        let session = SessionId(session);
        self.record(chat, &Entry::Started { session, started });
    }

    pub fn point(&mut self, chat: ChatHandle, session: u64, counter: u64) {
        let point = Point {
            counter: Counter(counter),
            captured_at_ms: self.now.0 as i64,
            payload: Payload::Fix(Fix {
                position: Position {
                    lat_e6: 45_000_000 + session as i32,
                    lon_e6: 13_000_000 + counter as i32,
                },
                ..Fix::default()
            }),
        };
        let session = SessionId(session);
        self.record(chat, &Entry::Point { session, point });
    }

    pub fn watch(&mut self, chat: ChatHandle, connection: u64) -> ViewerId {
        self.watch_from(chat, connection, 0)
    }

    pub fn watch_from(&mut self, chat: ChatHandle, connection: u64, from: u64) -> ViewerId {
        let spec = WatchSpec {
            from,
            ..spec(chat, connection)
        };
        self.fan_out.register(&spec, &self.tables[&chat])
    }

    pub fn pass(&mut self) -> FanOutReport {
        let tables = TableMap(&self.tables);
        self.fan_out.pass(self.now, &tables, &mut self.sink)
    }

    /// Passes until there is nothing more to do at once.
    pub fn pass_all(&mut self) -> Vec<(ConnectionId, ViewerId, SharedBatch)> {
        self.sink.offers.clear();
        while self.pass().more {}
        std::mem::take(&mut self.sink.offers)
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    pub fn timeout_ms(&self) -> Option<u64> {
        self.fan_out
            .poll_timeout()
            .map(|due| due.since_ms(self.now))
    }
}

pub fn spec(chat: ChatHandle, connection: u64) -> WatchSpec {
    WatchSpec {
        connection: ConnectionId(connection),
        chat,
        scope: Scope::whole(Delivery::Latest),
        from: 0,
        trail: 0,
        interval_ms: 0,
    }
}
