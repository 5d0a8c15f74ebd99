//! A viewer's table of one chat (or of a part of it): the apply rule.
//!
//! A batch applies if and only if its epoch is the viewer's and `from <= cursor < to`; then the
//! cursor is `to`. One that ends at or before the cursor is old. One that begins beyond it shows a
//! gap, which is reported. One from 0 replaces the set of sessions, but a session present before
//! and after keeps the point with the greater counter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skein_wire::batch::{Batch, BatchHeader, Entry};
use skein_wire::error::WireError;
use skein_wire::ids::{Cell, ChatHandle, ChatName, Cursor, SessionId};
use skein_wire::request::{CursorReport, Delivery};
use skein_wire::update::{Cluster, Clusters, SessionState, Viewing};

use crate::batch_tap::BatchTap;
use crate::change::{Change, Event, Subject};
use crate::map_state::MapState;
use crate::pages::Pages;
use crate::recent_ends::RecentEnds;
use crate::row::{Context, Row, TrailWish};

/// Changes of one batch before they get their cursors.
type Events = Vec<(Option<Arc<Subject>>, Event)>;

/// What a viewer knows of a chat.
#[derive(Debug)]
pub struct ChatView {
    chat: ChatName,
    log: u64,
    epoch: u32,
    offset: u64,
    rows: BTreeMap<u32, Row>,
    /// There is an offset that is known to exist and is not here yet, in this epoch or later.
    wanted: Option<(u32, u64)>,
    /// Nothing but a full batch helps, and one is expected.
    full_wanted: bool,
    /// A cursor was taken up without its table: the next full batch only says who is there.
    adopting: bool,
    /// Whether a full batch would repeat what the viewer has been told.
    has_history: bool,
    /// Ends that were told.
    ends: RecentEnds,
    pages: Pages,
    /// What is wanted of sessions that are new here.
    trail: TrailWish,
    /// Batches are handed on as they are, and no rows are kept.
    tap: Option<BatchTap>,
    /// It is a view of a part of the map.
    map: Option<MapState>,
    /// Metres of the grid that places are shown on; `None` = as they were reported.
    grid_m: Option<u32>,
}

impl ChatView {
    /// A viewer that has nothing, or (from another process) everything up to a cursor.
    pub(crate) fn new(chat: ChatName, cursor: Option<Cursor>, trail: TrailWish) -> Self {
        let cursor = cursor.unwrap_or_default();
        Self {
            chat,
            log: cursor.log,
            epoch: cursor.epoch,
            offset: cursor.offset,
            rows: BTreeMap::new(),
            wanted: None,
            full_wanted: false,
            adopting: cursor.offset > 0,
            has_history: cursor.offset > 0,
            ends: RecentEnds::default(),
            pages: Pages::default(),
            trail,
            tap: None,
            map: None,
            grid_m: None,
        }
    }

    /// It is of a part of the map from now on, and has nothing of it.
    pub(crate) fn look(&mut self) {
        self.map.get_or_insert_default();
        (self.offset, self.adopting) = (0, false);
    }

    /// Metres of the grid that places are shown on; `None` = as they were reported.
    pub fn grid_m(&self) -> Option<u32> {
        self.grid_m
    }

    /// Places are on this grid from here on. If they were on another one, nothing of them counts any more: the
    /// full batch that follows shows them anew, with the counters that they had.
    pub(crate) fn set_grid(
        &mut self,
        grid_m: Option<u32>,
        delivery: Delivery,
        changes: &mut impl Extend<Change>,
    ) {
        if self.grid_m == grid_m {
            return;
        }
        self.grid_m = grid_m;
        self.forget_points(delivery);
        self.emit(
            self.beginning(),
            vec![(None, Event::Grid { grid_m })],
            changes,
        );
    }

    /// What was shown of points counts no more, and there is no cursor to go on from.
    pub(crate) fn forget_points(&mut self, delivery: Delivery) {
        (self.offset, self.adopting) = (0, false);
        for row in self.rows.values_mut() {
            row.forget_points(delivery);
        }
    }

    /// Whether what it has is no beginning for a watch that comes later: cells and grids may be others then.
    pub(crate) fn begins_anew(&self) -> bool {
        self.map.is_some() || self.grid_m.is_some()
    }

    /// Whether it is of a part of the map.
    pub(crate) fn is_map(&self) -> bool {
        self.map.is_some()
    }

    /// The number that its batches carry; `None` while it is not known.
    pub(crate) fn cell(&self) -> Option<Cell> {
        match &self.map {
            None => Some(Cell(0)),
            Some(map) => map.cell(),
        }
    }

    /// The part of the map that the rows are of; `None` for a whole chat, or before it is known.
    pub fn viewing(&self) -> Option<&Viewing> {
        self.map.as_ref()?.viewing()
    }

    /// The sessions that are no rows of this view, counted; none for a whole chat.
    pub fn clusters(&self) -> &[Cluster] {
        self.map.as_ref().map_or(&[], MapState::clusters)
    }

    /// "You see these cells from here on." They follow whole; until then what was here is shown.
    pub(crate) fn show(&mut self, viewing: &Viewing, changes: &mut impl Extend<Change>) {
        let Some(map) = &mut self.map else {
            return;
        };
        map.show(viewing.clone());
        let (log, epoch) = (self.log, self.epoch);
        self.bind(log, epoch, 0);
        let told = Event::Viewing {
            area: viewing.area,
            cells: viewing.cells.clone(),
        };
        self.emit(self.cursor(), vec![(None, told)], changes);
    }

    /// "There are so many elsewhere."
    pub(crate) fn count(&mut self, clusters: Clusters, changes: &mut impl Extend<Change>) {
        if let Some(map) = &mut self.map
            && map.count(clusters)
        {
            let clusters = map.clusters().to_vec();
            let counted = Event::Clusters { clusters };
            self.emit(self.cursor(), vec![(None, counted)], changes);
        }
    }

    /// From now on batches are handed on as they are, by [`Self::next_tapped`], and no rows are kept.
    pub(crate) fn tap(&mut self) {
        self.tap = Some(BatchTap::default());
    }

    /// Forgets that it has what came after `offset`.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.offset = self.offset.min(offset);
    }

    /// The next batch that was applied, of a view that is tapped.
    pub(crate) fn next_tapped(&mut self) -> Option<Batch> {
        self.tap.as_mut()?.next()
    }

    /// Everything up to here has been applied.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            log: self.log,
            epoch: self.epoch,
            offset: self.offset,
        }
    }

    /// The sessions, ended ones too until the server has forgotten them, by slot.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Whether the viewer knows that it misses something.
    pub fn is_behind(&self) -> bool {
        self.full_wanted || self.adopting || self.wanted.is_some()
    }

    /// Whether what is missing is known to exist and is not on its way. A full batch was promised and
    /// may have been overtaken by what follows it; that of an empty chat may never come.
    pub(crate) fn misses_known_offset(&self) -> bool {
        (self.wanted.is_some() && !self.full_wanted) || self.adopting
    }

    /// The server has accepted the watch.
    pub(crate) fn bind(&mut self, log: u64, epoch: u32, from: u64) {
        if from == 0 {
            // Whatever was here is shown until the full batch replaces it.
            self.adopting = false;
            self.full_wanted = true;
        }
        self.log = log;
        self.epoch = epoch;
        self.offset = from;
        self.wanted = None;
        self.pages.clear();
    }

    /// The connection is gone, and with it what was on its way.
    pub(crate) fn unbind(&mut self) {
        self.forget_cell();
        self.pages.clear();
        self.wanted = None;
        self.full_wanted = false;
    }

    /// The number of the cells is still to be told, or told anew.
    pub(crate) fn forget_cell(&mut self) {
        if let Some(map) = &mut self.map {
            map.unbind();
        }
    }

    /// "The newest offset is `to`."
    pub(crate) fn head(&mut self, epoch: u32, to: u64) {
        if epoch > self.epoch || (epoch == self.epoch && to > self.offset) {
            self.want(epoch, to);
        }
    }

    /// What the viewer has, for a complaint or a keep-alive; `None` while it is not known of what.
    pub(crate) fn report(&self, chat: ChatHandle) -> Option<CursorReport> {
        Some(CursorReport {
            chat,
            cell: self.cell()?,
            epoch: self.epoch,
            offset: if self.adopting || self.full_wanted {
                0
            } else {
                self.offset
            },
        })
    }

    /// Applies a batch or a page of one, if the rule says so.
    ///
    /// # Errors
    /// Pages that contradict each other: the server's fault.
    pub(crate) fn apply(
        &mut self,
        batch: Batch,
        changes: &mut impl Extend<Change>,
    ) -> Result<(), WireError> {
        let Some(batch) = self.pages.take(batch)? else {
            return Ok(());
        };
        let is_full = batch.header.from == 0;
        let applies = match is_full {
            true => self.full_applies(&batch.header),
            false => self.change_applies(&batch.header),
        };
        match (applies, is_full) {
            (false, _) => {}
            (true, _) if self.tap.is_some() => self.apply_tapped(batch),
            (true, true) => self.apply_full(batch, changes),
            (true, false) => self.apply_change(batch, changes),
        }
        Ok(())
    }

    fn full_applies(&self, header: &BatchHeader) -> bool {
        header.epoch > self.epoch
            || (header.epoch == self.epoch
                && (header.to > self.offset
                    || self.offset == 0
                    || self.adopting
                    || self.full_wanted))
    }

    fn change_applies(&mut self, header: &BatchHeader) -> bool {
        if header.epoch < self.epoch {
            return false;
        }
        if header.epoch > self.epoch || header.from > self.offset || self.adopting {
            self.head(header.epoch, header.to);
            return false;
        }
        header.to > self.offset
    }

    fn apply_tapped(&mut self, batch: Batch) {
        self.full_wanted &= batch.header.from > 0;
        self.advance(&batch.header);
        if let Some(tap) = &mut self.tap {
            tap.take(batch);
        }
    }

    fn apply_full(&mut self, batch: Batch, changes: &mut impl Extend<Change>) {
        let before = self.cursor();
        let context = self.context(&batch.header);
        if std::mem::take(&mut self.adopting) && batch.header.epoch == self.epoch {
            self.rows = adopted(&batch.entries, context);
            if batch.header.to > self.offset {
                self.want(self.epoch, batch.header.to);
            }
            return;
        }
        let mut events = Events::new();
        if self.has_history && !self.is_map() {
            events.push((None, Event::Resync));
        }
        // An empty chat may be told about again and again.
        self.has_history |= batch.header.to > 0;
        let mut known: HashMap<SessionId, Row> = std::mem::take(&mut self.rows)
            .into_values()
            .map(|row| (row.subject().session, row))
            .collect();
        for entry in &batch.entries {
            if let Some(row) = replaced(entry, context, &mut known, &mut events) {
                self.rows.insert(entry.slot.0, row);
            }
        }
        let gone = known
            .into_values()
            .filter(|row| !row.state().state.is_ended());
        let gone_where = if self.is_map() {
            Event::Left
        } else {
            ended_unseen()
        };
        events.extend(gone.map(|row| (Some(row.subject().clone()), gone_where.clone())));
        self.full_wanted = false;
        self.advance(&batch.header);
        self.emit(before, events, changes);
    }

    fn apply_change(&mut self, batch: Batch, changes: &mut impl Extend<Change>) {
        let before = self.cursor();
        let context = self.context(&batch.header);
        let mut events = Events::new();
        for entry in &batch.entries {
            self.apply_entry(entry, context, &mut events);
        }
        self.has_history = true;
        self.advance(&batch.header);
        self.emit(before, events, changes);
    }

    fn apply_entry(&mut self, entry: &Entry, context: Context, events: &mut Events) {
        let slot = entry.slot.0;
        let held = self.rows.get(&slot).map(|row| row.subject().session);
        let described = entry
            .descriptor
            .as_ref()
            .filter(|new| held != Some(new.session));
        if let Some(descriptor) = described {
            let mut row = Row::new(descriptor, context);
            let ended = entry.state.is_some_and(|mark| mark.state.is_ended());
            if ended && self.ends.contains(descriptor.session) {
                // Told before, whole; kept, so that its next repetition is known too.
                row.adopt(entry);
                self.rows.insert(slot, row);
                return;
            }
            events.push((Some(row.subject().clone()), row.started()));
            if let Some(old) = self.rows.insert(slot, row)
                && !old.state().state.is_ended()
            {
                events.push((Some(old.subject().clone()), ended_unseen()));
            }
        }
        let Some(row) = self.rows.get_mut(&slot) else {
            // A shared batch may tell of an end or a departure that was before this viewer's time. Anything else is
            // the server's mistake, which everything anew mends.
            let is_gone = entry
                .state
                .is_some_and(|mark| mark.state.is_ended() || mark.state == SessionState::Moved);
            self.full_wanted |= !is_gone;
            return;
        };
        apply_to(row, entry, context, events);
        if row.state().state == SessionState::Moved {
            events.push((Some(row.subject().clone()), Event::Left));
            self.rows.remove(&slot);
        }
    }

    fn context(&self, header: &BatchHeader) -> Context {
        Context {
            delivery: header.delivery,
            full: header.from == 0,
            server_time_ms: header.server_time_ms,
            trail: self.trail,
        }
    }

    fn advance(&mut self, header: &BatchHeader) {
        (self.epoch, self.offset) = (header.epoch, header.to);
        let healed = |wanted: (u32, u64)| wanted <= (header.epoch, header.to);
        if self.wanted.is_some_and(healed) {
            self.wanted = None;
        }
    }

    fn want(&mut self, epoch: u32, to: u64) {
        self.wanted = self.wanted.max(Some((epoch, to)));
    }

    /// A cursor that has nothing.
    fn beginning(&self) -> Cursor {
        Cursor {
            offset: 0,
            ..self.cursor()
        }
    }

    /// All changes but the last carry the cursor from before the batch: who stops in between and
    /// starts again gets some of them twice and none too few.
    fn emit(&mut self, before: Cursor, events: Events, changes: &mut impl Extend<Change>) {
        for (subject, event) in &events {
            match (subject, event) {
                (Some(subject), Event::Ended { .. }) => self.ends.add(subject.session),
                (Some(subject), Event::Started { .. }) => self.ends.remove(subject.session),
                _ => {}
            }
        }
        let (before, after) = match self.begins_anew() {
            true => (self.beginning(), self.beginning()),
            false => (before, self.cursor()),
        };
        let chat = &self.chat;
        let last = events.len().saturating_sub(1);
        let numbered = events.into_iter().enumerate();
        changes.extend(numbered.map(|(index, (subject, event))| Change {
            chat: chat.clone(),
            subject,
            cursor: if index == last { after } else { before },
            event,
        }));
    }
}

fn ended_unseen() -> Event {
    Event::Ended {
        why: None,
        at_ms: None,
    }
}

fn adopted(entries: &[Entry], context: Context) -> BTreeMap<u32, Row> {
    let row = |entry: &Entry| {
        let mut row = Row::new(entry.descriptor.as_ref()?, context);
        row.adopt(entry);
        Some((entry.slot.0, row))
    };
    entries.iter().filter_map(row).collect()
}

/// The row of an entry of a full batch: the known one of that session, or a new one.
fn replaced(
    entry: &Entry,
    context: Context,
    known: &mut HashMap<SessionId, Row>,
    events: &mut Events,
) -> Option<Row> {
    let descriptor = entry.descriptor.as_ref()?;
    let known = known.remove(&descriptor.session);
    // A full batch has live rows only: an end that the viewer knows was lost in a power failure.
    let known = known.filter(|row| !row.state().state.is_ended());
    let mut row = known.unwrap_or_else(|| {
        let row = Row::new(descriptor, context);
        events.push((Some(row.subject().clone()), row.started()));
        row
    });
    apply_to(&mut row, entry, context, events);
    Some(row)
}

fn apply_to(row: &mut Row, entry: &Entry, context: Context, events: &mut Events) {
    let mut own = Vec::new();
    row.apply(entry, context, &mut own);
    let subject = row.subject();
    events.extend(own.into_iter().map(|event| (Some(subject.clone()), event)));
}
