//! The latest state of one session in a chat's table.
//!
//! Each part keeps the offset of its last change, so that "what changed since" is decided per row
//! and per part by comparing numbers. An ended row stays as a tombstone until the horizon passes it.

use skein_wire::batch::{Descriptor, StateMark};
use skein_wire::ids::{Counter, SessionId, Slot};
use skein_wire::point::{Payload, Point, Position};
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

use crate::journal::{RowRecord, Started, TrailPoint};
use crate::trail::Trail;

/// Counters whose distance is below this are told apart by their low byte.
const COUNTER_LOW_SPAN: u64 = 256;

/// One session in a chat's table.
#[derive(Clone, Debug)]
pub struct Row {
    slot: Slot,
    /// Its counter is that of `newest`.
    descriptor: Descriptor,
    newest: Option<Point>,
    state: StateMark,
    descriptor_offset: u64,
    point_offset: u64,
    state_offset: u64,
    historical_offset: u64,
    points_total: u64,
    trail: Trail,
}

/// What a record did to a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowChange {
    /// Member or times are new.
    pub descriptor: bool,
    /// The newest point is new.
    pub point: bool,
    /// The state is new.
    pub state: bool,
    /// A point took its place in the trail only.
    pub historical: bool,
}

impl RowChange {
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self.descriptor || self.point || self.state || self.historical
    }
}

impl Row {
    /// A session that begins with the record at `offset`.
    pub fn new(offset: u64, session: SessionId, started: &Started) -> Self {
        Self {
            slot: started.slot,
            descriptor: Descriptor {
                session,
                user: started.user.clone(),
                started_at_ms: started.started_at_ms,
                expires_at_ms: started.expires_at_ms,
                counter: Counter(0),
                sealed: started.sealed,
            },
            newest: None,
            state: StateMark {
                state: SessionState::Live,
                at_ms: started.started_at_ms,
            },
            descriptor_offset: offset,
            point_offset: 0,
            state_offset: 0,
            historical_offset: 0,
            points_total: 0,
            trail: Trail::default(),
        }
    }

    /// A row as a checkpoint wrote it.
    pub fn restore(session: SessionId, record: RowRecord, trail_points: usize) -> Self {
        let counter = record.newest.as_ref().map_or(Counter(0), |p| p.counter);
        Self {
            slot: record.started.slot,
            descriptor: Descriptor {
                session,
                user: record.started.user,
                started_at_ms: record.started.started_at_ms,
                expires_at_ms: record.started.expires_at_ms,
                counter,
                sealed: record.started.sealed,
            },
            newest: record.newest,
            state: StateMark {
                state: record.state,
                at_ms: record.state_at_ms,
            },
            descriptor_offset: record.descriptor_offset,
            point_offset: record.point_offset,
            state_offset: record.state_offset,
            historical_offset: record.historical_offset,
            points_total: record.points_total,
            trail: Trail::restore(record.trail, record.lost_offset_max, trail_points),
        }
    }

    /// The row as a checkpoint writes it; it holds everything up to `as_of`. The owner adds its
    /// admission state.
    pub fn record(&self, as_of: u64, admission: Vec<u8>) -> RowRecord {
        RowRecord {
            as_of,
            started: Started {
                slot: self.slot,
                user: self.descriptor.user.clone(),
                started_at_ms: self.descriptor.started_at_ms,
                expires_at_ms: self.descriptor.expires_at_ms,
                sealed: self.descriptor.sealed,
            },
            descriptor_offset: self.descriptor_offset,
            point_offset: self.point_offset,
            state_offset: self.state_offset,
            historical_offset: self.historical_offset,
            state: self.state.state,
            state_at_ms: self.state.at_ms,
            points_total: self.points_total,
            lost_offset_max: self.trail.lost_offset_max(),
            newest: self.newest.clone(),
            trail: self.trail.iter().cloned().collect(),
            admission,
        }
    }

    /// Its place in the table.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Its session.
    pub fn session(&self) -> SessionId {
        self.descriptor.session
    }

    /// Who shares, until when, and the newest counter.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The newest point.
    pub fn newest(&self) -> Option<&Point> {
        self.newest.as_ref()
    }

    /// Where the newest point is, unless there is none or it is sealed.
    pub fn position(&self) -> Option<Position> {
        match &self.newest.as_ref()?.payload {
            Payload::Fix(fix) => Some(fix.position),
            Payload::Sealed(_) => None,
        }
    }

    /// Its state, and since when.
    pub fn state(&self) -> StateMark {
        self.state
    }

    /// Whether the session is over, and the row a tombstone.
    pub fn is_ended(&self) -> bool {
        self.state.state.is_ended()
    }

    /// The points before the newest one.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// How many points the session has had.
    pub fn points_total(&self) -> u64 {
        self.points_total
    }

    /// Offset of the last change of member or times.
    pub fn descriptor_offset(&self) -> u64 {
        self.descriptor_offset
    }

    /// Offset of the newest point; 0 = none yet.
    pub fn point_offset(&self) -> u64 {
        self.point_offset
    }

    /// Offset of the last change of state; 0 = live since its start.
    pub fn state_offset(&self) -> u64 {
        self.state_offset
    }

    /// Greatest offset of a historical point; 0 = none.
    pub fn historical_offset(&self) -> u64 {
        self.historical_offset
    }

    /// Offset of the last change that a viewer with this delivery has to see.
    pub fn changed(&self, delivery: Delivery) -> u64 {
        let latest = self
            .descriptor_offset
            .max(self.point_offset)
            .max(self.state_offset);
        match delivery {
            Delivery::Latest => latest,
            Delivery::Every => latest.max(self.historical_offset),
        }
    }

    /// Whether the low byte of the newest counter is enough for everyone who has everything up to
    /// `from`: what they know is at most 255 behind.
    pub fn counter_low_suffices(&self, from: u64) -> bool {
        let newest = self.descriptor.counter.0;
        let known = self.trail.counter_at(from).map_or(0, |counter| counter.0);
        self.point_offset <= from || newest - known.min(newest) < COUNTER_LOW_SPAN
    }

    /// A live point, appended at `time_ms`. Only a greater counter moves the row.
    pub fn point(
        &mut self,
        offset: u64,
        time_ms: u64,
        point: &Point,
        trail_points: usize,
    ) -> RowChange {
        if self.is_ended() || point.counter <= self.descriptor.counter {
            return RowChange::default();
        }
        let woken = self.state.state != SessionState::Live;
        if woken {
            self.state = StateMark {
                state: SessionState::Live,
                at_ms: time_ms,
            };
            self.state_offset = offset;
        }
        if let Some(before) = self.newest.replace(point.clone()) {
            let before = TrailPoint {
                offset: self.point_offset,
                point: before,
            };
            self.trail.insert(before, trail_points);
        }
        self.descriptor.counter = point.counter;
        self.point_offset = offset;
        self.points_total += 1;
        RowChange {
            point: true,
            state: woken,
            ..RowChange::default()
        }
    }

    /// A point from the sender's backlog: it takes its place in the trail and never moves the row.
    pub fn historical(&mut self, offset: u64, point: &Point, trail_points: usize) -> RowChange {
        if self.is_ended() || point.counter >= self.descriptor.counter {
            return RowChange::default();
        }
        let point = TrailPoint {
            offset,
            point: point.clone(),
        };
        let fresh = self.trail.insert(point, trail_points);
        if fresh {
            self.historical_offset = offset;
            self.points_total += 1;
        }
        RowChange {
            historical: fresh,
            ..RowChange::default()
        }
    }

    /// A new state. An ended session keeps its first end; a repeated state counts only where it
    /// confirms ("still not moving").
    pub fn enter(&mut self, offset: u64, state: SessionState, at_ms: u64) -> RowChange {
        let repeated = self.state.state == state && state != SessionState::Stationary;
        if self.is_ended() || repeated {
            return RowChange::default();
        }
        self.state = StateMark { state, at_ms };
        self.state_offset = offset;
        RowChange {
            state: true,
            ..RowChange::default()
        }
    }

    /// A new end.
    pub fn extend(&mut self, offset: u64, expires_at_ms: u64) -> RowChange {
        if self.is_ended() {
            return RowChange::default();
        }
        self.descriptor.expires_at_ms = expires_at_ms;
        self.descriptor_offset = offset;
        RowChange {
            descriptor: true,
            ..RowChange::default()
        }
    }

    /// There were so many points up to `offset`. Those that are not here count as lost there.
    pub(crate) fn note_points(&mut self, offset: u64, points_total: u64) {
        if points_total > self.points_total {
            self.trail.note_lost(offset);
        }
        let held = self.trail.len() as u64 + u64::from(self.newest.is_some());
        self.points_total = points_total.max(held);
    }

    /// Gives the trail's memory back.
    pub fn clear_trail(&mut self) {
        self.trail.clear();
    }

    /// Bytes of the row and what hangs on it.
    pub fn bytes(&self) -> usize {
        let blob = match self.newest.as_ref().map(|point| &point.payload) {
            Some(Payload::Sealed(blob)) => blob.len(),
            _ => 0,
        };
        size_of::<Self>() + self.descriptor.user.as_str().len() + blob + self.trail.bytes()
    }
}
