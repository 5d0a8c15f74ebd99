//! What a viewer knows, by the apply rule and nothing else.
//!
//! Written from `docs/PROTOCOL.md`, apart from the client crate, to be a second opinion. It keeps
//! every point it has seen, so that a test can ask for order, gaps and repetition.

use std::collections::BTreeMap;

use skein_wire::batch::{Batch, BatchHeader, Descriptor, Entry, NewestPoint};
use skein_wire::ids::{Counter, SessionId, Slot, UserName};
use skein_wire::point::{Payload, Position};
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

/// One point as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The sender's count.
    pub counter: u64,
    /// Device time, milliseconds since 1970.
    pub captured_at_ms: i64,
    /// Where; `None` for a sealed one.
    pub position: Option<Position>,
}

/// A session as this viewer knows it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub session: SessionId,
    /// Whose.
    pub user: UserName,
    /// The counter of the point that is shown.
    pub counter: u64,
    /// Its state.
    pub state: SessionState,
    /// Every point that was handed out, in that order.
    pub points: Vec<Seen>,
    /// Points that are lost to this viewer, as the server's `skipped` tells (`every` only).
    pub lost: u64,
    /// Its newest counter as the batches say it; low bytes are widened from here.
    base: u64,
    /// Counters below this were there before the viewer was; `None` before the first point.
    floor: Option<u64>,
    /// Points that the session has had, as far as this viewer knows.
    had: u64,
}

impl Row {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            session: descriptor.session,
            user: descriptor.user.clone(),
            counter: 0,
            state: SessionState::Live,
            points: Vec::new(),
            lost: 0,
            base: 0,
            floor: None,
            had: 0,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It moved the cursor.
    Yes,
    /// It held nothing new.
    Old,
    /// Something before it is missing.
    Gap,
    /// A page; the others are awaited.
    Page,
}

/// The table of one chat.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Epoch of the cursor.
    pub epoch: u32,
    /// Everything up to here is in.
    pub cursor: u64,
    rows: BTreeMap<Slot, Row>,
    /// Rows of sessions that are no longer in the table, so that nothing seen is forgotten.
    gone: Vec<Row>,
    pages: Vec<Batch>,
}

impl Table {
    /// A table that begins at a cursor: what `Watching` said.
    pub fn at(epoch: u32, cursor: u64) -> Self {
        Self {
            epoch,
            cursor,
            ..Self::default()
        }
    }

    /// Applies a batch, or says why not.
    pub fn apply(&mut self, batch: Batch) -> Applied {
        let header = &batch.header;
        let newer = header.epoch > self.epoch;
        let first = header.from == 0 && self.cursor == 0;
        if header.epoch < self.epoch || (!newer && !first && header.to <= self.cursor) {
            return Applied::Old;
        }
        let fits = header.from == 0 || (!newer && header.from <= self.cursor);
        if !fits {
            return Applied::Gap;
        }
        let Some(page) = header.page else {
            self.commit(&[batch]);
            return Applied::Yes;
        };
        let other = |held: &Batch| held.header.page.map(|p| p.snapshot) != Some(page.snapshot);
        if self.pages.first().is_some_and(other) {
            self.pages.clear();
        }
        self.pages.push(batch);
        if self.pages.len() < page.total as usize {
            return Applied::Page;
        }
        let pages = std::mem::take(&mut self.pages);
        self.commit(&pages);
        Applied::Yes
    }

    fn commit(&mut self, pages: &[Batch]) {
        let header = &pages[0].header;
        let before = if header.from == 0 {
            std::mem::take(&mut self.rows)
        } else {
            BTreeMap::new()
        };
        let mut known: BTreeMap<SessionId, Row> =
            before.into_values().map(|row| (row.session, row)).collect();
        for page in pages {
            for entry in &page.entries {
                self.take(entry, &page.header, &mut known);
            }
        }
        self.gone.extend(known.into_values());
        self.epoch = header.epoch;
        self.cursor = header.to;
    }

    fn take(&mut self, entry: &Entry, header: &BatchHeader, known: &mut BTreeMap<SessionId, Row>) {
        if let Some(descriptor) = &entry.descriptor {
            let same = self.rows.get(&entry.slot).map(|row| row.session);
            if same != Some(descriptor.session) {
                let row = known.remove(&descriptor.session);
                let row = row.unwrap_or_else(|| Row::new(descriptor));
                self.gone.extend(self.rows.insert(entry.slot, row));
            }
        }
        let ends = entry.state.is_some_and(|mark| mark.state.is_ended());
        let Some(row) = self.rows.get_mut(&entry.slot) else {
            // A shared batch may repeat the end of a session that this viewer never saw.
            assert!(ends, "slot {} has no descriptor", entry.slot);
            return;
        };
        if row.state.is_ended() {
            // It may repeat what this viewer saw before the end, too.
            return;
        }
        if let Some(descriptor) = &entry.descriptor {
            row.base = descriptor.counter.0;
        }
        if let Some(newest) = &entry.point {
            take_points(row, entry, newest, header);
        }
        match entry.state {
            Some(mark) => row.state = mark.state,
            None if entry.point.is_some() || header.from == 0 => row.state = SessionState::Live,
            None => {}
        }
    }

    /// The rows, by slot.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The rows of sessions that go on.
    pub fn live(&self) -> impl Iterator<Item = &Row> {
        self.rows().filter(|row| !row.state.is_ended())
    }

    /// A session, whether it is still in the table or not.
    pub fn session(&self, id: SessionId) -> Option<&Row> {
        let all = self.rows.values().chain(&self.gone);
        all.into_iter().find(|row| row.session == id)
    }
}

/// How far below the shown counter a late point may lie.
const WINDOW: u64 = 1_024;

/// Hands out the points of an entry that this row does not have yet, oldest first.
fn take_points(row: &mut Row, entry: &Entry, newest: &NewestPoint, header: &BatchHeader) {
    let exact = entry
        .descriptor
        .as_ref()
        .map(|descriptor| descriptor.counter);
    let counter = exact
        .unwrap_or_else(|| newest.counter.widen(Counter(row.base)))
        .0;
    row.base = counter;
    let mut listed: Vec<Seen> = entry
        .earlier
        .iter()
        .map(|earlier| Seen {
            counter: counter.saturating_sub(earlier.behind),
            captured_at_ms: earlier.captured_at_ms,
            position: position(&earlier.payload),
        })
        .collect();
    listed.push(Seen {
        counter,
        captured_at_ms: newest.captured_at_ms,
        position: position(&newest.payload),
    });
    let full = header.from == 0;
    let first = row.floor.is_none();
    let oldest = if full { listed[0].counter } else { 0 };
    let floor = *row.floor.get_or_insert(oldest);
    let every = header.delivery == Delivery::Every;
    let least = if every {
        floor.max((row.counter + 1).saturating_sub(WINDOW))
    } else {
        row.counter + 1
    };
    let count = listed.len() as u64;
    let mut new = 0;
    for seen in listed {
        let known = row
            .points
            .iter()
            .rev()
            .any(|point| point.counter == seen.counter);
        if seen.counter >= least && !known {
            new += 1;
            row.counter = row.counter.max(seen.counter);
            row.points.push(seen);
        }
    }
    if !every {
        return;
    }
    if entry.skipped == 0 && !full {
        row.had += new;
    } else {
        let all = entry.skipped + count;
        if !(first && full) {
            row.lost += all.saturating_sub(row.had + new);
        }
        row.had = all;
    }
}

fn position(payload: &Payload) -> Option<Position> {
    match payload {
        Payload::Fix(fix) => Some(fix.position),
        Payload::Sealed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::batch::{
        Batch, BatchHeader, Descriptor, EarlierPoint, Entry, NewestPoint, Page, StateMark,
        WireCounter,
    };
    use skein_wire::ids::{Cell, ChatHandle, Counter, SessionId, Slot, UserName};
    use skein_wire::point::{Fix, Payload, Position};
    use skein_wire::request::Delivery;
    use skein_wire::update::SessionState;

    use crate::table::{Applied, Table};

    fn batch(epoch: u32, from: u64, to: u64) -> Batch {
        Batch {
            header: BatchHeader {
                chat: ChatHandle(1),
                cell: Cell(0),
                epoch,
                from,
                to,
                server_time_ms: 0,
                anchor: Position::default(),
                delivery: Delivery::Every,
                page: None,
            },
            entries: Vec::new(),
        }
    }

    fn descriptor(session: u64, counter: u64) -> Descriptor {
        Descriptor {
            session: SessionId(session),
            user: UserName::new("ana").unwrap(),
            started_at_ms: 0,
            expires_at_ms: 1,
            counter: Counter(counter),
            sealed: false,
        }
    }

    /// A point with this low byte, after earlier ones that lie so far behind.
    fn entry(slot: u32, low: u8, behind: &[u64], skipped: u64) -> Entry {
        let payload = Payload::Fix(Fix::default());
        let earlier = |behind: &u64| EarlierPoint {
            behind: *behind,
            captured_at_ms: 0,
            payload: payload.clone(),
        };
        Entry {
            slot: Slot(slot),
            descriptor: None,
            point: Some(NewestPoint {
                counter: WireCounter::Low(low),
                captured_at_ms: 0,
                payload: payload.clone(),
            }),
            earlier: behind.iter().map(earlier).collect(),
            skipped,
            state: None,
        }
    }

    fn with(mut batch: Batch, entries: Vec<Entry>) -> Batch {
        batch.entries = entries;
        batch
    }

    /// A table with session 7 in slot 0, whose newest point is number 250.
    fn begun() -> Table {
        let mut table = Table::default();
        let mut first = entry(0, 250, &[], 249);
        first.descriptor = Some(descriptor(7, 250));
        assert_eq!(
            table.apply(with(batch(1, 0, 10), vec![first])),
            Applied::Yes
        );
        table
    }

    fn counters(table: &Table, session: u64) -> Vec<u64> {
        let row = table.session(SessionId(session)).unwrap();
        row.points.iter().map(|point| point.counter).collect()
    }

    #[test]
    fn the_apply_rule_holds() {
        let mut table = Table::at(3, 10);
        let cases = [
            (batch(3, 11, 20), Applied::Gap),
            (batch(3, 5, 10), Applied::Old),
            (batch(3, 8, 12), Applied::Yes),
            (batch(2, 0, 99), Applied::Old),
            (batch(3, 0, 12), Applied::Old),
            (batch(4, 12, 20), Applied::Gap),
            (batch(4, 0, 2), Applied::Yes),
            (batch(4, 2, 3), Applied::Yes),
        ];
        for (batch, expected) in cases {
            let header = batch.header;
            assert_eq!(table.apply(batch), expected, "{header:?}");
        }
        assert_eq!((table.epoch, table.cursor), (4, 3));
    }

    #[test]
    fn counters_are_widened_and_repetition_is_known() {
        let mut table = begun();
        // 251 to 260, then a batch for a slower viewer that repeats 259 and 260.
        table.apply(with(batch(1, 10, 20), vec![entry(0, 4, &[2, 1], 0)]));
        table.apply(with(batch(1, 15, 21), vec![entry(0, 5, &[2, 1], 0)]));
        assert_eq!(counters(&table, 7), [250, 258, 259, 260, 261]);
        assert_eq!(table.session(SessionId(7)).unwrap().lost, 0);
    }

    #[test]
    fn what_is_lost_is_counted_exactly() {
        let mut table = begun();
        // 300 points in all, of which this batch lists two: 250 were there, 48 are lost.
        table.apply(with(batch(1, 10, 60), vec![entry(0, 44, &[1], 298)]));
        assert_eq!(table.session(SessionId(7)).unwrap().lost, 48);
        assert_eq!(counters(&table, 7), [250, 299, 300]);
    }

    #[test]
    fn an_ended_session_stays_ended_until_its_slot_is_given_away() {
        let mut table = begun();
        let mut end = entry(0, 251, &[], 0);
        end.state = Some(StateMark {
            state: SessionState::Stopped,
            at_ms: 5,
        });
        table.apply(with(batch(1, 10, 11), vec![end]));
        table.apply(with(batch(1, 9, 12), vec![entry(0, 252, &[], 0)]));
        assert_eq!(counters(&table, 7), [250, 251]);
        assert_eq!(table.live().count(), 0);
        let mut next = entry(0, 1, &[], 0);
        next.descriptor = Some(descriptor(8, 1));
        table.apply(with(batch(1, 12, 13), vec![next]));
        assert_eq!((counters(&table, 8), table.live().count()), (vec![1], 1));
        assert_eq!(counters(&table, 7), [250, 251], "nothing seen is forgotten");
    }

    #[test]
    fn a_full_batch_replaces_the_set_and_keeps_the_greater_counter() {
        let mut table = begun();
        let mut older = entry(3, 240, &[], 239);
        older.descriptor = Some(descriptor(7, 240));
        table.apply(with(batch(2, 0, 4), vec![older]));
        assert_eq!(counters(&table, 7), [250]);
        assert_eq!(table.session(SessionId(7)).unwrap().counter, 250);
        table.apply(batch(3, 0, 1));
        assert_eq!(table.rows().count(), 0);
    }

    #[test]
    fn pages_count_when_the_last_is_in() {
        let mut table = Table::default();
        let page = |snapshot, index, session| {
            let mut part = entry(index, 1, &[], 0);
            part.descriptor = Some(descriptor(session, 1));
            let mut page = with(batch(1, 0, 9), vec![part]);
            page.header.page = Some(Page {
                snapshot,
                index,
                total: 2,
            });
            page
        };
        assert_eq!(table.apply(page(1, 0, 1)), Applied::Page);
        assert_eq!(table.apply(page(2, 1, 2)), Applied::Page);
        assert_eq!(table.cursor, 0);
        assert_eq!(table.apply(page(2, 0, 3)), Applied::Yes);
        assert_eq!((table.cursor, table.rows().count()), (9, 2));
    }
}
