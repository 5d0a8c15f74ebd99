//! A checkpoint is written in slices while records go on. Whatever comes between, a table restored
//! from it and the records after its beginning equals the one that followed everything.

use proptest::prelude::*;
use skein_engine::journal::{Entry, RowRecord, Started};
use skein_engine::table::{Table, TableLimits};
use skein_wire::ids::{ChatHandle, Counter, SessionId, Slot, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

const LIMITS: TableLimits = TableLimits {
    trail_points: 4,
    tombstones_max: 4,
    tombstone_age_ms_max: u64::MAX,
};

/// The log of one chat, and the table that followed all of it.
struct Writer {
    table: Table,
    log: Vec<(u64, Entry)>,
    sessions: Vec<(SessionId, u64)>,
}

impl Writer {
    fn new() -> Self {
        Self {
            table: Table::new(1, 1, LIMITS),
            log: Vec::new(),
            sessions: Vec::new(),
        }
    }

    fn append(&mut self, entry: Entry) {
        let offset = self.log.len() as u64 + 1;
        if !matches!(
            entry,
            Entry::CheckpointRow { .. } | Entry::CheckpointChat { .. }
        ) {
            self.table.apply(offset, offset, &entry);
        }
        self.log.push((offset, entry));
    }

    fn step(&mut self, op: u8, choice: u16) {
        let known = self.sessions.len();
        if known == 0 || op == 0 {
            let session = SessionId(known as u64 + 50);
            self.sessions.push((session, 0));
            let started = Started {
                slot: self.table.reserve_slot().unwrap(),
                user: UserName::new("ana").unwrap(),
                started_at_ms: 1,
                expires_at_ms: 2,
                sealed: false,
            };
            return self.append(Entry::Started { session, started });
        }
        let (session, counter) = &mut self.sessions[usize::from(choice) % known];
        let session = *session;
        let entry = match op {
            1..=6 => {
                *counter += 1 + u64::from(choice >> 12);
                let point = point(*counter);
                Entry::Point { session, point }
            }
            7 => Entry::HistoricalPoint {
                session,
                point: point(counter.saturating_sub(2).max(1)),
            },
            8 => Entry::Heartbeat { session },
            9 => Entry::Extended {
                session,
                expires_at_ms: u64::from(choice),
            },
            10 => Entry::Ended {
                session,
                state: SessionState::Expired,
                at_ms: 9,
            },
            _ => Entry::State {
                session,
                state: SessionState::Stale,
                at_ms: u64::from(choice),
            },
        };
        self.append(entry);
    }

    fn rows(&self, from: Slot, count: usize) -> Vec<(SessionId, RowRecord)> {
        let as_of = self.table.as_of();
        let rows = self.table.rows_from(from).take(count);
        rows.map(|row| (row.session(), row.record(as_of, vec![7])))
            .collect()
    }

    /// Writes the checkpoint, `slice` rows at a time; `between` says how many steps come after a
    /// slice was taken and before it is appended, and after that.
    fn checkpoint(&mut self, slice: usize, between: &[(u8, u8, u8, u16)]) {
        let mut between = between.iter();
        let mut next = Slot(0);
        loop {
            let rows = self.rows(next, slice);
            let Some((_, last)) = rows.last() else {
                break;
            };
            next = Slot(last.started.slot.0 + 1);
            let (before, after, op, choice) = *between.next().unwrap_or(&(0, 0, 0, 0));
            for step in 0..before % 6 {
                self.step((op + step) % 12, choice.wrapping_mul(31 + u16::from(step)));
            }
            for (session, row) in rows {
                let row = Box::new(row);
                self.append(Entry::CheckpointRow { session, row });
            }
            for step in 0..after % 6 {
                self.step(
                    (op + 3 + step) % 12,
                    choice.wrapping_mul(17 + u16::from(step)),
                );
            }
        }
        // Ended rows may have been forgotten while the rows were written.
        let (horizon, as_of) = (self.table.horizon(), self.table.as_of());
        self.append(Entry::CheckpointChat { horizon, as_of });
    }
}

fn point(counter: u64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: 5,
        payload: Payload::Fix(Fix {
            position: Position {
                lat_e6: counter as i32,
                lon_e6: 7,
            },
            ..Fix::default()
        }),
    }
}

fn restored(log: &[(u64, Entry)]) -> Table {
    let mut table = Table::new(1, 1, LIMITS);
    table.begin_restore();
    for (offset, entry) in log {
        // Through the bytes, as a restart does.
        let record = entry.encode(ChatHandle(1));
        let entry = Entry::decode(&record.as_raw()).unwrap();
        table.apply(*offset, *offset, &entry);
    }
    table.finish_restore();
    table
}

fn check_equal(restored: &Table, followed: &Table) {
    assert!(restored.horizon() >= followed.horizon());
    assert_eq!(restored.live(), followed.live());
    for row in followed.rows() {
        let same = restored.row(row.session());
        if row.is_ended() && row.changed(Delivery::Every) <= restored.horizon() {
            continue;
        }
        let same = same.unwrap_or_else(|| panic!("{} is missing", row.session()));
        assert_eq!(same.record(0, Vec::new()), row.record(0, Vec::new()));
    }
    let order = |table: &Table| -> Vec<SessionId> {
        let rows = table.changed_since(restored.horizon());
        rows.map(|row| row.session()).collect()
    };
    assert_eq!(order(restored), order(followed));
    for row in restored.rows() {
        assert!(
            followed.row(row.session()).is_some(),
            "{} is back",
            row.session()
        );
    }
    for delivery in [Delivery::Latest, Delivery::Every] {
        let head = followed.head(delivery);
        assert!(restored.head(delivery) == head || head <= restored.horizon());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_restart_changes_nothing(
        before in prop::collection::vec((0u8..12, any::<u16>()), 0..80),
        between in prop::collection::vec((any::<u8>(), any::<u8>(), 0u8..12, any::<u16>()), 0..12),
        slice in 1usize..5,
        after in prop::collection::vec((0u8..12, any::<u16>()), 0..40),
    ) {
        let mut writer = Writer::new();
        for (op, choice) in before {
            writer.step(op, choice);
        }
        let begin = writer.log.len();
        writer.checkpoint(slice, &between);
        for (op, choice) in after {
            writer.step(op, choice);
        }
        let from_checkpoint = restored(&writer.log[begin..]);
        check_equal(&from_checkpoint, &writer.table);
        let from_the_start = restored(&writer.log);
        check_equal(&from_the_start, &writer.table);
        // A session that starts now gets a slot that nobody has.
        let mut table = from_checkpoint;
        let slot = table.reserve_slot().unwrap();
        prop_assert!(table.row_at(slot).is_none());
    }

    /// A mirror begins with an image and follows from there, reading some records twice.
    #[test]
    fn an_image_goes_on_like_its_original(
        before in prop::collection::vec((0u8..12, any::<u16>()), 0..80),
        after in prop::collection::vec((0u8..12, any::<u16>()), 0..80),
        overlap in 0usize..10,
    ) {
        let mut writer = Writer::new();
        for (op, choice) in before {
            writer.step(op, choice);
        }
        let mut mirror = writer.table.clone();
        let begin = writer.log.len().saturating_sub(overlap);
        for (op, choice) in after {
            writer.step(op, choice);
        }
        for (offset, entry) in &writer.log[begin..] {
            mirror.apply(*offset, *offset, entry);
        }
        prop_assert_eq!(mirror.horizon(), writer.table.horizon());
        prop_assert_eq!(mirror.as_of(), writer.table.as_of());
        check_equal(&mirror, &writer.table);
    }
}
