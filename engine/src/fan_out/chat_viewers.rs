//! The viewers of one chat on this shard: who is ready, who became able, how far the walk is.

use std::collections::BTreeMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::frame::encode_update;
use skein_wire::ids::{Cell, ChatHandle, SessionId};
use skein_wire::limits::TRAIL_POINTS_MAX;
use skein_wire::request::Delivery;
use skein_wire::update::{Head, Update};
use slab::Slab;

use crate::batch_builder::{BatchSpec, Scope};
use crate::fan_out::batch_cache::BatchCache;
use crate::fan_out::cohorts;
use crate::fan_out::heads::Heads;
use crate::fan_out::pacing::Pacer;
use crate::fan_out::scope_viewers::{HeadRound, ScopeViewers};
use crate::fan_out::slice::Slice;
use crate::fan_out::timers::Wake;
use crate::fan_out::viewer::{Place, Viewer};
use crate::fan_out::views::Views;
use crate::fan_out::walk::Walk;
use crate::ids::ViewerId;
use crate::map::{Crowds, MapArea, ServedView};
use crate::sink::{Offer, Sink};
use crate::table::Table;
use crate::time::Timestamp;

/// A chat is quiet when nothing went out for this long, milliseconds: longer than a round trip.
const QUIET_MS_MIN: u64 = 500;

/// And for this many intervals between walks.
const QUIET_WALKS: u64 = 3;

/// Areas of the map of one chat that are served on one shard: each costs batches of its own in every walk
/// that it takes part in, and about 6 KB. The more there are the wider are those that are new, so that there is one
/// for everybody: a town has many screens and few blocks.
pub(crate) const AREAS_PER_CHAT_MAX: usize = 64;

/// From how many areas on a new one is a block of so many levels up. The last step has room for four: a town
/// may lie where the edges of four blocks meet.
const BLOCKS_FROM: [(usize, u8); 5] = [(32, 1), (44, 2), (52, 3), (56, 4), (60, 6)];

/// How often it is looked whether views should be served other cells, milliseconds.
const REVIEW_MS: u64 = 1_000;

/// The walk that is going on.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Key of the scope being walked.
    scope: usize,
    /// The walk over its list; `None`: not begun.
    walk: Option<Walk>,
    /// Where the walk before this one ended: a scope that has not changed since is left out.
    /// 0 = this is the first one, which leaves out nobody.
    since: u64,
}

/// The viewers of one chat.
#[derive(Debug)]
pub(crate) struct ChatViewers {
    chat: ChatHandle,
    epoch: u32,
    scopes: Slab<ScopeViewers>,
    keys: HashMap<Scope, u32, RandomState>,
    /// Viewers in [`Place::Able`], by index.
    able: Vec<u32>,
    /// Where in `able` the next one is taken: goes round, so that a newcomer never overtakes all.
    able_next: usize,
    heads: Heads,
    /// Number of the series of batches in `cache`: another one whenever they are built anew.
    series: u64,
    pacer: Pacer,
    cache: BatchCache,
    round: Option<Round>,
    /// Walks so far: each begins at another viewer.
    rounds: usize,
    /// No head round begins before this.
    head_due: Timestamp,
    /// The scope with which the search for those whose heads are due goes on; `None`: there is no search.
    head_search: Option<usize>,
    /// Earliest wake-up asked for.
    armed: Timestamp,
    /// Whether it is in the queue of chats to be looked at.
    pub(crate) queued: bool,
    /// Wanted intervals and how many viewers want each.
    intervals: BTreeMap<u32, u32>,
    count: usize,
    /// Where the sessions are, for views.
    crowds: Crowds,
    /// Areas that are served.
    areas: usize,
    /// Viewers of them.
    views: usize,
    /// When views are reviewed again.
    review_due: Timestamp,
}

impl ChatViewers {
    pub(crate) fn new(chat: ChatHandle, epoch: u32) -> Self {
        Self {
            chat,
            epoch,
            scopes: Slab::new(),
            keys: HashMap::default(),
            able: Vec::new(),
            able_next: 0,
            heads: Heads::default(),
            series: 0,
            pacer: Pacer::default(),
            cache: BatchCache::default(),
            round: None,
            rounds: 0,
            head_due: Timestamp::NEVER,
            head_search: None,
            armed: Timestamp::NEVER,
            queued: false,
            intervals: BTreeMap::new(),
            count: 0,
            crowds: Crowds::default(),
            areas: 0,
            views: 0,
            review_due: Timestamp::default(),
        }
    }

    /// Viewers wherever they are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Those that see a session.
    pub(crate) fn count_of(&self, session: SessionId) -> u64 {
        let scopes = self.scopes.iter().map(|(_, scope)| scope);
        let shown = scopes.filter(|scope| scope.scope.shows(session));
        shown.map(|scope| u64::from(scope.count)).sum()
    }

    /// Whether a viewer of this chat sees a session.
    pub(crate) fn shows(&self, viewer: &Viewer, session: SessionId) -> bool {
        let scope = self.scope_of(viewer);
        scope.is_some_and(|scope| scope.shows(session))
    }

    /// What a viewer of this chat sees.
    pub(crate) fn scope_of(&self, viewer: &Viewer) -> Option<Scope> {
        let scope = self.scopes.get(viewer.scope as usize);
        scope.map(|scope| scope.scope)
    }

    /// Smallest wanted interval, milliseconds.
    pub(crate) fn interval_ms_min(&self) -> Option<u32> {
        self.intervals.keys().next().copied()
    }

    /// Key of a scope for one more viewer.
    pub(crate) fn join(&mut self, wish: Scope, interval_ms: u32) -> u32 {
        let scope = self.bounded(wish);
        let is_view = usize::from(scope.area.is_some());
        let key = *self.keys.entry(scope).or_insert_with(|| {
            self.areas += is_view;
            self.scopes.insert(ScopeViewers::new(scope)) as u32
        });
        self.scopes[key as usize].count += 1;
        self.views += is_view;
        *self.intervals.entry(interval_ms).or_default() += 1;
        self.count += 1;
        key
    }

    /// What is asked for, or where the chat has many areas something wider.
    fn bounded(&self, wish: Scope) -> Scope {
        let Some(area) = wish.area else {
            return wish;
        };
        let areas = self.areas;
        let step = BLOCKS_FROM.iter().rev().find(|(from, _)| *from <= areas);
        let Some(&(_, levels_up)) = step.filter(|_| !self.keys.contains_key(&wish)) else {
            return wish;
        };
        let block = |levels_up| Scope {
            area: Some(area.block(levels_up)),
            ..wish
        };
        let is_there = |scope: &Scope| self.keys.contains_key(scope);
        if let Some(there) = (1..=levels_up).map(block).find(is_there) {
            return there;
        }
        match areas < AREAS_PER_CHAT_MAX {
            true => block(levels_up),
            false => self.narrowest_around(&wish, &area),
        }
    }

    /// Of the areas that are there the one with the finest cells that has all of this one, or the earth.
    fn narrowest_around(&self, wish: &Scope, area: &MapArea) -> Scope {
        let earth = Scope {
            area: Some(area.earth()),
            ..*wish
        };
        let is_like_it = |scope: &&Scope| {
            let like_it = |there: MapArea| {
                there.budget() == area.budget()
                    && there.contains(area)
                    && **scope
                        == Scope {
                            area: Some(there),
                            ..*wish
                        }
            };
            scope.area.is_some_and(like_it)
        };
        let around = self.keys.keys().filter(is_like_it);
        // Of two blocks that overlap always the same one.
        let narrowest = around.max_by_key(|scope| scope.area.map(|area| area.rank()));
        narrowest.copied().unwrap_or(earth)
    }

    /// One viewer less. It is in no list any more.
    pub(crate) fn leave(&mut self, viewer: &Viewer) {
        self.count -= 1;
        if let Some(wanted) = self.intervals.get_mut(&viewer.interval_ms) {
            *wanted -= 1;
            if *wanted == 0 {
                self.intervals.remove(&viewer.interval_ms);
            }
        }
        let scope = &mut self.scopes[viewer.scope as usize];
        self.views -= usize::from(scope.scope.area.is_some());
        scope.count -= 1;
        if scope.count == 0 {
            self.keys.remove(&scope.scope);
            let gone = self.scopes.remove(viewer.scope as usize);
            // Another scope may get this key.
            self.cache.forget(viewer.scope);
            if gone.scope.area.is_some() {
                self.areas -= 1;
                self.forget_crowds();
            }
        }
    }

    /// Nobody looks at an area any more: the crowd that it was counted from may be nobody's.
    fn forget_crowds(&mut self) {
        let scopes = &self.scopes;
        let is_looked_at = |grid| {
            let mut scopes = scopes.iter().map(|(_, it)| it.scope);
            scopes.any(|scope| scope.area.is_some() && scope.grid == grid)
        };
        self.crowds.keep(is_looked_at);
    }

    /// Whether anybody sees a part of the map.
    pub(crate) fn has_views(&self) -> bool {
        self.views > 0
    }

    /// Viewers of parts of the map, and what is held for them.
    pub(crate) fn views(&self) -> Views {
        let views = self
            .scopes
            .iter()
            .filter_map(|(_, scope)| scope.view.as_ref());
        let of_areas: usize = views.map(|view| view.bytes()).sum();
        Views {
            watches: self.views as u64,
            areas: self.areas as u64,
            bytes: (of_areas + self.crowds.bytes()) as u64,
        }
    }

    /// Puts a viewer that is in no list where it belongs.
    pub(crate) fn put(&mut self, viewers: &mut Slab<Viewer>, index: u32, place: Place) {
        let viewer = &mut viewers[index as usize];
        viewer.place = place;
        let scope = &mut self.scopes[viewer.scope as usize];
        let list = match place {
            Place::Ready => &mut scope.ready,
            Place::Able => {
                let cursor = viewer.cursor_in(self.epoch);
                scope.returning.present(self.series, cursor);
                &mut self.able
            }
            _ => return,
        };
        viewer.position = list.len() as u32;
        list.push(index);
    }

    /// Takes a viewer out of the list that it is in.
    pub(crate) fn take(&mut self, viewers: &mut Slab<Viewer>, index: u32) {
        let viewer = &viewers[index as usize];
        match viewer.place {
            Place::Ready => {
                let (scope, position) = (viewer.scope as usize, viewer.position as usize);
                self.take_ready(viewers, scope, position);
            }
            Place::Able => {
                let position = viewer.position as usize;
                swap_remove(&mut self.able, viewers, position);
            }
            _ => {}
        }
    }

    fn take_ready(&mut self, viewers: &mut Slab<Viewer>, scope: usize, position: usize) {
        let list = &mut self.scopes[scope].ready;
        let walk = match &mut self.round {
            Some(round) if round.scope == scope => round.walk.as_mut(),
            _ => None,
        };
        let gap = walk.map_or(position, |walk| walk.make_gap(position, list.len()));
        if gap != position {
            list[position] = list[gap];
            viewers[list[position] as usize].position = position as u32;
        }
        swap_remove(list, viewers, gap);
    }

    /// A wake-up has come; false if it is not the one that was asked for last.
    pub(crate) fn woken(&mut self, due: Timestamp) -> bool {
        let current = self.armed == due;
        if current {
            self.armed = Timestamp::NEVER;
        }
        current
    }

    /// So much was spent on this chat in a pass, nanoseconds.
    pub(crate) fn spend(&mut self, cost_ns: u64) {
        self.pacer.spend(cost_ns);
    }

    /// Looks at a bounded number of viewers; true if there is more to do at once.
    pub(crate) fn work<S: Sink + ?Sized>(
        &mut self,
        table: &Table,
        slice: &mut Slice<'_, S>,
    ) -> bool {
        self.follow_epoch(table);
        if self.round.is_none() && self.is_changed(table) && self.pacer.due() <= slice.now {
            self.begin_round(table, slice);
        }
        self.serve_able(table, slice);
        self.walk(table, slice);
        self.tell_heads(table, slice);
        slice.left == 0 || self.head_search.is_some() || self.settle(table, slice)
    }

    /// Whether something changed since the last walk began. The first walk begins as soon as the
    /// chat has any record: its viewers learn that they have everything.
    fn is_changed(&self, table: &Table) -> bool {
        match self.heads.current() {
            0 => table.as_of() > 0,
            walked => table.head(Delivery::Every) > walked,
        }
    }

    /// A new writer of the partition: cursors of the old one hold no longer. Each viewer finds out when it has
    /// its turn, so that this costs the same whatever their number.
    fn follow_epoch(&mut self, table: &Table) {
        if self.epoch == table.epoch() {
            return;
        }
        self.epoch = table.epoch();
        self.heads = Heads::default();
        self.review_due = Timestamp::default();
        self.begin_series();
        self.round = None;
    }

    /// A viewer that was last served in another epoch has nothing of this one.
    fn enter_epoch(&self, viewer: &mut Viewer) {
        if viewer.epoch == self.epoch {
            return;
        }
        viewer.epoch = self.epoch;
        viewer.cursor = 0;
        viewer.pending_to = 0;
        // It may have missed points of the old writer that the trails still hold.
        let scope = self.scopes[viewer.scope as usize].scope;
        if scope.delivery == Delivery::Every && scope.grid.is_none() {
            viewer.trail = viewer.trail.max(cohorts::trail(TRAIL_POINTS_MAX as u8));
        }
    }

    fn begin_round<S: ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) {
        let since = self.heads.current();
        self.rounds = self.rounds.wrapping_add(1);
        self.heads.begin(table.as_of());
        self.begin_series();
        self.review_views(table, slice);
        for index in &self.able {
            let viewer = &slice.viewers[*index as usize];
            let scope = &mut self.scopes[viewer.scope as usize];
            let cursor = viewer.cursor_in(self.epoch);
            scope.returning.present(self.series, cursor);
        }
        self.pacer
            .begin(slice.now, &slice.pacing, self.count, table.live());
        self.round = Some(Round {
            scope: 0,
            walk: None,
            since,
        });
    }

    /// Serves views other cells where it has to be. Their viewers learn of it when they are served.
    fn review_views<S: ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) {
        if self.review_due > slice.now {
            return;
        }
        self.review_due = slice.now.plus_ms(REVIEW_MS);
        for (_, scope) in &mut self.scopes {
            if let Some(view) = &mut scope.view {
                let crowd = self.crowds.of(scope.scope.grid, table);
                view.review(crowd, slice.now, || next(slice.choice_last));
            }
        }
    }

    /// The number of what a viewer of this scope is shown of its part of the map; 0 for a whole chat.
    fn choice<S: ?Sized>(&mut self, key: usize, table: &Table, slice: &mut Slice<'_, S>) -> u32 {
        let scope = &mut self.scopes[key];
        let Some(area) = scope.scope.area else {
            return 0;
        };
        let view = scope.view.get_or_insert_with(|| {
            let grid = scope.scope.grid;
            let crowd = self.crowds.of(grid, table);
            let number = next(slice.choice_last);
            Box::new(ServedView::new(number, area, grid, crowd, slice.now))
        });
        view.number()
    }

    /// Batches are built anew from here on.
    fn begin_series(&mut self) {
        self.cache.clear();
        self.series += 1;
    }

    fn serve_able<S: Sink + ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) {
        while slice.left > 0 && !self.able.is_empty() {
            slice.count_viewer();
            let position = self.able_next % self.able.len();
            self.able_next = position + 1;
            let index = swap_remove(&mut self.able, slice.viewers, position);
            let place = self.serve(table, slice, index);
            self.put(slice.viewers, index, place);
        }
        if self.able.is_empty() {
            self.able_next = 0;
        }
    }

    fn walk<S: Sink + ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) {
        while slice.left > 0
            && let Some(mut round) = self.round
        {
            let Some(list) = self.list_to_walk(table, &round) else {
                slice.count_scope();
                self.round = next_scope(round, self.scopes.capacity());
                continue;
            };
            let len = list.len();
            let begin = || Walk::new(self.rounds.wrapping_mul(WALK_STRIDE) % (len + 1), len);
            let walk = round.walk.get_or_insert_with(begin);
            let step = walk.step(len);
            self.round = Some(round);
            match step {
                Some(position) => self.visit(table, slice, round.scope, position),
                None => self.round = next_scope(round, self.scopes.capacity()),
            }
        }
    }

    /// The ready viewers of the scope that is next; `None` if there is no such scope, or nothing for it.
    fn list_to_walk(&self, table: &Table, round: &Round) -> Option<&[u32]> {
        let scope = self.scopes.get(round.scope)?;
        let unchanged = round.since > 0 && scope.scope.head(table) <= round.since;
        let is_left_out = round.walk.is_none() && unchanged;
        (!is_left_out).then_some(&scope.ready)
    }

    fn visit<S: Sink + ?Sized>(
        &mut self,
        table: &Table,
        slice: &mut Slice<'_, S>,
        scope: usize,
        position: usize,
    ) {
        slice.count_viewer();
        let index = self.scopes[scope].ready[position];
        let place = self.serve(table, slice, index);
        if place != Place::Ready {
            self.take_ready(slice.viewers, scope, position);
            self.put(slice.viewers, index, place);
        }
    }

    /// Offers a viewer what it has to see; says where it belongs then.
    fn serve<S: Sink + ?Sized>(
        &mut self,
        table: &Table,
        slice: &mut Slice<'_, S>,
        index: u32,
    ) -> Place {
        let key = slice.viewers[index as usize].scope as usize;
        let choice = self.choice(key, table, slice);
        let viewer = &mut slice.viewers[index as usize];
        self.enter_epoch(viewer);
        if viewer.choice != choice {
            self.tell_choice(viewer, slice.sink);
        }
        let scope = self.scopes[key].scope;
        if !wants(viewer, scope, table, self.heads.current()) {
            self.keep_telling_heads(viewer.datagram, key, slice.now);
            return Place::Ready;
        }
        let id = id_of(viewer, index);
        if viewer.due_ms > slice.now.0 {
            slice.timers.add(Timestamp(viewer.due_ms), Wake::Viewer(id));
            return Place::Waiting;
        }
        let returning = &mut self.scopes[key].returning;
        let horizon = table.horizon();
        let from = self
            .heads
            .from(viewer.cursor, horizon, returning, self.series);
        let spec = BatchSpec {
            chat: self.chat,
            scope,
            from,
            trail: if from == 0 { viewer.trail } else { 0 },
            now: slice.now,
            view: None,
        };
        let view = self.scopes[key].view.as_deref_mut().map(|view| {
            if !self.cache.has(viewer.scope, &spec) {
                view.count(table, self.crowds.of(scope.grid, table));
            }
            &*view
        });
        let spec = BatchSpec { view, ..spec };
        let (batch, fresh) = self.cache.get(viewer.scope, &spec, table, slice.builder);
        let to = batch.to();
        if fresh.is_some() {
            slice.report.batches += 1;
            slice.report.batch_bytes += batch.frames_len() as u64;
            slice.report.view_batches += u64::from(scope.area.is_some());
        }
        let offer = slice.sink.offer(viewer.connection, id, batch);
        slice.report.count(offer, batch.frames_len());
        let place = self.settle_offer(slice.now, viewer, offer, to);
        slice.count_looks(fresh.unwrap_or(0));
        place
    }

    /// Tells a viewer that it sees other cells from now on, and has nothing of them.
    fn tell_choice<S: Sink + ?Sized>(&self, viewer: &mut Viewer, sink: &mut S) {
        if let Some(view) = &self.scopes[viewer.scope as usize].view {
            viewer.choice = view.number();
            viewer.cursor = 0;
            sink.tell(viewer.connection, &view.viewing(self.chat));
        }
    }

    fn settle_offer(
        &mut self,
        now: Timestamp,
        viewer: &mut Viewer,
        offer: Offer,
        to: u64,
    ) -> Place {
        match offer {
            Offer::Full => return Place::Full,
            Offer::Gone => return Place::Gone,
            Offer::Sent => viewer.cursor = to,
            Offer::Datagram => {
                viewer.cursor = to;
                viewer.datagram = true;
                let quiet = now.plus_ms(self.quiet_ms());
                self.scopes[viewer.scope as usize].heads.restart(quiet);
                self.head_due = self.head_due.min(quiet);
            }
            Offer::Streaming => viewer.pending_to = to,
        }
        viewer.trail = 0;
        viewer.due_ms = cohorts::next_due_ms(now.0, viewer.due_ms, viewer.interval_ms);
        match offer {
            Offer::Streaming => Place::Streaming,
            _ => Place::Ready,
        }
    }

    /// Nothing went out for this long: the chat is quiet.
    fn quiet_ms(&self) -> u64 {
        QUIET_MS_MIN.max(QUIET_WALKS * self.pacer.interval_ms())
    }

    /// A viewer that got a datagram comes back to the ready list: rounds may be over without it.
    fn keep_telling_heads(&mut self, datagram: bool, scope: usize, now: Timestamp) {
        let quiet = now.plus_ms(self.quiet_ms());
        let rounds = &mut self.scopes[scope].heads;
        if datagram && rounds.is_over() {
            rounds.restart(quiet);
            self.head_due = self.head_due.min(quiet);
        }
    }

    /// Looks for scopes whose heads are due, in as many turns as it takes.
    fn tell_heads<S: Sink + ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) {
        if self.head_search.is_none() && self.head_due <= slice.now {
            // From here on the earliest of those that were looked at, or got a datagram meanwhile.
            self.head_due = Timestamp::NEVER;
            self.head_search = Some(0);
        }
        while slice.left > 0
            && let Some(key) = self.head_search
        {
            slice.count_scope();
            if !self.tell_head_of(key, table, slice) {
                return;
            }
            self.head_search = (key + 1 < self.scopes.capacity()).then_some(key + 1);
        }
    }

    /// Tells the viewers of one scope the head, if it is due. Whether the scope is done with for now.
    fn tell_head_of<S: Sink + ?Sized>(
        &mut self,
        key: usize,
        table: &Table,
        slice: &mut Slice<'_, S>,
    ) -> bool {
        let quiet = slice.now.plus_ms(self.quiet_ms());
        let Some(scope) = self.scopes.get_mut(key) else {
            return true;
        };
        let to = scope.scope.head(table);
        if scope.heads.due <= slice.now && to > self.heads.current() {
            // The next walk comes first.
            scope.heads.restart(quiet);
        } else if scope.heads.due <= slice.now {
            let head = Head {
                chat: self.chat,
                cell: scope.view.as_ref().map_or(Cell(0), |view| view.cell()),
                epoch: self.epoch,
                to,
            };
            tell_head(scope, head, slice);
        }
        self.head_due = self.head_due.min(scope.heads.due);
        scope.heads.round.is_none()
    }

    /// Asks for the next wake-up; true if it is due already.
    fn settle<S: ?Sized>(&mut self, table: &Table, slice: &mut Slice<'_, S>) -> bool {
        let mut due = self.head_due;
        if self.is_changed(table) {
            due = due.min(self.pacer.due());
        } else if let Some(release) = self.cache.release(slice.now) {
            due = due.min(release);
        } else {
            self.begin_series();
            self.crowds.clear();
        }
        if due <= slice.now {
            return true;
        }
        if due < self.armed {
            self.armed = due;
            slice.timers.add(due, Wake::Chat(self.chat.0));
        }
        false
    }
}

/// Places by which the beginning of a walk moves on each time: a prime, so that it comes
/// everywhere.
const WALK_STRIDE: usize = 7_919;

/// The next number for a choice of cells; never 0.
fn next(last: &mut u32) -> u32 {
    *last = last.wrapping_add(1).max(1);
    *last
}

/// A viewer's id.
pub(crate) fn id_of(viewer: &Viewer, index: u32) -> ViewerId {
    ViewerId {
        index,
        generation: viewer.generation,
    }
}

/// Whether there is something for a viewer now. What changed after the last walk began comes with
/// the next one; only a viewer that has nothing at all does not wait for it.
fn wants(viewer: &Viewer, scope: Scope, table: &Table, walked: u64) -> bool {
    match viewer.cursor {
        0 => table.as_of() > 0,
        cursor => cursor < walked && cursor < scope.head(table),
    }
}

fn next_scope(round: Round, scopes: usize) -> Option<Round> {
    let scope = round.scope + 1;
    (scope < scopes).then_some(Round {
        scope,
        walk: None,
        ..round
    })
}

/// Takes the viewer at `position` out of a list; the last one takes its place.
fn swap_remove(list: &mut Vec<u32>, viewers: &mut Slab<Viewer>, position: usize) -> u32 {
    let index = list.swap_remove(position);
    if let Some(moved) = list.get(position) {
        viewers[*moved as usize].position = position as u32;
    }
    index
}

/// Goes on with a round of heads: downwards, so that a viewer that leaves makes a passed one move.
fn tell_head<S: Sink + ?Sized>(scope: &mut ScopeViewers, head: Head, slice: &mut Slice<'_, S>) {
    let last = scope.heads.is_last();
    let len = scope.ready.len();
    let round = scope.heads.round.get_or_insert_with(|| HeadRound {
        next: len,
        frame: frame_of(head),
    });
    round.next = round.next.min(len);
    while round.next > 0 && slice.left > 0 {
        round.next -= 1;
        slice.count_viewer();
        let viewer = &mut slice.viewers[scope.ready[round.next] as usize];
        if viewer.datagram {
            slice.sink.offer_head(viewer.connection, &round.frame);
            slice.report.heads += 1;
            viewer.datagram = !last;
        }
    }
    if round.next == 0 {
        scope.heads.finish_round(slice.now);
    }
}

fn frame_of(head: Head) -> Bytes {
    let mut frame = Vec::new();
    encode_update(&Update::Head(head), &mut frame);
    Bytes::from(frame)
}
