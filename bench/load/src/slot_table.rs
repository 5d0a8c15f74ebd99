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
