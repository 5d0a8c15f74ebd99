//! What clients were promised and have seen, held against what the server does later.
//!
//! One statement per check; a violation is a text that says which and how.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skein_client::change::{Change, Event};
use skein_client::sender_state::{PointVerdict, SenderEvent};
use skein_engine::geofence::ledger::CrossingRecord;
use skein_engine::journal::Entry;
use skein_log::{OFFSET_FIRST, ReadError};
use skein_server::raw_record::raw;
use skein_wire::ids::SessionId;
use skein_wire::update::{CrossingKind, SessionState};

use crate::sim::clients::SenderNews;
use crate::sim::server::{PARTITIONS, SimServer};

/// A broken promise.
pub type Violation = String;

/// Everything that must still hold later.
#[derive(Debug, Default)]
pub struct Witness {
    /// Sessions whose start was acknowledged, with the end that was promised.
    started: BTreeMap<SessionId, u64>,
    /// Sessions that somebody has asked to end: they may be over before anybody is told.
    may_have_ended: BTreeSet<SessionId>,
    /// Sessions whose end was acknowledged as durable.
    ended: BTreeSet<SessionId>,
    /// Points that were acknowledged as durable.
    durable: BTreeSet<(SessionId, u64)>,
    /// Accepted points that wait for their durable mark, by session.
    accepted: HashMap<SessionId, BTreeSet<u64>>,
    /// Per viewer: what it has seen of each session.
    seen: HashMap<usize, BTreeMap<SessionId, Seen>>,
    /// Crossings that were promised, by geofence and sessions: the last one, and how many.
    crossed: BTreeMap<(u64, u64, u64), (CrossingKind, u64)>,
    /// What may be told of them: geofence, session, what, when.
    tellable: BTreeSet<(String, SessionId, u8, u64)>,
    /// What viewers were told.
    told: BTreeSet<(usize, String, SessionId, u8, u64, Option<SessionId>)>,
    /// How much was checked, so that a run that checks nothing shows.
    pub checked: Checked,
}

/// What a viewer has seen of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    counter: u64,
    ended: bool,
    ended_epoch: u32,
}

/// How often each check had something to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Durable points looked for after a restart.
    pub durable_points: u64,
    /// Acknowledged starts looked for after a restart.
    pub starts: u64,
    /// Acknowledged ends looked for after a restart.
    pub ends: u64,
    /// Points seen by viewers.
    pub points_seen: u64,
    /// Rows of viewers compared with the server's at the end.
    pub rows_compared: u64,
    /// Rows of a relay's viewers compared with the server's at the end.
    pub near_rows_compared: u64,
    /// Those among the rows that are of viewers who look at a part of the map.
    pub map_rows_compared: u64,
    /// Sessions that such viewers were told to be elsewhere, at the end.
    pub counted_elsewhere: u64,
    /// Mirrors compared with their owners at the end.
    pub mirrors_compared: u64,
    /// Restarts after a power failure.
    pub power_cuts: u64,
    /// Whole checkpoints in the log.
    pub checkpoints: u64,
    /// Crossings of geofences that were promised.
    pub crossings: u64,
    /// Crossings that viewers were told of.
    pub crossings_seen: u64,
}

impl Checked {
    /// Adds another run's counts.
    pub fn add(&mut self, other: Checked) {
        self.durable_points += other.durable_points;
        self.starts += other.starts;
        self.ends += other.ends;
        self.points_seen += other.points_seen;
        self.rows_compared += other.rows_compared;
        self.near_rows_compared += other.near_rows_compared;
        self.map_rows_compared += other.map_rows_compared;
        self.counted_elsewhere += other.counted_elsewhere;
        self.mirrors_compared += other.mirrors_compared;
        self.power_cuts += other.power_cuts;
        self.checkpoints += other.checkpoints;
        self.crossings += other.crossings;
        self.crossings_seen += other.crossings_seen;
    }
}

impl Witness {
    /// A sender learned something about its session. `durable_wanted` are the live points that
    /// asked for durability: the durable counter speaks of them.
    pub fn sender_news(
        &mut self,
        session: Option<SessionId>,
        news: &SenderNews,
        durable_wanted: &BTreeSet<u64>,
    ) {
        let event = match news {
            SenderNews::Event(event) => event,
            SenderNews::ConnectionLost => {
                // The durable counter speaks of what was accepted on its own connection.
                self.accepted.remove(&session.unwrap_or_default());
                return;
            }
        };
        let session = match event {
            SenderEvent::Started {
                session,
                expires_at_ms,
                ..
            } => {
                self.started.insert(*session, *expires_at_ms);
                return;
            }
            _ => session,
        };
        let Some(session) = session else { return };
        match event {
            SenderEvent::Verdict {
                counter,
                verdict: PointVerdict::Accepted,
            } if durable_wanted.contains(&counter.0) => {
                self.accepted.entry(session).or_default().insert(counter.0);
            }
            SenderEvent::Durable { counter } => {
                let accepted = self.accepted.entry(session).or_default();
                let waiting = accepted.split_off(&(counter.0 + 1));
                let durable = std::mem::replace(accepted, waiting);
                self.durable
                    .extend(durable.into_iter().map(|counter| (session, counter)));
            }
            SenderEvent::Extended { expires_at_ms } => {
                self.started.insert(session, *expires_at_ms);
            }
            SenderEvent::Ended {
                why: Some(SessionState::Stopped),
                durable: true,
            } => {
                self.ended.insert(session);
            }
            _ => {}
        }
    }

    /// Somebody asked for the end of a session.
    pub fn end_asked(&mut self, session: SessionId) {
        self.may_have_ended.insert(session);
    }

    /// A crossing became a promise: those of one session at one geofence alternate, whatever crashed in between.
    ///
    /// # Errors
    /// The violation.
    pub fn crossed(&mut self, crossing: &CrossingRecord) -> Result<(), Violation> {
        self.checked.crossings += 1;
        let kind = crossing.kind().ok_or("a crossing of no kind")?;
        let key = (crossing.geofence, crossing.session, crossing.other);
        let before = self.crossed.get(&key).copied();
        let is_inside = before.is_some_and(|(kind, _)| kind.is_begin());
        if is_inside == kind.is_begin() {
            return Err(format!("{kind:?} of {key:?} after {before:?}"));
        }
        let count = before.map_or(0, |(_, count)| count);
        self.crossed.insert(key, (kind, count + 1));
        let session = SessionId(crossing.session);
        let name = crossing.name.clone();
        self.tellable
            .insert((name, session, crossing.kind, crossing.at_ms));
        Ok(())
    }

    /// A viewer was told of a crossing: one that is a promise, and once.
    fn crossing_told(
        &mut self,
        viewer: usize,
        session: SessionId,
        event: &Event,
    ) -> Result<(), Violation> {
        let Event::Crossed {
            kind,
            name,
            other,
            at_ms,
            ..
        } = event
        else {
            return Ok(());
        };
        self.checked.crossings_seen += 1;
        let (name, kind) = (name.to_string(), *kind as u8);
        if !self
            .tellable
            .contains(&(name.clone(), session, kind, *at_ms))
        {
            return Err(format!("viewer {viewer}: told of no crossing: {event:?}"));
        }
        let other = other.as_ref().map(|other| other.session);
        match self
            .told
            .insert((viewer, name, session, kind, *at_ms, other))
        {
            true => Ok(()),
            false => Err(format!("viewer {viewer}: told twice: {event:?}")),
        }
    }

    /// A viewer saw a change: counters never go back, nothing follows an end.
    ///
    /// # Errors
    /// The violation.
    pub fn viewer_news(&mut self, viewer: usize, change: &Change) -> Result<(), Violation> {
        let Some(subject) = &change.subject else {
            return Ok(());
        };
        self.crossing_told(viewer, subject.session, &change.event)?;
        let seen = self
            .seen
            .entry(viewer)
            .or_default()
            .entry(subject.session)
            .or_default();
        match &change.event {
            Event::Ended { .. } => {
                seen.ended = true;
                seen.ended_epoch = change.cursor.epoch;
            }
            // It is not shown any more; if it comes back, it begins anew.
            Event::Left => seen.counter = 0,
            Event::Started { .. } if seen.ended => {
                // A stop acts before it is durable. One that nobody acknowledged may be lost in a
                // power failure; then the session is there again, under a newer epoch.
                if self.ended.contains(&subject.session) {
                    return Err(format!(
                        "viewer {viewer}: {} is back after a durable end",
                        subject.session
                    ));
                }
                if change.cursor.epoch == seen.ended_epoch {
                    return Err(format!(
                        "viewer {viewer}: {} is back without a crash",
                        subject.session
                    ));
                }
                *seen = Seen::default();
            }
            Event::Point { point, historical } => {
                self.checked.points_seen += 1;
                let counter = point.counter.0;
                if seen.ended {
                    return Err(format!(
                        "viewer {viewer}: point {counter} of {} after its end",
                        subject.session
                    ));
                }
                if !historical && counter <= seen.counter {
                    return Err(format!(
                        "viewer {viewer}: {} went back from {} to {counter}",
                        subject.session, seen.counter
                    ));
                }
                if !historical {
                    seen.counter = counter;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The server has started on what a crash left: every promise is still there.
    ///
    /// # Errors
    /// The violation.
    pub fn after_restart(&mut self, now_ms: u64, server: &SimServer) -> Result<(), Violation> {
        let logged = read_all(server)?;
        for (session, counter) in &self.durable {
            self.checked.durable_points += 1;
            if !logged.points.contains(&(*session, *counter)) {
                return Err(format!("durable point {counter} of {session} is gone"));
            }
        }
        let state = server.control().state();
        let active: BTreeMap<SessionId, u64> = state
            .chats()
            .flat_map(|(_, chat)| chat.sessions.iter())
            .map(|(session, info)| (SessionId(*session), info.expires_at_ms))
            .collect();
        for session in &self.ended {
            self.checked.ends += 1;
            if active.contains_key(session) {
                return Err(format!("{session} was stopped durably and is active again"));
            }
        }
        for (session, expires_at_ms) in &self.started {
            self.checked.starts += 1;
            let over = logged.ended.contains(session)
                || self.may_have_ended.contains(session)
                || *expires_at_ms <= now_ms;
            match active.get(session) {
                None if !over => {
                    return Err(format!("{session} was started durably and is unknown"));
                }
                Some(end) if !over && end < expires_at_ms => {
                    return Err(format!("{session} was extended durably and ends earlier"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What all partitions say.
#[derive(Debug, Default)]
struct Logged {
    points: BTreeSet<(SessionId, u64)>,
    ended: BTreeSet<SessionId>,
}

/// Reads every partition from its first offset on: offsets are dense.
fn read_all(server: &SimServer) -> Result<Logged, Violation> {
    let mut logged = Logged::default();
    for partition in 0..PARTITIONS {
        let mut reader = server.reader(partition);
        let mut expected = OFFSET_FIRST;
        loop {
            match reader.next_batch() {
                Ok(None) => break,
                Err(ReadError::Gap { from, next, .. }) => {
                    return Err(format!("partition {partition}: hole from {from} to {next}"));
                }
                Err(error) => return Err(format!("partition {partition}: {error}")),
                Ok(Some(batch)) => {
                    for (offset, record) in batch.records() {
                        if offset != expected {
                            return Err(format!(
                                "partition {partition}: offset {offset}, expected {expected}"
                            ));
                        }
                        expected += 1;
                        note(&mut logged, &record)?;
                    }
                }
            }
        }
    }
    Ok(logged)
}

fn note(logged: &mut Logged, record: &skein_log::RecordRef<'_>) -> Result<(), Violation> {
    let entry = Entry::decode(&raw(record)).map_err(|error| format!("bad record: {error}"))?;
    match entry {
        Entry::Point { session, point } | Entry::HistoricalPoint { session, point } => {
            logged.points.insert((session, point.counter.0));
        }
        Entry::Ended { session, .. } => {
            logged.ended.insert(session);
        }
        _ => {}
    }
    Ok(())
}
