//! From a batch of the upstream to the changes of a table.
//!
//! A batch says what is so, a table follows what has happened: each entry is compared with the row
//! that is there. What is known already (a shared batch may begin before the relay's cursor) changes
//! nothing. The batch's counters are exact.

use skein_wire::batch::{Batch, Descriptor, Entry as BatchEntry, WireCounter};
use skein_wire::ids::{Counter, SessionId, Slot};
use skein_wire::point::Point;

use crate::feed::Step;
use crate::journal::{Entry, Started};
use crate::row::Row;
use crate::table::Table;

/// What a batch changes in a table. A full batch is compared with nothing: it is for an empty table.
pub(crate) fn steps_of(table: &Table, trail_points: usize, batch: &Batch) -> Vec<Step> {
    let is_full = batch.header.from == 0;
    let mut steps = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        let row = match is_full {
            true => None,
            false => table.row_at(entry.slot),
        };
        let held = Held {
            row,
            trail_points,
            is_full,
        };
        held.compare(entry, &mut steps);
    }
    steps
}

/// Whether a batch tells of the end of a session that cannot be placed: the table has nothing at its slot,
/// and the entry does not say who it was.
pub(crate) fn has_stray_end(table: &Table, batch: &Batch) -> bool {
    let is_stray = |entry: &BatchEntry| {
        let ends = entry.state.is_some_and(|mark| mark.state.is_ended());
        ends && entry.descriptor.is_none() && table.row_at(entry.slot).is_none()
    };
    batch.entries.iter().any(is_stray)
}

/// What a table has at the slot of an entry.
struct Held<'t> {
    row: Option<&'t Row>,
    trail_points: usize,
    is_full: bool,
}

impl Held<'_> {
    fn compare(mut self, entry: &BatchEntry, steps: &mut Vec<Step>) {
        let Some(session) = self.session(entry, steps) else {
            return;
        };
        if self.row.is_some_and(Row::is_ended) {
            return;
        }
        self.points(session, entry, steps);
        self.state(session, entry, steps);
    }

    /// The session of an entry. One that is not known here begins, if the entry says who it is.
    fn session(&mut self, entry: &BatchEntry, steps: &mut Vec<Step>) -> Option<SessionId> {
        let Some(descriptor) = &entry.descriptor else {
            // The end of a session that was over before the relay's time.
            return self.row.map(Row::session);
        };
        let session = descriptor.session;
        match self.row.filter(|row| row.session() == session) {
            None => {
                self.row = None;
                let started = started(entry.slot, descriptor);
                steps.push(Step::Entry(Entry::Started { session, started }));
            }
            Some(row) if row.descriptor().expires_at_ms != descriptor.expires_at_ms => {
                let expires_at_ms = descriptor.expires_at_ms;
                steps.push(Step::Entry(Entry::Extended {
                    session,
                    expires_at_ms,
                }));
            }
            Some(_) => {}
        }
        Some(session)
    }

    fn points(&self, session: SessionId, entry: &BatchEntry, steps: &mut Vec<Step>) {
        let Some(listed) = listed(entry) else {
            return;
        };
        let mut last = self.row.map_or(Counter(0), |row| row.descriptor().counter);
        let total = entry.skipped + listed.len() as u64;
        for point in listed {
            if point.counter > last {
                last = point.counter;
                steps.push(Step::Entry(Entry::Point { session, point }));
            } else if point.counter < last && self.is_late(point.counter) {
                steps.push(Step::Entry(Entry::HistoricalPoint { session, point }));
            }
        }
        if self.is_full || entry.skipped > 0 {
            steps.push(Step::Points { session, total });
        }
    }

    /// Whether a point behind the newest one is new here. One before a full trail may have been in it
    /// and is gone, here as there.
    fn is_late(&self, counter: Counter) -> bool {
        let Some(row) = self.row else {
            return true;
        };
        let trail = row.trail();
        let is_held = trail.iter().any(|held| held.point.counter == counter);
        let oldest = trail.iter().next().map(|oldest| oldest.point.counter);
        let is_before = trail.len() >= self.trail_points && oldest.is_none_or(|it| counter < it);
        !is_held && !is_before
    }

    fn state(&self, session: SessionId, entry: &BatchEntry, steps: &mut Vec<Step>) {
        let Some(mark) = entry.state else {
            return;
        };
        if self.row.is_some_and(|row| row.state() == mark) && entry.point.is_none() {
            return;
        }
        let (state, at_ms) = (mark.state, mark.at_ms);
        steps.push(Step::Entry(match state.is_ended() {
            true => Entry::Ended {
                session,
                state,
                at_ms,
            },
            false => Entry::State {
                session,
                state,
                at_ms,
            },
        }));
    }
}

fn started(slot: Slot, descriptor: &Descriptor) -> Started {
    Started {
        slot,
        user: descriptor.user.clone(),
        started_at_ms: descriptor.started_at_ms,
        expires_at_ms: descriptor.expires_at_ms,
        sealed: descriptor.sealed,
    }
}

/// The points of an entry, oldest first; `None` if it tells of none.
fn listed(entry: &BatchEntry) -> Option<Vec<Point>> {
    let newest = entry.point.as_ref()?;
    let WireCounter::Whole(counter) = newest.counter else {
        debug_assert!(false, "counters are widened before");
        return None;
    };
    let earlier = entry.earlier.iter().filter_map(|earlier| {
        Some(Point {
            counter: earlier.counter(counter)?,
            captured_at_ms: earlier.captured_at_ms,
            payload: earlier.payload.clone(),
        })
    });
    let mut points: Vec<Point> = earlier.collect();
    points.push(Point {
        counter,
        captured_at_ms: newest.captured_at_ms,
        payload: newest.payload.clone(),
    });
    Some(points)
}
