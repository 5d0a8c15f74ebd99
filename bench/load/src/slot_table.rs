//! A viewer's table in the shortest form: which sender each slot is, and which counter it has.
//!
//! The apply rule and the widening of counters are those of `docs/PROTOCOL.md`, without the rows'
//! contents, so that a thousand rows cost microseconds. What the rule calls known is no delivery.

use std::collections::HashMap;
use std::rc::Rc;

use skein_wire::ids::{Cell, ChatHandle, Counter, SessionId};
use skein_wire::request::{CursorReport, Delivery};

use crate::batch_cache::{Parsed, ParsedRow};
use crate::sink::Sink;

/// Which sender a user is.
pub type SendersByUser = HashMap<String, u32>;

/// One slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// `None`: nobody is there.
    session: Option<SessionId>,
    /// Number in the run; [`NOBODY`] = a session that the run did not start.
    sender: u32,
    /// The counter that the batches last said.
    said: u64,
    /// Points that are accounted for.
    had: u64,
    /// Seen for the first time in this batch.
    is_new: bool,
    ended: bool,
}

/// A sender that is not of this run.
const NOBODY: u32 = u32::MAX;

const EMPTY: Slot = Slot {
    session: None,
    sender: NOBODY,
    said: 0,
    had: 0,
    is_new: false,
    ended: false,
};

/// What one viewer has of one chat.
#[derive(Clone, Debug, Default)]
pub struct SlotTable {
    chat: Option<ChatHandle>,
    epoch: u32,
    cursor: u64,
    slots: Vec<Slot>,
    /// Pages of a batch that is not complete yet.
    pages: Vec<Rc<Parsed>>,
    has_complained: bool,
}

/// What is being applied.
struct Context {
    delivery: Delivery,
    full: bool,
    /// The batch begins before the viewer's cursor and may repeat what it has.
    may_repeat: bool,
}

impl SlotTable {
    /// The server has granted the watch.
    pub fn bind(&mut self, chat: ChatHandle, epoch: u32, from: u64) {
        self.chat = Some(chat);
        self.epoch = epoch;
        self.cursor = from;
    }

    /// Whether the server has granted the watch.
    pub fn is_bound(&self) -> bool {
        self.chat.is_some()
    }

    /// What the viewer has, for a complaint.
    pub fn report(&self) -> Option<CursorReport> {
        self.chat.map(|chat| CursorReport {
            chat,
            cell: Cell(0),
            epoch: self.epoch,
            offset: self.cursor,
        })
    }

    /// Takes a batch or a page of one. An answer is a complaint, to be sent.
    pub fn take(
        &mut self,
        batch: Rc<Parsed>,
        senders: &SendersByUser,
        sink: &mut impl Sink,
    ) -> Option<CursorReport> {
        let header = batch.header;
        if self.chat != Some(header.chat) {
            sink.strange("a batch of a chat that is not watched");
            return None;
        }
        if !self.applies(&batch, sink) {
            return self.complain(&batch);
        }
        let Some(page) = header.page else {
            self.apply(&[batch], senders, sink);
            return None;
        };
        let other = |held: &Rc<Parsed>| held.header.page.map(|page| page.snapshot);
        if self.pages.first().and_then(other) != Some(page.snapshot) {
            self.pages.clear();
        }
        self.pages.push(batch);
        if self.pages.len() as u32 == page.total {
            let pages = std::mem::take(&mut self.pages);
            self.apply(&pages, senders, sink);
        }
        None
    }

    fn applies(&self, batch: &Parsed, sink: &mut impl Sink) -> bool {
        let header = &batch.header;
        let is_new = header.to > self.cursor;
        if header.from == 0 {
            return header.epoch > self.epoch
                || (header.epoch == self.epoch && (is_new || self.cursor == 0));
        }
        if header.epoch == self.epoch && header.from <= self.cursor && !is_new {
            sink.strange("a batch that came twice");
        }
        header.epoch == self.epoch && header.from <= self.cursor && is_new
    }

    /// Once per gap: on an ordered connection it should never happen.
    fn complain(&mut self, batch: &Parsed) -> Option<CursorReport> {
        let header = &batch.header;
        let is_gap = header.from > self.cursor || header.epoch > self.epoch;
        if !is_gap || self.has_complained {
            return None;
        }
        self.has_complained = true;
        self.report()
    }

    fn apply(&mut self, pages: &[Rc<Parsed>], senders: &SendersByUser, sink: &mut impl Sink) {
        let Some(header) = pages.first().map(|page| page.header) else {
            return;
        };
        let context = Context {
            delivery: header.delivery,
            full: header.from == 0,
            may_repeat: header.from < self.cursor,
        };
        let before = match context.full {
            true => std::mem::take(&mut self.slots),
            false => Vec::new(),
        };
        for row in pages.iter().flat_map(|page| &page.rows) {
            self.row(row, &context, &before, senders, sink);
        }
        (self.epoch, self.cursor) = (header.epoch, header.to);
        self.has_complained = false;
        sink.batch();
    }

    fn row(
        &mut self,
        row: &ParsedRow,
        context: &Context,
        before: &[Slot],
        senders: &SendersByUser,
        sink: &mut impl Sink,
    ) {
        let index = row.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, EMPTY);
        }
        let slot = &mut self.slots[index];
        if let Some(descriptor) = &row.descriptor {
            if slot.session != Some(descriptor.session) {
                let known = before
                    .iter()
                    .find(|old| old.session == Some(descriptor.session));
                *slot = known.copied().unwrap_or(Slot {
                    session: Some(descriptor.session),
                    sender: *senders.get(descriptor.user.as_str()).unwrap_or(&NOBODY),
                    is_new: true,
                    ..EMPTY
                });
            }
            if row.newest.is_none() && slot.is_new && context.full && slot.sender != NOBODY {
                sink.first(slot.sender, descriptor.counter.0);
                slot.said = descriptor.counter.0;
            }
        }
        if slot.session.is_none() {
            if !row.ended {
                sink.strange("a row of a session that was never described");
            }
            return;
        }
        if slot.ended && row.newest.is_some() {
            // A batch that begins before the end may tell of it and of what was before it again.
            if !context.may_repeat {
                sink.strange("a point behind the end of its session");
            }
            return;
        }
        slot.ended |= row.ended;
        if let Some(newest) = row.newest {
            let exact = row.descriptor.as_ref().map(|descriptor| descriptor.counter);
            let counter = exact.unwrap_or_else(|| newest.widen(Counter(slot.said)));
            slot.points(row, counter.0, context, sink);
        }
        slot.is_new = false;
    }
}

impl Slot {
    fn points(&mut self, row: &ParsedRow, newest: u64, context: &Context, sink: &mut impl Sink) {
        if self.sender == NOBODY {
            self.said = newest;
            return;
        }
        if self.is_new && context.full {
            // It was there before the viewer.
            sink.first(self.sender, newest);
            self.said = newest;
            self.had = row.skipped + row.behind.len() as u64 + 1;
            return;
        }
        let before = self.said;
        let earlier = row
            .behind
            .iter()
            .filter_map(|behind| newest.checked_sub(*behind));
        let mut new = 0;
        for counter in earlier.chain([newest]) {
            if counter <= before && (context.may_repeat || context.full) {
                sink.repeated();
            } else {
                new += 1;
                sink.deliver(self.sender, counter);
            }
        }
        self.said = newest;
        if context.delivery == Delivery::Every {
            self.account(row, new, context.full, sink);
        }
    }

    /// How many points are lost to this viewer for good: the rule of `docs/PROTOCOL.md`.
    fn account(&mut self, row: &ParsedRow, new: u64, full: bool, sink: &mut impl Sink) {
        if !full && row.skipped == 0 {
            self.had += new;
            return;
        }
        let total = row.skipped + row.behind.len() as u64 + 1;
        let lost = total.saturating_sub(self.had + new);
        self.had = total;
        if lost > 0 {
            sink.skipped(self.sender, lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::batch::{BatchHeader, BatchWriter, Descriptor, EntryRef, Flags};
    use skein_wire::frame::decode_update;
    use skein_wire::ids::{Cell, ChatHandle, Counter, SessionId, Slot, UserName};
    use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
    use skein_wire::point::{Fix, Payload, Point, Position};
    use skein_wire::request::Delivery;
    use skein_wire::splitter::split_first_shared;
    use skein_wire::update::Update;

    use crate::batch_cache::BatchCache;
    use crate::sink::Sink;
    use crate::slot_table::{SendersByUser, SlotTable};

    /// What came, in the order in which it came.
    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Sink for Seen {
        fn deliver(&mut self, sender: u32, counter: u64) {
            self.0.push(format!("{sender}:{counter}"));
        }
        fn first(&mut self, sender: u32, counter: u64) {
            self.0.push(format!("{sender} from {counter}"));
        }
        fn skipped(&mut self, sender: u32, count: u64) {
            self.0.push(format!("{sender} lost {count}"));
        }
        fn batch(&mut self) {}
        fn repeated(&mut self) {
            self.0.push("again".to_owned());
        }
        fn strange(&mut self, what: &'static str) {
            self.0.push(what.to_owned());
        }
        fn answer(&mut self, _bytes: &[u8]) {}
    }

    /// A batch with one row: described or not, with the newest counter, those before it, and how
    /// many it does not list.
    struct Row {
        from: u64,
        to: u64,
        described: bool,
        counters: &'static [u64],
        skipped: u64,
    }

    fn point(counter: u64) -> Point {
        let position = Position {
            lat_e6: 47_000_000,
            lon_e6: 8_000_000,
        };
        Point {
            counter: Counter(counter),
            captured_at_ms: 1_750_000_000_000,
            payload: Payload::Fix(Fix {
                position,
                ..Fix::default()
            }),
        }
    }

    fn body(row: &Row) -> Vec<u8> {
        let newest = row.counters.last().map(|counter| point(*counter));
        let header = BatchHeader {
            chat: ChatHandle(1),
            cell: Cell(0),
            epoch: 1,
            from: row.from,
            to: row.to,
            server_time_ms: 1_750_000_000_250,
            anchor: Position::default(),
            delivery: Delivery::Every,
            page: None,
        };
        let descriptor = Descriptor {
            session: SessionId(9),
            user: UserName::new("s7").expect("a name"),
            started_at_ms: 1_750_000_000_000,
            expires_at_ms: 1_750_000_900_000,
            counter: newest.as_ref().map_or(Counter(0), |point| point.counter),
            sealed: false,
        };
        let entry = EntryRef {
            slot: Slot(0),
            descriptor: row.described.then_some(&descriptor),
            point: newest.as_ref(),
            counter_whole: false,
            skipped: row.skipped,
            state: None,
        };
        let before = row
            .counters
            .split_last()
            .map_or(&[][..], |(_, before)| before);
        let earlier: Vec<Point> = before.iter().map(|counter| point(*counter)).collect();
        let mut bytes = Vec::new();
        let mut writer = BatchWriter::begin(&mut bytes, &header, Flags::POINT);
        writer.entry(&entry, earlier.iter());
        writer.finish();
        let frame = split_first_shared(&mut bytes.into(), SERVER_FRAME_BYTES_MAX);
        let frame = frame.expect("a frame").expect("a whole one");
        match decode_update(frame).expect("an update") {
            Some(Update::Batch(body)) => body.to_vec(),
            other => panic!("no batch: {other:?}"),
        }
    }

    fn check(rows: &[Row], expected: &[&str]) {
        let senders: SendersByUser = [("s7".to_owned(), 7)].into_iter().collect();
        let (mut table, mut cache) = (SlotTable::default(), BatchCache::default());
        table.bind(ChatHandle(1), 1, 0);
        let mut seen = Seen::default();
        for row in rows {
            let batch = cache.parse(&body(row)).expect("a batch");
            if let Some(report) = table.take(batch, &senders, &mut seen) {
                seen.0.push(format!("has up to {}", report.offset));
            }
        }
        assert_eq!(seen.0, expected);
    }

    fn full(counters: &'static [u64]) -> Row {
        Row {
            from: 0,
            to: 10,
            described: true,
            counters,
            skipped: 0,
        }
    }

    fn change(from: u64, to: u64, counters: &'static [u64]) -> Row {
        Row {
            from,
            to,
            described: false,
            counters,
            skipped: 0,
        }
    }

    #[test]
    fn who_comes_late_begins_with_what_was_there() {
        let rows = [
            full(&[300]),
            change(10, 11, &[301]),
            change(11, 13, &[302, 303]),
        ];
        check(&rows, &["7 from 300", "7:301", "7:302", "7:303"]);
        check(&[full(&[]), change(10, 11, &[1])], &["7 from 0", "7:1"]);
    }

    #[test]
    fn a_batch_that_begins_earlier_may_repeat_and_one_at_the_cursor_may_not() {
        let rows = [
            full(&[5]),
            change(10, 12, &[6, 7]),
            change(10, 13, &[6, 7, 8]),
        ];
        check(&rows, &["7 from 5", "7:6", "7:7", "again", "again", "7:8"]);
        let rows = [full(&[5]), change(10, 11, &[6]), change(11, 12, &[6])];
        check(&rows, &["7 from 5", "7:6", "7:6"]);
    }

    #[test]
    fn a_lost_a_doubled_and_a_swapped_batch_are_told() {
        let rows = [full(&[5]), change(11, 12, &[7])];
        check(&rows, &["7 from 5", "has up to 10"]);
        let rows = [full(&[5]), change(10, 11, &[6]), change(10, 11, &[6])];
        check(&rows, &["7 from 5", "7:6", "a batch that came twice"]);
        let rows = [full(&[5]), change(11, 12, &[7]), change(10, 11, &[6])];
        check(&rows, &["7 from 5", "has up to 10", "7:6"]);
    }

    #[test]
    fn what_the_ring_no_longer_holds_is_counted_as_the_protocol_says() {
        let late = Row {
            skipped: 13,
            ..change(10, 40, &[19, 20])
        };
        // 15 in all; 5 were had; 2 are listed: 8 are lost.
        let first = Row {
            skipped: 4,
            ..full(&[5])
        };
        check(&[first, late], &["7 from 5", "7:19", "7:20", "7 lost 8"]);
    }
}
