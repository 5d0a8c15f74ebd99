//! The latest table of one chat: a row per session, ordered by the offset of its last change.
//!
//! It changes only by following the chat's records, on the owner and on every mirror alike, so
//! that equal offsets mean equal tables. A viewer is a number in it: "what changed since".
//!
//! - Rows sit at slots; the owner gives a session its slot and the log carries it, so that a slot
//!   means the same to every shard and after a restart.
//! - Ended rows stay as tombstones, bounded by age and number. The *horizon* is the oldest offset
//!   for which they are complete: who has everything up to there learns of every end.
//! - A slot is free again only when the horizon has passed its tombstone.

use std::collections::{BTreeSet, VecDeque};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::{ChatHandle, SessionId, Slot, UserName};
use skein_wire::point::Position;
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

use crate::anchor::Anchor;
use crate::change_order::ChangeOrder;
use crate::journal::{Entry, RowRecord, Started};
use crate::row::{Row, RowChange};
use crate::time::Timestamp;

/// Rows of one chat, tombstones included. A row costs about 300 bytes without its trail, so that
/// a full table is about a gigabyte; the memory ceiling acts long before.
pub const SLOTS_MAX: u32 = 4 * 1024 * 1024;

/// Entries kept for sessions whose checkpoint row has not come yet, per chat. A checkpoint is
/// written within seconds; at this number its rows are clearly missing.
const PENDING_ENTRIES_MAX: usize = 1024 * 1024;

/// Bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Points of a session's trail.
    pub trail_points: usize,
    /// Ended rows kept.
    pub tombstones_max: usize,
    /// How long an ended row is kept, milliseconds.
    pub tombstone_age_ms_max: u64,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self {
            trail_points: 32,
            tombstones_max: 1024,
            tombstone_age_ms_max: 60 * 60 * 1000,
        }
    }
}

/// What following a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing that a viewer could see.
    Nothing,
    /// A session began.
    Started(Slot),
    /// A row changed.
    Changed(Slot, RowChange),
    /// A session is over.
    Ended(Slot),
}

impl Applied {
    /// Whether a viewer has to see it.
    pub fn any(self) -> bool {
        self != Self::Nothing
    }
}

/// Where the tables of chats are found.
pub trait Tables {
    /// The table of a chat, if this shard has it.
    fn table(&self, chat: ChatHandle) -> Option<&Table>;
}

/// The latest table of one chat.
///
/// ```
/// use skein_engine::journal::{Entry, Started};
/// use skein_engine::table::{Table, TableLimits};
/// use skein_wire::ids::{SessionId, UserName};
/// use skein_wire::request::Delivery;
///
/// let mut table = Table::new(1, 1, TableLimits::default());
/// let started = Started {
///     slot: table.reserve_slot().unwrap(),
///     user: UserName::new("ana")?,
///     started_at_ms: 1_000,
///     expires_at_ms: 901_000,
///     sealed: false,
/// };
/// table.apply(7, 1_000, &Entry::Started { session: SessionId(5), started });
/// assert_eq!(table.head(Delivery::Latest), 7);
/// assert_eq!(table.changed_since(6).count(), 1);
/// assert_eq!(table.changed_since(7).count(), 0);
/// # Ok::<(), skein_wire::error::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    limits: TableLimits,
    epoch: u32,
    as_of: u64,
    horizon: u64,
    head_latest: u64,
    head_every: u64,
    rows: Vec<Option<Row>>,
    slots: HashMap<SessionId, u32, RandomState>,
    order: ChangeOrder,
    /// Slots below `rows.len()` that may be given to a session. Slots that are reserved for a
    /// session whose record has not been followed yet are neither here nor in use.
    free: BTreeSet<u32>,
    /// Slots of ended rows, oldest end first.
    tombstones: VecDeque<u32>,
    live: usize,
    anchor: Anchor,
    row_bytes: usize,
    /// While checkpoint rows come in: entries of sessions whose row has not come yet.
    pending: Option<Pending>,
}

#[derive(Clone, Debug, Default)]
struct Pending {
    entries: HashMap<SessionId, Vec<(u64, u64, Entry)>, RandomState>,
    count: usize,
}

impl Table {
    /// An empty table in the partition's `epoch`. `horizon` is the offset from which on every
    /// record of the chat will be followed: 1 for a log that is whole, else the offset before the
    /// first one that is still there.
    pub fn new(epoch: u32, horizon: u64, limits: TableLimits) -> Self {
        Self {
            limits,
            epoch,
            as_of: 0,
            horizon: horizon.max(1),
            head_latest: 0,
            head_every: 0,
            rows: Vec::new(),
            slots: HashMap::default(),
            order: ChangeOrder::default(),
            free: BTreeSet::new(),
            tombstones: VecDeque::new(),
            live: 0,
            anchor: Anchor::default(),
            row_bytes: 0,
            pending: None,
        }
    }

    /// Follows one record of the chat. Records at or before [`Self::as_of`] change nothing, so
    /// that a stretch may be read twice. Entries that are not about a session only move `as_of`;
    /// checkpoint rows count only between [`Self::begin_restore`] and [`Self::finish_restore`].
    pub fn apply(&mut self, offset: u64, time_ms: u64, entry: &Entry) -> Applied {
        match offset <= self.as_of {
            true => Applied::Nothing,
            false => self.apply_part(offset, time_ms, entry),
        }
    }

    /// Follows one of several changes that are told as of one offset, not before [`Self::as_of`].
    pub(crate) fn apply_part(&mut self, offset: u64, time_ms: u64, entry: &Entry) -> Applied {
        debug_assert!(offset >= self.as_of, "{offset} before {}", self.as_of);
        self.as_of = offset;
        match entry {
            Entry::Started { session, started } => self.start(offset, *session, started),
            Entry::CheckpointRow { session, row } => {
                self.restore_row(*session, RowRecord::clone(row));
                Applied::Nothing
            }
            Entry::CheckpointChat { horizon, .. } => {
                self.restore_horizon(*horizon);
                Applied::Nothing
            }
            _ => self.change(offset, time_ms, entry),
        }
    }

    /// Greatest offset of the chat's records that are in the table.
    pub fn as_of(&self) -> u64 {
        self.as_of
    }

    /// The partition's epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Enters the epoch of a new writer of the partition.
    pub fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// Oldest offset for which tombstones are complete; at least 1.
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Offset of the newest change that a viewer with this delivery has to see; 0 = none yet.
    pub fn head(&self, delivery: Delivery) -> u64 {
        match delivery {
            Delivery::Latest => self.head_latest,
            Delivery::Every => self.head_every,
        }
    }

    /// Where positions of batches are relative to.
    pub fn anchor(&self) -> Position {
        self.anchor.position()
    }

    /// Live sessions.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Ended rows.
    pub fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    /// The row of a session, live or ended.
    pub fn row(&self, session: SessionId) -> Option<&Row> {
        self.at(*self.slots.get(&session)?)
    }

    /// The row at a slot.
    pub fn row_at(&self, slot: Slot) -> Option<&Row> {
        self.at(slot.0)
    }

    /// All rows, live and ended, in order of their slots.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten()
    }

    /// The rows from slot `first` on, so that a checkpoint can be written in slices.
    pub fn rows_from(&self, first: Slot) -> impl Iterator<Item = &Row> {
        self.slots_from(first).iter().flatten()
    }

    /// The slots from `first` on, empty ones included.
    pub(crate) fn slots_from(&self, first: Slot) -> &[Option<Row>] {
        let first = self.rows.len().min(first.0 as usize);
        &self.rows[first..]
    }

    /// Both heads, of `latest` and of `every`.
    pub(crate) fn heads(&self) -> [u64; 2] {
        [self.head_latest, self.head_every]
    }

    /// Live rows in order of their slots.
    pub fn rows_live(&self) -> impl Iterator<Item = &Row> {
        self.rows().filter(|row| !row.is_ended())
    }

    /// Rows that changed since `from`, the newest change first. Costs what changed.
    pub fn changed_since(&self, from: u64) -> impl Iterator<Item = &Row> {
        self.order
            .newest_first()
            .map(|slot| self.at(slot).expect("a slot in the order has a row"))
            .take_while(move |row| row.changed(Delivery::Every) > from)
    }

    /// Sets a slot aside for a session that is about to start: the smallest free one. `None` when
    /// the table is full.
    pub fn reserve_slot(&mut self) -> Option<Slot> {
        if let Some(slot) = self.free.pop_first() {
            return Some(Slot(slot));
        }
        let slot = self.rows.len() as u32;
        if slot >= SLOTS_MAX {
            return None;
        }
        self.rows.push(None);
        Some(Slot(slot))
    }

    /// Gives a reserved slot back whose session will not start.
    pub fn release_slot(&mut self, slot: Slot) {
        if matches!(self.rows.get(slot.0 as usize), Some(None)) {
            self.free.insert(slot.0);
        }
    }

    /// Forgets ended rows that are too old; true if there were any.
    pub fn forget_old(&mut self, now: Timestamp) -> bool {
        let before = self.tombstones.len();
        while self.forget_due().is_some_and(|due| due <= now) {
            self.forget_oldest();
        }
        before != self.tombstones.len()
    }

    /// When the oldest ended row becomes too old.
    pub fn forget_due(&self) -> Option<Timestamp> {
        if self.pending.is_some() {
            return None;
        }
        let oldest = self.at(*self.tombstones.front()?)?;
        Some(Timestamp(oldest.state().at_ms).plus_ms(self.limits.tombstone_age_ms_max))
    }

    /// Gives all ended rows back; returns the bytes won. Viewers that have not seen the ends get a
    /// full batch.
    pub fn give_back_ended(&mut self) -> usize {
        let before = self.bytes();
        while !self.tombstones.is_empty() {
            self.forget_oldest();
        }
        before - self.bytes()
    }

    /// Gives all trails back; returns the bytes won. `every` viewers that were behind are told how
    /// much they lost.
    pub fn give_back_trails(&mut self) -> usize {
        let before = self.row_bytes;
        for row in self.rows.iter_mut().flatten() {
            self.row_bytes -= row.trail().bytes();
            row.clear_trail();
        }
        before - self.row_bytes
    }

    /// Bytes that the table holds.
    pub fn bytes(&self) -> usize {
        // A map entry, a place in the vector and the change order, per slot.
        let per_slot = size_of::<(SessionId, u32)>() + 1;
        self.row_bytes
            + self.rows.capacity().saturating_sub(self.slots.len()) * size_of::<Option<Row>>()
            + self.slots.capacity() * per_slot
            + self.order.bytes()
            + self.tombstones.capacity() * size_of::<u32>()
    }

    /// Checkpoint rows come next, mixed with live records.
    pub fn begin_restore(&mut self) {
        self.pending.get_or_insert_default();
    }

    /// All checkpoint rows are in: puts everything in order.
    pub fn finish_restore(&mut self) {
        self.pending = None;
        let changed = |row: &Row| (row.changed(Delivery::Every), row.slot().0);
        let mut order: Vec<(u64, u32)> = self.rows().map(changed).collect();
        order.sort_unstable();
        self.order.clear();
        for (_, slot) in &order {
            self.order.touch(*slot);
        }
        self.tombstones = order
            .iter()
            .map(|(_, slot)| *slot)
            .filter(|slot| self.at(*slot).is_some_and(Row::is_ended))
            .collect();
        self.free = (0..self.rows.len() as u32)
            .filter(|slot| self.at(*slot).is_none())
            .collect();
        self.recentre();
        self.bound_tombstones();
    }

    /// Takes a checkpoint row. A session that is known already is ahead of it.
    pub fn restore_row(&mut self, session: SessionId, record: RowRecord) {
        let slot = record.started.slot.0;
        if self.pending.is_none() || slot >= SLOTS_MAX || self.slots.contains_key(&session) {
            return;
        }
        let as_of = record.as_of;
        let row = Row::restore(session, record, self.limits.trail_points);
        if self.at(slot).is_some() {
            // The slot has a later session: this one's end is behind the horizon.
            self.horizon = self.horizon.max(row.changed(Delivery::Every));
            return;
        }
        self.put(row);
        self.apply_pending(session, as_of);
    }

    /// Tombstones before this offset are not in the checkpoint.
    pub fn restore_horizon(&mut self, horizon: u64) {
        if self.pending.is_some() {
            self.horizon = self.horizon.max(horizon);
        }
    }

    /// A table whose rows come in slices of another one. Records of the chat up to `as_of` are in
    /// all of them.
    pub(crate) fn gather(as_of: u64, limits: TableLimits) -> Self {
        let mut table = Self::new(0, 1, limits);
        table.begin_restore();
        table.as_of = as_of;
        table
    }

    /// Takes a row of a slice.
    pub(crate) fn gather_row(&mut self, row: Row) {
        let is_free = self.at(row.slot().0).is_none() && self.row(row.session()).is_none();
        debug_assert!(is_free, "a row comes once");
        if is_free {
            self.put(row);
        }
    }

    /// While rows come in: the ended one at a slot that has a new session is behind the horizon.
    pub(crate) fn vacate(&mut self, slot: Slot) {
        if self.row_at(slot).is_some_and(Row::is_ended) {
            self.evict(slot.0, 0);
        }
    }

    /// All rows are as of one offset: puts everything in order. The heads are as of it too.
    pub(crate) fn finish_gathering(&mut self, heads: [u64; 2]) {
        self.finish_restore();
        self.head_latest = self.head_latest.max(heads[0]);
        self.head_every = self.head_every.max(heads[1]);
        self.forget_behind_horizon();
    }

    /// Takes out the ended rows that the horizon has passed: nobody is told of them any more, and
    /// owner and mirrors must agree on which slots are free.
    pub(crate) fn forget_behind_horizon(&mut self) {
        while let Some(oldest) = self.tombstones.front().and_then(|slot| self.at(*slot))
            && oldest.changed(Delivery::Every) <= self.horizon
        {
            self.forget_oldest();
        }
    }

    /// Ends since this offset are known by now.
    pub(crate) fn lower_horizon(&mut self, offset: u64) {
        self.horizon = self.horizon.min(offset.max(1));
    }

    /// A session has had so many points, which may be more than were told one by one.
    pub(crate) fn note_points(&mut self, session: SessionId, offset: u64, points_total: u64) {
        let slot = self.slots.get(&session).copied();
        let row = slot.and_then(|slot| self.rows[slot as usize].as_mut());
        if let Some(row) = row {
            row.note_points(offset, points_total);
        }
    }

    /// A record is in the table already.
    pub(crate) fn pass_over(&mut self, offset: u64) {
        self.as_of = self.as_of.max(offset);
    }

    /// What followed the moment of the row's writing and came before the row itself.
    fn apply_pending(&mut self, session: SessionId, as_of: u64) {
        let Some(entries) = self.pending.as_mut().and_then(|pending| {
            let entries = pending.entries.remove(&session)?;
            pending.count -= entries.len();
            Some(entries)
        }) else {
            return;
        };
        for (offset, time_ms, entry) in entries {
            if offset > as_of {
                self.change(offset, time_ms, &entry);
            }
        }
    }

    fn start(&mut self, offset: u64, session: SessionId, started: &Started) -> Applied {
        let slot = started.slot.0;
        if slot >= SLOTS_MAX {
            return Applied::Nothing;
        }
        if self.slots.contains_key(&session) {
            // Started again by its owner, who found no trace of it: only the end can be new.
            self.release_slot(started.slot);
            let expires_at_ms = started.expires_at_ms;
            return self.change(
                offset,
                0,
                &Entry::Extended {
                    session,
                    expires_at_ms,
                },
            );
        }
        if self.at(slot).is_some() {
            // The owner's horizon is ahead of ours.
            self.evict(slot, offset - 1);
        }
        self.put(Row::new(offset, session, started));
        self.note_change(slot, offset, true);
        Applied::Started(Slot(slot))
    }

    fn change(&mut self, offset: u64, time_ms: u64, entry: &Entry) -> Applied {
        let Some(session) = entry.session() else {
            return Applied::Nothing;
        };
        let Some(&slot) = self.slots.get(&session) else {
            self.keep_pending(session, offset, time_ms, entry);
            return Applied::Nothing;
        };
        let change = self.change_row(slot, offset, time_ms, entry);
        if !change.any() {
            return Applied::Nothing;
        }
        self.note_change(slot, offset, change != HISTORICAL_ONLY);
        if matches!(entry, Entry::Ended { .. }) {
            self.bury(slot);
            return Applied::Ended(Slot(slot));
        }
        if change.point {
            self.note_position(slot);
        }
        Applied::Changed(Slot(slot), change)
    }

    fn change_row(&mut self, slot: u32, offset: u64, time_ms: u64, entry: &Entry) -> RowChange {
        let trail_points = self.limits.trail_points;
        let row = self.rows[slot as usize]
            .as_mut()
            .expect("a mapped slot has a row");
        let before = row.bytes();
        let change = match entry {
            Entry::Point { point, .. } => row.point(offset, time_ms, point, trail_points),
            Entry::HistoricalPoint { point, .. } => row.historical(offset, point, trail_points),
            Entry::Heartbeat { .. } => row.enter(offset, SessionState::Stationary, time_ms),
            Entry::State { state, at_ms, .. } | Entry::Ended { state, at_ms, .. } => {
                row.enter(offset, *state, *at_ms)
            }
            Entry::Extended { expires_at_ms, .. } => row.extend(offset, *expires_at_ms),
            _ => RowChange::default(),
        };
        self.row_bytes = self.row_bytes + row.bytes() - before;
        change
    }

    /// Keeps an entry until the checkpoint row of its session comes.
    fn keep_pending(&mut self, session: SessionId, offset: u64, time_ms: u64, entry: &Entry) {
        if let Some(pending) = &mut self.pending
            && pending.count < PENDING_ENTRIES_MAX
        {
            let entries = pending.entries.entry(session).or_default();
            entries.push((offset, time_ms, entry.clone()));
            pending.count += 1;
        }
    }

    /// Forgets ended rows, all or those of one member and what ended before them, so that no later
    /// checkpoint tells of them. No record says so: viewers that have not seen the ends get a full
    /// batch, and who follows elsewhere forgets in time.
    pub fn forget_ended_of(&mut self, user: Option<&UserName>) {
        let of_user = |slot: &u32| {
            let row = self.at(*slot);
            row.is_some_and(|row| user.is_none_or(|user| row.descriptor().user == *user))
        };
        let Some(last) = self.tombstones.iter().rposition(of_user) else {
            return;
        };
        for _ in 0..=last {
            self.forget_oldest();
        }
    }

    fn at(&self, slot: u32) -> Option<&Row> {
        self.rows.get(slot as usize)?.as_ref()
    }

    /// Puts a row at its slot, which must be empty.
    fn put(&mut self, row: Row) {
        let slot = row.slot().0;
        while self.rows.len() <= slot as usize {
            self.free.insert(self.rows.len() as u32);
            self.rows.push(None);
        }
        self.free.remove(&slot);
        self.slots.insert(row.session(), slot);
        self.row_bytes += row.bytes();
        self.live += usize::from(!row.is_ended());
        self.head_latest = self.head_latest.max(row.changed(Delivery::Latest));
        self.head_every = self.head_every.max(row.changed(Delivery::Every));
        self.rows[slot as usize] = Some(row);
    }

    fn note_change(&mut self, slot: u32, offset: u64, latest: bool) {
        self.order.touch(slot);
        self.head_every = self.head_every.max(offset);
        if latest {
            self.head_latest = self.head_latest.max(offset);
        }
    }

    fn note_position(&mut self, slot: u32) {
        if let Some(position) = self.at(slot).and_then(Row::position)
            && self.anchor.note(position, self.live)
        {
            self.recentre();
        }
    }

    fn recentre(&mut self) {
        let rows = self.rows.iter().flatten().filter(|row| !row.is_ended());
        self.anchor.recentre(rows.filter_map(Row::position));
    }

    fn bury(&mut self, slot: u32) {
        self.live -= 1;
        self.tombstones.push_back(slot);
        self.bound_tombstones();
    }

    /// While rows are being restored, tombstones are not in order yet.
    fn bound_tombstones(&mut self) {
        while self.pending.is_none() && self.tombstones.len() > self.limits.tombstones_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(slot) = self.tombstones.pop_front() {
            self.evict(slot, 0);
        }
    }

    /// Takes a row out; whoever has not seen its last change (or `horizon`) gets a full batch.
    fn evict(&mut self, slot: u32, horizon: u64) {
        let Some(row) = self.rows[slot as usize].take() else {
            return;
        };
        self.horizon = self.horizon.max(row.changed(Delivery::Every)).max(horizon);
        self.row_bytes -= row.bytes();
        self.slots.remove(&row.session());
        self.order.remove(slot);
        self.free.insert(slot);
        if row.is_ended() {
            self.tombstones.retain(|other| *other != slot);
        } else {
            self.live -= 1;
        }
    }
}

const HISTORICAL_ONLY: RowChange = RowChange {
    descriptor: false,
    point: false,
    state: false,
    historical: true,
};
