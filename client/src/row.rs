//! One session as a viewer shows it, and how an entry of a batch changes it.

use std::sync::Arc;

use skein_wire::batch::{Descriptor, Entry, NewestPoint, StateMark};
use skein_wire::ids::Counter;
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

use crate::change::{Event, ShownPoint, Subject};
use crate::seen_counters::SeenCounters;

/// Which earlier points a viewer wants of a session that it sees for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailWish {
    /// At most so many; a shared batch may list more.
    pub points: usize,
    /// Captured within so many milliseconds before the batch; `None` = however old.
    pub age_ms: Option<u64>,
}

impl TrailWish {
    /// The first of the listed points, the newest included, that is wanted; the newest always is.
    fn first<'p>(&self, listed: &'p [ShownPoint], now_ms: u64) -> Option<&'p ShownPoint> {
        let newest = listed.len().checked_sub(1)?;
        let few = &listed[newest.saturating_sub(self.points)..newest];
        let since = |age: u64| i64::try_from(now_ms.saturating_sub(age)).unwrap_or(i64::MAX);
        let since = self.age_ms.map_or(i64::MIN, since);
        let young = few.iter().find(|point| point.captured_at_ms >= since);
        Some(young.unwrap_or(&listed[newest]))
    }
}

/// What is being applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// The batch was built for this delivery.
    pub delivery: Delivery,
    /// It holds the whole set.
    pub full: bool,
    /// Its server time, milliseconds since 1970.
    pub server_time_ms: u64,
    /// What the viewer wants of trails.
    pub trail: TrailWish,
}

/// A session in a viewer's table.
#[derive(Clone, Debug)]
pub struct Row {
    subject: Arc<Subject>,
    started_at_ms: u64,
    expires_at_ms: u64,
    sealed: bool,
    state: StateMark,
    point: Option<ShownPoint>,
    /// The counter that the applied batches last said. Low bytes are widened from it, not from the
    /// point shown, which a server that has lost its tail may not know any more.
    said: Counter,
    had: Had,
    seen: SeenCounters,
    /// Counters below this were there before the viewer was. Shared batches may list them.
    floor: u64,
}

/// How many of a session's points a viewer has accounted for.
#[derive(Clone, Copy, Debug)]
enum Had {
    /// The session is new here: what a full batch leaves out was before the viewer's time.
    New,
    /// So many.
    Points(u64),
    /// The viewer took up a cursor of another one and does not know.
    Unknown,
}

impl Row {
    /// A session that the viewer has not known before, without points.
    pub(crate) fn new(descriptor: &Descriptor, context: Context) -> Self {
        Self {
            subject: Arc::new(Subject {
                session: descriptor.session,
                user: descriptor.user.clone(),
            }),
            started_at_ms: descriptor.started_at_ms,
            expires_at_ms: descriptor.expires_at_ms,
            sealed: descriptor.sealed,
            state: StateMark {
                state: SessionState::Live,
                at_ms: descriptor.started_at_ms,
            },
            point: None,
            said: Counter(0),
            had: Had::New,
            seen: SeenCounters::new(context.delivery == Delivery::Every),
            floor: 0,
        }
    }

    /// Whose it is.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    /// Server time of its start, milliseconds since 1970.
    pub fn started_at_ms(&self) -> u64 {
        self.started_at_ms
    }

    /// Server time of its end, milliseconds since 1970.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Its state as the server judged it, and since when.
    pub fn state(&self) -> StateMark {
        self.state
    }

    /// The point with the greatest counter, if there was one.
    pub fn point(&self) -> Option<&ShownPoint> {
        self.point.as_ref()
    }

    /// Forgets the points: those that follow are told on another grid.
    pub(crate) fn forget_points(&mut self, delivery: Delivery) {
        self.point = None;
        self.said = Counter(0);
        self.had = Had::New;
        self.seen = SeenCounters::new(delivery == Delivery::Every);
        self.floor = 0;
    }

    pub(crate) fn started(&self) -> Event {
        Event::Started {
            started_at_ms: self.started_at_ms,
            expires_at_ms: self.expires_at_ms,
            sealed: self.sealed,
        }
    }

    /// Takes the row as it stands in a full batch without showing any of it: for a viewer that has
    /// a cursor and no table. What changed since the cursor is still to come.
    pub(crate) fn adopt(&mut self, entry: &Entry) {
        if let Some(descriptor) = &entry.descriptor {
            self.said = descriptor.counter;
        }
        self.had = Had::Unknown;
        if let Some(mark) = entry.state {
            self.state = mark;
        }
    }

    /// Applies an entry; what changed goes to `events`.
    pub(crate) fn apply(&mut self, entry: &Entry, context: Context, events: &mut Vec<Event>) {
        if let Some(descriptor) = &entry.descriptor {
            self.describe(descriptor, events);
        }
        if self.state.state.is_ended() {
            return;
        }
        let moved = self.apply_points(entry, context, events);
        match entry.state {
            Some(mark) => self.apply_state(mark, moved, events),
            None if moved || context.full => self.revive(moved, context, events),
            None => {}
        }
    }

    fn describe(&mut self, descriptor: &Descriptor, events: &mut Vec<Event>) {
        self.said = descriptor.counter;
        self.started_at_ms = descriptor.started_at_ms;
        if self.expires_at_ms != descriptor.expires_at_ms {
            self.expires_at_ms = descriptor.expires_at_ms;
            events.push(Event::Extended {
                expires_at_ms: descriptor.expires_at_ms,
            });
        }
    }

    /// Whether the marker moved.
    fn apply_points(&mut self, entry: &Entry, context: Context, events: &mut Vec<Event>) -> bool {
        let listed = self.listed(entry);
        let listed_count = listed.len() as u64;
        if context.full
            && matches!(self.had, Had::New)
            && let Some(first) = context.trail.first(&listed, context.server_time_ms)
        {
            self.floor = first.counter.0;
        }
        let floor = self.floor;
        let new: Vec<ShownPoint> = listed
            .into_iter()
            .filter(|point| point.counter.0 >= floor && self.seen.insert(point.counter.0))
            .collect();
        if context.delivery == Delivery::Every {
            let lost = self.account(entry.skipped, listed_count, new.len() as u64, context.full);
            if lost > 0 {
                events.push(Event::Skipped { count: lost });
            }
        }
        let mut moved = false;
        for point in new {
            let shown = self.point.as_ref().map(|shown| shown.counter);
            let historical = shown.is_some_and(|shown| point.counter < shown);
            if !historical {
                self.point = Some(point.clone());
                moved = true;
            }
            events.push(Event::Point { point, historical });
        }
        moved
    }

    /// The points of an entry with exact counters, oldest first.
    fn listed(&mut self, entry: &Entry) -> Vec<ShownPoint> {
        let Some(newest) = &entry.point else {
            return Vec::new();
        };
        let counter = newest.counter.widen(self.said);
        self.said = counter;
        let earlier = entry.earlier.iter().filter_map(|point| {
            Some(ShownPoint {
                counter: point.counter(counter)?,
                captured_at_ms: point.captured_at_ms,
                payload: point.payload.clone(),
            })
        });
        earlier.chain([shown(newest, counter)]).collect()
    }

    /// How many points are lost to this viewer for good; see [`Entry::skipped`].
    fn account(&mut self, skipped: u64, listed: u64, new: u64, full: bool) -> u64 {
        let total = skipped.saturating_add(listed);
        let (had, lost) = match self.had {
            Had::New if full => (total, 0),
            // Only that there was a loss is known, not how large it is.
            Had::Unknown if full || skipped > 0 => (total, u64::from(skipped > 0)),
            Had::Unknown => return 0,
            Had::New => accounted(0, total, new, skipped > 0),
            Had::Points(had) => accounted(had, total, new, full || skipped > 0),
        };
        self.had = Had::Points(had);
        lost
    }

    fn apply_state(&mut self, mark: StateMark, moved: bool, events: &mut Vec<Event>) {
        if mark == self.state {
            return;
        }
        let was_live = self.state.state == SessionState::Live;
        self.state = mark;
        let at_ms = mark.at_ms;
        match mark.state {
            SessionState::Live if moved || was_live => {}
            SessionState::Live | SessionState::Stationary => {
                events.push(Event::Heartbeat { at_ms });
            }
            SessionState::Stale => events.push(Event::Stale { at_ms }),
            // The row leaves this cell; the caller takes it out.
            SessionState::Moved => {}
            SessionState::Stopped | SessionState::Expired | SessionState::Revoked => {
                events.push(Event::Ended {
                    why: Some(mark.state),
                    at_ms: Some(at_ms),
                });
            }
        }
    }

    /// No state beside a point, or in a full batch, means live.
    fn revive(&mut self, moved: bool, context: Context, events: &mut Vec<Event>) {
        if self.state.state == SessionState::Live {
            return;
        }
        self.state = StateMark {
            state: SessionState::Live,
            at_ms: context.server_time_ms,
        };
        if !moved {
            let at_ms = context.server_time_ms;
            events.push(Event::Heartbeat { at_ms });
        }
    }
}

/// The new count and the loss, from the server's total where it stands in the entry.
fn accounted(had: u64, total: u64, new: u64, has_total: bool) -> (u64, u64) {
    match has_total {
        true => (total, total.saturating_sub(had + new)),
        false => (had + new, 0),
    }
}

fn shown(point: &NewestPoint, counter: Counter) -> ShownPoint {
    ShownPoint {
        counter,
        captured_at_ms: point.captured_at_ms,
        payload: point.payload.clone(),
    }
}
