//! A viewer that applies the rule of the protocol and remembers what it saw, in order.

use std::collections::{BTreeMap, BTreeSet};

use skein_wire::batch::{Batch, Entry};
use skein_wire::ids::{Counter, SessionId, Slot};
use skein_wire::point::{Payload, Position};
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

/// One thing that a viewer saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    Point(SessionId, u64),
    State(SessionId, SessionState),
}

/// What a viewer holds of one chat.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    pub epoch: u32,
    pub cursor: u64,
    pub saw: Vec<Saw>,
    /// `from` and number of entries of every batch that counted.
    pub batches: Vec<(u64, usize)>,
    /// Every place of the batches that counted, anchors included.
    pub places: Vec<Position>,
    /// Some of them were built for `every`.
    pub saw_every: bool,
    sessions: BTreeMap<Slot, (SessionId, u64)>,
    /// Points that it has had: a shared batch may begin before its cursor.
    had: BTreeSet<(SessionId, u64)>,
    states: BTreeMap<SessionId, SessionState>,
}

fn places(entries: &[Entry]) -> impl Iterator<Item = Position> {
    let payloads = entries.iter().flat_map(|entry| {
        let newest = entry.point.iter().map(|point| &point.payload);
        newest.chain(entry.earlier.iter().map(|point| &point.payload))
    });
    payloads.filter_map(|payload| match payload {
        Payload::Fix(fix) => Some(fix.position),
        Payload::Sealed(_) => None,
    })
}

impl Viewer {
    /// The same viewer on a new connection: it keeps what it has and notes what it sees anew.
    pub fn come_back(&self) -> Self {
        Self {
            saw: Vec::new(),
            batches: Vec::new(),
            places: Vec::new(),
            saw_every: false,
            ..self.clone()
        }
    }

    /// Applies a batch if it is its turn.
    pub fn apply(&mut self, batch: &Batch) {
        let header = &batch.header;
        assert!(header.page.is_none(), "scenarios are small");
        let is_next = header.epoch == self.epoch && header.from <= self.cursor;
        let is_full = header.from == 0 && header.epoch > self.epoch;
        if !(is_full || is_next && self.cursor < header.to) {
            return;
        }
        self.epoch = header.epoch;
        self.cursor = header.to;
        self.batches.push((header.from, batch.entries.len()));
        self.saw_every |= header.delivery == Delivery::Every;
        if header.from == 0 {
            self.sessions.clear();
        }
        if !batch.entries.is_empty() {
            self.places.push(header.anchor);
            self.places.extend(places(&batch.entries));
        }
        for entry in &batch.entries {
            if let Some(descriptor) = &entry.descriptor {
                self.sessions
                    .insert(entry.slot, (descriptor.session, descriptor.counter.0));
            }
            let Some((session, counter)) = self.sessions.get_mut(&entry.slot) else {
                panic!("slot {} has no session", entry.slot);
            };
            if let Some(point) = &entry.point {
                let newest = point.counter.widen(Counter(*counter));
                for earlier in &entry.earlier {
                    let counter = earlier.counter(newest).expect("a counter").0;
                    if self.had.insert((*session, counter)) {
                        self.saw.push(Saw::Point(*session, counter));
                    }
                }
                *counter = newest.0;
                if self.had.insert((*session, newest.0)) {
                    self.saw.push(Saw::Point(*session, newest.0));
                }
            }
            if let Some(mark) = entry.state {
                self.saw.push(Saw::State(*session, mark.state));
                self.states.insert(*session, mark.state);
            }
        }
    }

    /// Counters of a session's points, in the order in which they were seen.
    pub fn counters(&self, session: SessionId) -> Vec<u64> {
        self.saw
            .iter()
            .filter_map(|saw| match saw {
                Saw::Point(of, counter) if *of == session => Some(*counter),
                _ => None,
            })
            .collect()
    }

    /// States of a session, in the order in which they were seen.
    pub fn states(&self, session: SessionId) -> Vec<SessionState> {
        self.saw
            .iter()
            .filter_map(|saw| match saw {
                Saw::State(of, state) if *of == session => Some(*state),
                _ => None,
            })
            .collect()
    }

    /// Sessions that it shows.
    pub fn shown(&self) -> Vec<SessionId> {
        self.sessions
            .values()
            .map(|(session, _)| *session)
            .filter(|session| !self.states.get(session).is_some_and(|it| it.is_ended()))
            .collect()
    }
}
