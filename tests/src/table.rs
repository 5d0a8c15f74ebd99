//! What a viewer knows, by the apply rule and nothing else.
//!
//! Written from `docs/PROTOCOL.md`, apart from the client crate, to be a second opinion. It keeps
//! every point it has seen, so that a test can ask for order, gaps and repetition.

use std::collections::BTreeMap;

use skein_wire::batch::{Batch, Entry};
use skein_wire::ids::{Counter, SessionId, Slot, UserName};
use skein_wire::point::{Payload, Position};
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
    /// The newest counter.
    pub counter: u64,
    /// Its state.
    pub state: SessionState,
    /// Every point that was handed out, in that order.
    pub points: Vec<Seen>,
    /// Points that the server said it no longer had.
    pub skipped: u64,
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
        if header.epoch < self.epoch || (!newer && header.to <= self.cursor) {
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
        for entry in pages.iter().flat_map(|page| &page.entries) {
            self.take(entry, &mut known);
        }
        self.gone.extend(known.into_values());
        self.epoch = header.epoch;
        self.cursor = header.to;
    }

    fn take(&mut self, entry: &Entry, known: &mut BTreeMap<SessionId, Row>) {
        if let Some(descriptor) = &entry.descriptor {
            let same = self.rows.get(&entry.slot).map(|row| row.session);
            if same != Some(descriptor.session) {
                let row = known.remove(&descriptor.session).unwrap_or(Row {
                    session: descriptor.session,
                    user: descriptor.user.clone(),
                    counter: 0,
                    state: SessionState::Live,
                    points: Vec::new(),
                    skipped: 0,
                });
                self.gone.extend(self.rows.insert(entry.slot, row));
            }
        }
        let row = self.rows.get_mut(&entry.slot);
        let row = row.unwrap_or_else(|| panic!("slot {} has no descriptor", entry.slot));
        row.skipped += entry.skipped;
        take_points(row, entry);
        if let Some(mark) = entry.state {
            row.state = mark.state;
        } else if entry.point.is_some() {
            row.state = SessionState::Live;
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

/// Hands out the points of an entry that this row does not have yet, oldest first.
fn take_points(row: &mut Row, entry: &Entry) {
    let Some(newest) = &entry.point else {
        return;
    };
    let exact = entry
        .descriptor
        .as_ref()
        .map(|descriptor| descriptor.counter);
    let counter = exact
        .unwrap_or_else(|| newest.counter.widen(Counter(row.counter)))
        .0;
    for earlier in &entry.earlier {
        let seen = Seen {
            counter: counter.saturating_sub(earlier.behind),
            captured_at_ms: earlier.captured_at_ms,
            position: position(&earlier.payload),
        };
        if !row
            .points
            .iter()
            .rev()
            .any(|point| point.counter == seen.counter)
        {
            row.points.push(seen);
        }
    }
    if counter > row.counter {
        row.counter = counter;
        row.points.push(Seen {
            counter,
            captured_at_ms: newest.captured_at_ms,
            position: position(&newest.payload),
        });
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
    use skein_wire::batch::{Batch, BatchHeader};
    use skein_wire::ids::{Cell, ChatHandle};
    use skein_wire::point::Position;
    use skein_wire::request::Delivery;

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
}
