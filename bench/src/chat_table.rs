//! A latest table with as many sessions as a bench wants, fed by records as a shard feeds it.

use skein_engine::journal::{Entry, Started};
use skein_engine::record::OwnedRecord;
use skein_engine::table::{Table, TableLimits, Tables};
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};

/// The one chat.
pub const CHAT: ChatHandle = ChatHandle(1);

/// Server time of the beginning, milliseconds since 1970.
pub const START_MS: u64 = 1_750_000_000_000;

/// South-west corner of the town in which everybody moves, millionths of a degree.
pub const TOWN_E6: (i32, i32) = (45_000_000, 12_800_000);

/// How large it is, along each side.
pub const TOWN_SIZE_E6: usize = 200_000;

/// A chat's table and where its log would stand.
pub struct ChatTable {
    /// The table.
    pub table: Table,
    sessions: usize,
    /// Offset of the last record.
    offset: u64,
}

impl Tables for ChatTable {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        (chat == CHAT).then_some(&self.table)
    }
}

impl ChatTable {
    /// A table in which `sessions` members share and each has a point.
    ///
    /// # Panics
    /// If there are more sessions than a table has slots.
    pub fn new(sessions: usize) -> Self {
        let table = Table::new(1, 1, TableLimits::default());
        let mut chat = Self {
            table,
            sessions,
            offset: 0,
        };
        for index in 0..sessions {
            chat.start(index);
        }
        chat.move_all();
        chat
    }

    fn start(&mut self, index: usize) {
        let started = Started {
            slot: self.table.reserve_slot().expect("a slot for each session"),
            user: UserName::new(&format!("user-{index}")).expect("a name"),
            started_at_ms: START_MS,
            expires_at_ms: START_MS + 3_600_000,
            sealed: false,
        };
        let session = session(index);
        self.offset += 1;
        let entry = Entry::Started { session, started };
        assert!(self.table.apply(self.offset, START_MS, &entry).any());
    }

    /// Applies a record as a shard does that follows the log.
    pub fn follow(&mut self, record: &OwnedRecord) {
        let entry = Entry::decode(&record.as_raw()).expect("a record of ours");
        self.offset += 1;
        let applied = self.table.apply(self.offset, START_MS, &entry);
        assert!(applied.any(), "the point changed nothing");
    }

    /// Gives every session a newer point.
    pub fn move_all(&mut self) {
        self.move_some(self.sessions);
    }

    /// Gives `count` sessions, spread over the table, a newer point.
    pub fn move_some(&mut self, count: usize) {
        let step = (self.sessions / count).max(1);
        for index in (0..self.sessions).step_by(step).take(count) {
            let entry = Entry::Point {
                session: session(index),
                point: point(index, self.offset + 1),
            };
            self.offset += 1;
            assert!(self.table.apply(self.offset, START_MS, &entry).any());
        }
    }

    /// Offset of the last record.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Number of a session, spread as random numbers are.
pub fn session(index: usize) -> SessionId {
    SessionId((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A point of a session as its log carries it.
pub fn point_record(index: usize, counter: u64) -> OwnedRecord {
    let entry = Entry::Point {
        session: session(index),
        point: point(index, counter),
    };
    entry.encode(CHAT)
}

/// A point of a session, a little further on than the one before.
pub fn point(index: usize, counter: u64) -> Point {
    // All over a town.
    let spread = |factor: usize| (index * factor % TOWN_SIZE_E6) as i32;
    let fix = Fix {
        position: Position {
            lat_e6: TOWN_E6.0 + spread(7_919) + (counter % 1_000) as i32,
            lon_e6: TOWN_E6.1 + spread(104_729),
        },
        heading: Some(Heading(index as u8)),
        speed: Some(Speed(40)),
        accuracy: Some(Accuracy(60)),
        battery: None,
    };
    Point {
        counter: Counter(counter),
        captured_at_ms: START_MS as i64,
        payload: Payload::Fix(fix),
    }
}
