//! The viewers of a shard: inputs, and the pass that serves them.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use skein_wire::ids::{ChatHandle, SessionId};
use skein_wire::request::CursorReport;
use slab::Slab;

use crate::batch_builder::{BatchBuilder, Scope};
use crate::fan_out::chat_viewers::{ChatViewers, id_of};
use crate::fan_out::cohorts;
use crate::fan_out::pacing::{Pacing, VIEWERS_PER_SLICE};
use crate::fan_out::report::FanOutReport;
use crate::fan_out::slice::Slice;
use crate::fan_out::timers::{Timers, Wake};
use crate::fan_out::viewer::{Place, Viewer};
use crate::fan_out::views::Views;
use crate::grid::Grid;
use crate::ids::{ConnectionId, ViewerId};
use crate::sink::Sink;
use crate::table::{Table, Tables};
use crate::time::Timestamp;

/// Viewers looked at in one pass: about four milliseconds of sends, then the shard takes inputs.
const VIEWERS_PER_PASS: usize = 1_024;

/// Longest time between two batches that counts, milliseconds: a watch that asks for more leaves a timer behind
/// for as long, also when it is over.
const INTERVAL_MS_MAX: u32 = 600_000;

/// Timers that a pass looks at. Thousands of viewers that want news at the same moments are spread over as many passes.
const WAKES_PER_PASS: usize = 2_048;

/// Shortest time between two batches of a view, milliseconds: what is counted in front of them is news
/// nearly every time.
const VIEW_INTERVAL_MS_MIN: u32 = 1_000;

/// A watch to be registered.
#[derive(Clone, Copy, Debug)]
pub struct WatchSpec {
    /// Where batches go.
    pub connection: ConnectionId,
    /// What is watched.
    pub chat: ChatHandle,
    /// Which rows of it, and how.
    pub scope: Scope,
    /// Where the viewer goes on, see [`crate::cursor::resume_offset`]; 0 = a full batch first.
    pub from: u64,
    /// Points of each trail wanted with the first full batch; rounded up, so that batches are shared.
    pub trail: u8,
    /// Shortest time between two batches, milliseconds; 0 = as they come. A little longer, so that
    /// viewers with the same interval share batches.
    pub interval_ms: u32,
}

/// The viewers of a shard.
#[derive(Debug)]
pub struct FanOut {
    viewers: Slab<Viewer>,
    generation: u32,
    chats: HashMap<ChatHandle, ChatViewers, RandomState>,
    /// Chats with viewers of parts of the map.
    mapped: HashSet<ChatHandle, RandomState>,
    /// Chats to be looked at, each once.
    queue: VecDeque<ChatHandle>,
    timers: Timers,
    /// Chats that had a turn in the last pass, and for how many viewers: who pays for it.
    served: Vec<(ChatHandle, u64)>,
    builder: BatchBuilder,
    pacing: Pacing,
    /// The number given last to a choice of cells of a view.
    choice_last: u32,
    now: Timestamp,
}

impl FanOut {
    /// No viewers yet. `seed` is where snapshot numbers begin: another one at every start, so
    /// that pages of two batches are never taken for one.
    pub fn new(pacing: Pacing, seed: u32) -> Self {
        Self {
            viewers: Slab::new(),
            generation: 0,
            chats: HashMap::default(),
            mapped: HashSet::default(),
            queue: VecDeque::new(),
            timers: Timers::default(),
            served: Vec::new(),
            builder: BatchBuilder::new(seed),
            pacing,
            choice_last: 0,
            now: Timestamp::default(),
        }
    }

    /// A new viewer of `table`, served from the next pass on.
    pub fn register(&mut self, spec: &WatchSpec, table: &Table) -> ViewerId {
        let least = match spec.scope.area {
            Some(_) => VIEW_INTERVAL_MS_MIN,
            None => 0,
        };
        let interval_ms = spec.interval_ms.clamp(least, INTERVAL_MS_MAX);
        let chat = self
            .chats
            .entry(spec.chat)
            .or_insert_with(|| ChatViewers::new(spec.chat, table.epoch()));
        let scope = chat.join(spec.scope, interval_ms);
        if spec.scope.area.is_some() {
            self.mapped.insert(spec.chat);
        }
        self.generation = self.generation.wrapping_add(1);
        let index = self.viewers.insert(Viewer {
            connection: spec.connection,
            cursor: spec.from,
            pending_to: 0,
            due_ms: 0,
            chat: spec.chat.0,
            scope,
            position: 0,
            interval_ms,
            generation: self.generation,
            epoch: table.epoch(),
            choice: 0,
            place: Place::Waiting,
            trail: cohorts::trail(spec.trail),
            datagram: false,
        }) as u32;
        let id = id_of(&self.viewers[index as usize], index);
        self.make_able(id);
        id
    }

    /// The viewer is no more.
    pub fn remove(&mut self, id: ViewerId) {
        let Some(viewer) = self.viewer(id).cloned() else {
            return;
        };
        let handle = ChatHandle(viewer.chat);
        if let Some(chat) = self.chats.get_mut(&handle) {
            chat.take(&mut self.viewers, id.index);
            chat.leave(&viewer);
            if !chat.has_views() {
                self.mapped.remove(&handle);
            }
            if chat.count() == 0 {
                self.chats.remove(&handle);
            }
        }
        self.viewers.remove(id.index as usize);
    }

    /// The one session that a viewer sees; `None` = it sees all, or is not there.
    pub fn session_of(&self, id: ViewerId) -> Option<SessionId> {
        let viewer = self.viewer(id)?;
        let chat = self.chats.get(&ChatHandle(viewer.chat))?;
        chat.scope_of(viewer)?.session
    }

    /// The grid on which a viewer sees places; `None` = it sees them as they are, or is not there.
    pub fn grid_of(&self, id: ViewerId) -> Option<Grid> {
        let viewer = self.viewer(id)?;
        let chat = self.chats.get(&ChatHandle(viewer.chat))?;
        chat.scope_of(viewer)?.grid
    }

    /// Viewers of a chat that see a session.
    pub fn count_of(&self, chat: ChatHandle, session: SessionId) -> u64 {
        let viewers = self.chats.get(&chat);
        viewers.map_or(0, |viewers| viewers.count_of(session))
    }

    /// Their connections, in no particular order.
    pub fn connections_of(
        &self,
        chat: ChatHandle,
        session: SessionId,
    ) -> impl Iterator<Item = ConnectionId> {
        let viewers = self.chats.get(&chat);
        // A shard has viewers of many chats: nobody is looked for any longer than there is somebody left.
        let count = self.count_of(chat, session) as usize;
        let all = self.viewers.iter().map(|(_, viewer)| viewer);
        let some = all.filter(move |viewer| {
            let is_there = viewer.chat == chat.0;
            is_there && viewers.is_some_and(|viewers| viewers.shows(viewer, session))
        });
        some.map(|viewer| viewer.connection).take(count)
    }

    /// Whether a viewer sees a session.
    pub fn shows(&self, id: ViewerId, session: SessionId) -> bool {
        let viewer = self.viewer(id);
        viewer.is_some_and(|viewer| {
            let viewers = self.chats.get(&ChatHandle(viewer.chat));
            viewers.is_some_and(|viewers| viewers.shows(viewer, session))
        })
    }

    /// Whether a viewer has not taken what was offered last.
    pub fn is_full(&self, id: ViewerId) -> bool {
        self.viewer(id).is_none_or(|it| it.place == Place::Full)
    }

    /// The viewer's connection can take more.
    pub fn writable(&mut self, id: ViewerId) {
        if self.viewer(id).is_some_and(|v| v.place == Place::Full) {
            self.make_able(id);
        }
    }

    /// The viewer's stream has arrived whole.
    pub fn stream_done(&mut self, id: ViewerId) {
        if let Some(viewer) = self.viewer_mut(id)
            && viewer.place == Place::Streaming
        {
            viewer.cursor = viewer.pending_to;
            self.make_able(id);
        }
    }

    /// The viewer says that it has everything up to `offset` in `epoch`, and nothing after it.
    /// The cursor goes back to there; to 0 where that makes no sense. While a stream is open,
    /// the complaint is about what is on its way and counts for nothing.
    /// What is said of another choice of cells than the viewer was told of last counts for nothing, either.
    pub fn complain(&mut self, id: ViewerId, report: &CursorReport, table: &Table) {
        let Some(viewer) = self.viewer_mut(id) else {
            return;
        };
        if report.cell.0 != u64::from(viewer.choice) {
            return;
        }
        let (epoch, offset) = (report.epoch, report.offset);
        let valid = epoch == table.epoch() && offset <= table.as_of();
        let offset = if valid { offset } else { 0 };
        if viewer.place == Place::Streaming || offset >= viewer.cursor {
            return;
        }
        viewer.cursor = offset;
        if viewer.place == Place::Ready {
            self.make_able(id);
        }
    }

    /// Something in the chat's table changed, or the table is there now.
    pub fn mark_changed(&mut self, chat: ChatHandle) {
        if let Some(viewers) = self.chats.get_mut(&chat)
            && !viewers.queued
        {
            viewers.queued = true;
            self.queue.push_back(chat);
        }
    }

    /// Serves a bounded number of viewers, chat by chat in turn.
    pub fn pass<S: Sink + ?Sized>(
        &mut self,
        now: Timestamp,
        tables: &(impl Tables + ?Sized),
        sink: &mut S,
    ) -> FanOutReport {
        self.now = now;
        self.wake_due(now);
        let mut report = FanOutReport::default();
        let mut left = VIEWERS_PER_PASS;
        self.served.clear();
        while left > 0
            && let Some(handle) = self.queue.pop_front()
        {
            let Some(chat) = self.chats.get_mut(&handle) else {
                continue;
            };
            chat.queued = false;
            let Some(table) = tables.table(handle) else {
                continue;
            };
            let allowed = left.min(VIEWERS_PER_SLICE);
            let mut slice = Slice {
                now,
                viewers: &mut self.viewers,
                builder: &mut self.builder,
                timers: &mut self.timers,
                report: &mut report,
                sink: &mut *sink,
                pacing: self.pacing,
                choice_last: &mut self.choice_last,
                left: allowed,
                scopes: 0,
            };
            let more = chat.work(table, &mut slice);
            // A chat with nothing to do costs as much as a viewer.
            let taken = (allowed - slice.left).max(1);
            left -= taken;
            self.served.push((handle, taken as u64));
            if more {
                chat.queued = true;
                self.queue.push_back(handle);
            }
        }
        report.more = !self.queue.is_empty();
        report
    }

    /// What the last pass and the sends that came of it have cost, nanoseconds of whatever clock the caller has. The
    /// chats that had a turn in it share the cost as they shared the pass, and are walked as often as they can afford.
    pub fn note_cost(&mut self, cost_ns: u64) {
        let all: u64 = self.served.iter().map(|(_, taken)| taken).sum();
        for (handle, taken) in self.served.drain(..) {
            if let Some(chat) = self.chats.get_mut(&handle) {
                chat.spend((cost_ns / all).saturating_mul(taken));
            }
        }
    }

    /// When the next pass has something to do; a moment in the past means at once.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.queue.is_empty() {
            self.timers.next()
        } else {
            Some(self.now)
        }
    }

    /// Viewers of a chat.
    pub fn viewers_of(&self, chat: ChatHandle) -> usize {
        self.chats.get(&chat).map_or(0, ChatViewers::count)
    }

    /// Smallest interval that a viewer of the chat wants, milliseconds; `None` without viewers.
    pub fn interval_ms_min(&self, chat: ChatHandle) -> Option<u32> {
        self.chats.get(&chat)?.interval_ms_min()
    }

    /// Viewers of parts of the map, of all chats, and what is held for them.
    pub fn views(&self) -> Views {
        let mut all = Views::default();
        let chats = self.mapped.iter().filter_map(|chat| self.chats.get(chat));
        chats.for_each(|chat| all += chat.views());
        all
    }

    /// All viewers.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Whether there is no viewer.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// The offset up to which the viewer's transport has taken everything.
    pub fn cursor_of(&self, id: ViewerId) -> Option<u64> {
        self.viewer(id).map(|viewer| viewer.cursor)
    }

    fn viewer(&self, id: ViewerId) -> Option<&Viewer> {
        let viewer = self.viewers.get(id.index as usize)?;
        (viewer.generation == id.generation).then_some(viewer)
    }

    fn viewer_mut(&mut self, id: ViewerId) -> Option<&mut Viewer> {
        let viewer = self.viewers.get_mut(id.index as usize)?;
        (viewer.generation == id.generation).then_some(viewer)
    }

    /// The next pass looks at this viewer by itself.
    fn make_able(&mut self, id: ViewerId) {
        let handle = ChatHandle(self.viewers[id.index as usize].chat);
        if let Some(chat) = self.chats.get_mut(&handle) {
            chat.take(&mut self.viewers, id.index);
            chat.put(&mut self.viewers, id.index, Place::Able);
        }
        self.mark_changed(handle);
    }

    /// Looks at a bounded number of those that are due; the rest makes the next pass begin at once.
    fn wake_due(&mut self, now: Timestamp) {
        for _ in 0..WAKES_PER_PASS {
            let Some((due, wake)) = self.timers.pop(now) else {
                return;
            };
            match wake {
                Wake::Chat(handle) => {
                    let handle = ChatHandle(handle);
                    if let Some(chat) = self.chats.get_mut(&handle)
                        && chat.woken(due)
                    {
                        self.mark_changed(handle);
                    }
                }
                Wake::Viewer(id) => {
                    if self.viewer(id).is_some_and(|v| v.place == Place::Waiting) {
                        self.make_able(id);
                    }
                }
            }
        }
    }
}
