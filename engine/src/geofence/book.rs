//! The geofences of a chat at its owner: judges each accepted point and says which crossings are to be
//! promised.
//!
//! Invariants worth naming:
//! - What is inside is what the control log says; the book only asks for changes of it.
//! - While there is no geofence nothing is kept, and a point costs one look.
//! - Where a point is nowhere near an area and nothing is remembered of its session there, it is not judged:
//!   nothing could follow. `Tracked::areas` are the keys of `standings` that have no other session.
//! - A point allocates nothing, unless something is crossed or a session is new here.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::{SessionId, UserName};
use skein_wire::update::CrossingKind;

use crate::geofence::judgement::{Judgement, judge_two};
use crate::geofence::ledger::{CrossingRecord, GeofenceLedger};
use crate::geofence::place::Place;
use crate::geofence::place_index::PlaceIndex;
use crate::geofence::record::GeofenceRecord;
use crate::geofence::rule::{Form, Rule};
use crate::geofence::standing::{Standing, Step};
use crate::geofence::surroundings::{PointReach, Surroundings};
use crate::geofence::tracked::Tracked;
use crate::ids::GeofenceId;
use crate::limits::{
    CROSSING_RETRY_MS, CROSSINGS_PER_CHAT_BURST_MAX, CROSSINGS_PER_CHAT_MAX,
    CROSSINGS_PER_SESSION_BURST_MAX, CROSSINGS_PER_SESSION_MAX, NEIGHBOURS_MAX,
    PARTNERS_PER_SESSION_MAX,
};
use crate::rate::{Rate, RateLimit};
use crate::time::Timestamp;

/// Bytes of a tracked session and what hangs on it, an estimate.
const TRACKED_BYTES_ESTIMATE: usize = 320;

/// A session (or two) at a geofence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    geofence: GeofenceId,
    session: SessionId,
    other: Option<SessionId>,
}

/// All geofences of one chat.
#[derive(Debug, Default)]
pub(crate) struct GeofenceBook {
    rules: Vec<Rule>,
    /// What is well beyond each of `rules` that has an area; `None`: of the others.
    surroundings: Vec<Option<Surroundings>>,
    /// Counts the changes of `rules`.
    generation: u64,
    tracked: HashMap<SessionId, Tracked, RandomState>,
    standings: HashMap<Key, Standing, RandomState>,
    index: PlaceIndex,
    rate: Rate,
    /// Crossings to be promised.
    asked: VecDeque<CrossingRecord>,
    /// Room for the sessions around one, used again and again.
    others: Vec<SessionId>,
}

impl GeofenceBook {
    /// As the control log says. Places are given afterwards.
    pub fn restore(&mut self, ledger: &GeofenceLedger) {
        for (id, entry) in ledger.iter() {
            let id = GeofenceId(id);
            let Ok(rule) = Rule::new(id, &entry.record) else {
                continue;
            };
            self.rules.push(rule);
            for (session, other) in &entry.inside {
                let standing = Standing {
                    is_in: true,
                    ..Standing::default()
                };
                let key = Key {
                    geofence: id,
                    session: SessionId(*session),
                    other: (*other != 0).then_some(SessionId(*other)),
                };
                self.standings.insert(key, standing);
            }
        }
        self.rules_changed();
    }

    /// Whether there is nothing to judge by.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All geofences, in the order in which they came.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One of this name.
    pub fn named(&self, name: &str, owner: &str) -> Option<&Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.record.name == name && rule.record.owner == owner)
    }

    /// Who is inside of one, in order.
    pub fn inside(&self, id: GeofenceId) -> Vec<(SessionId, Option<SessionId>)> {
        let inside = self.standings.iter();
        let inside = inside.filter(|(key, standing)| key.geofence == id && standing.is_in);
        let mut inside: Vec<_> = inside.map(|(key, _)| (key.session, key.other)).collect();
        inside.sort_unstable();
        inside
    }

    /// Whose session it is, if it is known here.
    pub fn user_of(&self, session: SessionId) -> Option<&UserName> {
        self.tracked.get(&session).map(|tracked| &tracked.user)
    }

    /// Sessions that are known here, in order.
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = self.tracked.keys().copied().collect();
        sessions.sort_unstable();
        sessions
    }

    /// One is there from now on, in place of the one of its name.
    pub fn put(&mut self, id: GeofenceId, record: &GeofenceRecord) {
        let is_named =
            |rule: &Rule| rule.record.name == record.name && rule.record.owner == record.owner;
        if let Some(rule) = self.rules.iter_mut().find(|rule| is_named(rule)) {
            if rule.id == id && rule.record.is_like(record) {
                rule.record = record.clone();
                return;
            }
            let before = rule.id;
            self.remove(before);
        }
        if let Ok(rule) = Rule::new(id, record) {
            self.rules.push(rule);
            self.rules_changed();
        }
    }

    /// One is no more. Gives whether it was there.
    pub fn remove(&mut self, id: GeofenceId) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.id != id);
        if self.rules.len() == before {
            return false;
        }
        self.standings.retain(|key, _| key.geofence != id);
        for tracked in self.tracked.values_mut() {
            tracked.areas.retain(|geofence| *geofence != id);
            tracked.partners.retain(|(geofence, _)| *geofence != id);
        }
        self.rules_changed();
        true
    }

    /// Those that `gone` picks are no more.
    pub fn remove_where(&mut self, gone: impl Fn(&GeofenceRecord) -> bool) {
        let gone = self.rules.iter().filter(|rule| gone(&rule.record));
        let gone: Vec<GeofenceId> = gone.map(|rule| rule.id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Nothing can be judged any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A session whose place was known before there was a geofence.
    pub fn track(&mut self, session: SessionId, user: UserName, place: Option<Place>) {
        if self.tracked.contains_key(&session) {
            return;
        }
        if let Some(place) = place {
            self.index.put(session, None, place.position);
        }
        let tracked = self.first_seen(session, user, place);
        self.tracked.insert(session, tracked);
    }

    /// A session that is new here, with what is remembered of it.
    fn first_seen(&self, session: SessionId, user: UserName, place: Option<Place>) -> Tracked {
        let mut tracked = Tracked::new(user, place);
        for key in self.standings.keys() {
            match (key.session == session, key.other) {
                (true, None) => tracked.areas.push(key.geofence),
                (true, Some(other)) => tracked.partners.push((key.geofence, other)),
                (false, Some(other)) if other == session => {
                    tracked.partners.push((key.geofence, key.session));
                }
                _ => {}
            }
        }
        tracked
    }

    /// A session is over: it is inside of nothing, and what is about it alone is over, too.
    pub fn end_session(&mut self, session: SessionId) {
        self.remove_where(|record| record.ends_with(session.0));
        match self.tracked.remove(&session) {
            Some(gone) => self.forget_tracked(session, gone),
            None => self.forget_untracked(session),
        }
    }

    fn forget_tracked(&mut self, session: SessionId, gone: Tracked) {
        if let Some(place) = gone.place {
            self.index.take(session, place.position);
        }
        for (geofence, other) in gone.partners {
            for (session, other) in [(session, other), (other, session)] {
                let other = Some(other);
                self.standings.remove(&Key {
                    geofence,
                    session,
                    other,
                });
            }
            self.forget_partner(other, (geofence, session));
        }
        for geofence in gone.areas {
            self.standings.remove(&Key {
                geofence,
                session,
                other: None,
            });
        }
    }

    /// One that had ended by the log when the server started, and had not by the control log.
    fn forget_untracked(&mut self, session: SessionId) {
        let is_of = |key: &&Key| key.session == session || key.other == Some(session);
        let of_it: Vec<Key> = self.standings.keys().filter(is_of).copied().collect();
        for key in of_it {
            self.standings.remove(&key);
            for other in [Some(key.session), key.other].into_iter().flatten() {
                self.forget_partner(other, (key.geofence, session));
            }
        }
    }

    fn forget_partner(&mut self, session: SessionId, pair: (GeofenceId, SessionId)) {
        if let Some(tracked) = self.tracked.get_mut(&session) {
            tracked.partners.retain(|known| *known != pair);
        }
    }

    /// A live point was accepted. `is_live` says of another session whether its place is still good.
    pub fn take_point(
        &mut self,
        now: Timestamp,
        (session, user): (SessionId, &UserName),
        place: Place,
        is_live: impl Fn(SessionId) -> bool,
    ) -> Timestamp {
        let known = self.tracked.remove(&session);
        let mut tracked = known.unwrap_or_else(|| self.first_seen(session, user.clone(), None));
        let before = tracked.place.map(|before| before.position);
        let from = tracked.move_to(now, place);
        self.index.put(session, before, place.position);
        let due = self.judge_session(now, (session, &mut tracked), place, from, is_live);
        self.tracked.insert(session, tracked);
        due
    }

    /// Judges a session once more by the place where it was last.
    pub fn look_again(
        &mut self,
        now: Timestamp,
        session: SessionId,
        is_live: impl Fn(SessionId) -> bool,
    ) -> Timestamp {
        let Some(mut tracked) = self.tracked.remove(&session) else {
            return Timestamp::NEVER;
        };
        let due = match tracked.place.filter(|_| is_live(session)) {
            Some(place) => self.judge_session(now, (session, &mut tracked), place, None, is_live),
            None => Timestamp::NEVER,
        };
        self.tracked.insert(session, tracked);
        due
    }

    /// The next crossing to be promised.
    pub fn poll_asked(&mut self) -> Option<CrossingRecord> {
        self.asked.pop_front()
    }

    /// The moment at which a session is to be judged again, so that its timer is set once.
    pub fn timer_at(&mut self, session: SessionId) -> Option<&mut Timestamp> {
        let tracked = self.tracked.get_mut(&session);
        tracked.map(|tracked| &mut tracked.timer_at)
    }

    /// A crossing is a promise. Gives the one whose geofence it was, if that is still there.
    pub fn promised(&mut self, now: Timestamp, crossing: &CrossingRecord) -> bool {
        let key = key_of(crossing);
        let rule = self.rules.iter().find(|rule| rule.id == key.geofence);
        let Some(is_once) = rule.map(|rule| rule.record.once) else {
            return false;
        };
        let is_in = crossing.kind().is_some_and(CrossingKind::is_begin);
        if is_in && is_once {
            return self.remove(key.geofence);
        }
        if !self.tracked.contains_key(&key.session) {
            return true;
        }
        let mut standing = self.standings.get(&key).copied().unwrap_or_default();
        if standing.promised(is_in) {
            standing.in_flight = true;
            let kind = CrossingKind::Exit as u8;
            let at_ms = now.0;
            let out = CrossingRecord {
                kind,
                at_ms,
                ..crossing.clone()
            };
            self.asked.push_back(out);
        }
        self.note(key, standing);
        true
    }

    /// A crossing could not be promised, or may not be told: it is as if it had not been asked for.
    pub fn refused(&mut self, crossing: &CrossingRecord) {
        let key = key_of(crossing);
        if let Some(standing) = self.standings.get_mut(&key) {
            standing.in_flight = false;
            let standing = *standing;
            self.note(key, standing);
        }
    }

    /// Bytes that it takes, an estimate.
    pub fn bytes(&self) -> usize {
        self.tracked.len() * TRACKED_BYTES_ESTIMATE
            + self.standings.len() * size_of::<(Key, Standing)>()
            + self.rules.len() * (size_of::<Rule>() + size_of::<Option<Surroundings>>())
    }

    fn rules_changed(&mut self) {
        self.generation += 1;
        if self.rules.is_empty() {
            self.clear();
            return;
        }
        let reach = self.rules.iter().map(|rule| match rule.form {
            Form::Around { near_m, .. } => near_m as u32,
            Form::Area(_) => 0,
        });
        self.index = PlaceIndex::new(reach.max().unwrap_or(0));
        self.surroundings.clear();
        let surroundings = self.rules.iter().map(|rule| match &rule.form {
            Form::Area(area) => Some(Surroundings::of(area)),
            Form::Around { .. } => None,
        });
        self.surroundings.extend(surroundings);
        for (session, tracked) in &self.tracked {
            if let Some(place) = &tracked.place {
                self.index.put(*session, None, place.position);
            }
        }
    }

    /// Judges a session by everything that concerns it; gives when it has to be looked at again.
    fn judge_session(
        &mut self,
        now: Timestamp,
        (session, tracked): (SessionId, &mut Tracked),
        place: Place,
        from: Option<Place>,
        is_live: impl Fn(SessionId) -> bool,
    ) -> Timestamp {
        self.refresh_concerned(session, tracked);
        let reach = PointReach::of(&place, from.as_ref());
        let mut due = Timestamp::NEVER;
        let mut has_pairs = false;
        for index in 0..tracked.concerned.len() {
            let rule = tracked.concerned[index] as usize;
            let around = self.surroundings[rule];
            let is_away = around.is_some_and(|around| around.are_left(&place, reach));
            if is_away && !tracked.remembers(|| self.rules[rule].id) {
                continue;
            }
            if self.rules[rule].record.is_over(now.0) {
                continue;
            }
            let Form::Area(area) = &self.rules[rule].form else {
                has_pairs = true;
                continue;
            };
            let (judgement, led_through) = area.judge(&place, from.as_ref());
            let key = Key {
                geofence: self.rules[rule].id,
                session,
                other: None,
            };
            let seen = (judgement, led_through);
            due = due.min(self.step(now, rule, key, (session, tracked), seen));
        }
        if has_pairs {
            due = due.min(self.judge_pairs(now, (session, tracked), &place, is_live));
        }
        due
    }

    fn refresh_concerned(&self, session: SessionId, tracked: &mut Tracked) {
        if tracked.concerned_as_of == self.generation {
            return;
        }
        tracked.concerned_as_of = self.generation;
        tracked.concerned.clear();
        let who = (session, &tracked.user);
        let all = (0..).zip(&self.rules);
        let concerned = all.filter(|(_, rule)| rule.concerns(who));
        tracked.concerned.extend(concerned.map(|(index, _)| index));
    }

    /// Judges a session together with those around it, with those in whose middle it may be, and with
    /// those that it was near.
    fn judge_pairs(
        &mut self,
        now: Timestamp,
        (session, tracked): (SessionId, &mut Tracked),
        place: &Place,
        is_live: impl Fn(SessionId) -> bool,
    ) -> Timestamp {
        let mut others = std::mem::take(&mut self.others);
        others.clear();
        others.extend(tracked.partners.iter().map(|(_, other)| *other));
        for index in &tracked.concerned {
            match &self.rules[*index as usize].form {
                Form::Around {
                    session: Some(middle),
                    ..
                } if *middle != session => others.push(*middle),
                _ => {}
            }
        }
        others.extend(self.index.around(place.position).take(NEIGHBOURS_MAX));
        others.sort_unstable();
        others.dedup();
        let mut due = Timestamp::NEVER;
        for other in others.iter().filter(|other| **other != session) {
            if is_live(*other) {
                due = due.min(self.judge_two(now, (session, tracked), place, *other));
            }
        }
        self.others = others;
        due
    }

    fn judge_two(
        &mut self,
        now: Timestamp,
        (session, tracked): (SessionId, &mut Tracked),
        place: &Place,
        other: SessionId,
    ) -> Timestamp {
        let mut due = Timestamp::NEVER;
        let Some(partner) = self.tracked.get(&other) else {
            return due;
        };
        let Some(there) = partner.place else {
            return due;
        };
        let apart_m = place.distance_m(&there);
        for index in 0..tracked.concerned.len() {
            let rule = tracked.concerned[index] as usize;
            let Form::Around { near_m, .. } = self.rules[rule].form else {
                continue;
            };
            let Some(partner) = self.tracked.get(&other) else {
                break;
            };
            let (own, theirs) = ((session, &tracked.user), (other, &partner.user));
            let pair = self.rules[rule].pair(own, theirs);
            let Some((subject, middle)) = pair.filter(|_| !self.rules[rule].record.is_over(now.0))
            else {
                continue;
            };
            let vague_m = (place.accuracy_m, there.accuracy_m);
            let judgement = judge_two(apart_m - near_m, near_m, vague_m);
            let key = Key {
                geofence: self.rules[rule].id,
                session: subject,
                other: Some(middle),
            };
            let has_room = tracked.partners.len() < PARTNERS_PER_SESSION_MAX
                && partner.partners.len() < PARTNERS_PER_SESSION_MAX;
            if has_room || self.standings.contains_key(&key) {
                let seen = (judgement, false);
                due = due.min(self.step(now, rule, key, (session, tracked), seen));
            }
        }
        due
    }

    /// What a judgement does; gives when it has to be looked at again. `moved` is the session whose point it
    /// is, which is not among the tracked ones meanwhile.
    fn step(
        &mut self,
        now: Timestamp,
        rule: usize,
        key: Key,
        moved: (SessionId, &mut Tracked),
        (judgement, led_through): (Judgement, bool),
    ) -> Timestamp {
        let before = self.standings.get(&key).copied();
        let mut standing = before.unwrap_or_default();
        let dwell_ms = self.rules[rule].dwell_ms();
        let step = standing.judge(now, judgement, led_through, dwell_ms);
        let due = match step {
            Step::Nothing => Timestamp::NEVER,
            Step::Wait(due) => due,
            Step::In | Step::Out if !self.has_room(now, moved.1) => now.plus_ms(CROSSING_RETRY_MS),
            Step::In | Step::Out => {
                standing.in_flight = true;
                self.ask(now, rule, key, (moved.0, moved.1), step == Step::In);
                Timestamp::NEVER
            }
        };
        if before != Some(standing) && (before.is_some() || !standing.is_nothing()) {
            self.note_with(key, standing, Some(moved));
        }
        due
    }

    /// Whether one more crossing is within the bounds of the session and of the chat.
    fn has_room(&mut self, now: Timestamp, tracked: &mut Tracked) -> bool {
        let of_session = RateLimit::new(CROSSINGS_PER_SESSION_MAX, CROSSINGS_PER_SESSION_BURST_MAX);
        let of_chat = RateLimit::new(CROSSINGS_PER_CHAT_MAX, CROSSINGS_PER_CHAT_BURST_MAX);
        tracked.rate.take(now, of_session) && self.rate.take(now, of_chat)
    }

    fn ask(
        &mut self,
        now: Timestamp,
        rule: usize,
        key: Key,
        (session, tracked): (SessionId, &Tracked),
        is_in: bool,
    ) {
        let name = |id: SessionId| match id == session {
            true => tracked.user.as_str().to_owned(),
            false => self
                .user_of(id)
                .map_or(String::new(), |user| user.as_str().to_owned()),
        };
        let kind = match (is_in, key.other.is_some()) {
            (true, false) => CrossingKind::Enter,
            (false, false) => CrossingKind::Exit,
            (true, true) => CrossingKind::Near,
            (false, true) => CrossingKind::Far,
        };
        let record = &self.rules[rule].record;
        let crossing = CrossingRecord {
            geofence: key.geofence.0,
            name: record.name.clone(),
            owner: record.owner.clone(),
            kind: kind as u8,
            session: key.session.0,
            user: name(key.session),
            other: key.other.map_or(0, |other| other.0),
            other_user: key.other.map_or(String::new(), name),
            at_ms: now.0,
        };
        self.asked.push_back(crossing);
    }

    fn note(&mut self, key: Key, standing: Standing) {
        self.note_with(key, standing, None);
    }

    /// Remembers a standing, or forgets one that says nothing; pairs are noted at both.
    fn note_with(
        &mut self,
        key: Key,
        standing: Standing,
        mut moved: Option<(SessionId, &mut Tracked)>,
    ) {
        let was_there = match standing.is_nothing() {
            true => self.standings.remove(&key).is_some(),
            false => self.standings.insert(key, standing).is_some(),
        };
        if was_there != standing.is_nothing() {
            return;
        }
        let Some(other) = key.other else {
            if let Some(tracked) = self.tracked_of(key.session, &mut moved) {
                set_member(&mut tracked.areas, key.geofence, !standing.is_nothing());
            }
            return;
        };
        for (session, partner) in [(key.session, other), (other, key.session)] {
            if let Some(tracked) = self.tracked_of(session, &mut moved) {
                let pair = (key.geofence, partner);
                set_member(&mut tracked.partners, pair, !standing.is_nothing());
            }
        }
    }

    /// A session, also if it is the one whose point is judged.
    fn tracked_of<'a>(
        &'a mut self,
        session: SessionId,
        moved: &'a mut Option<(SessionId, &mut Tracked)>,
    ) -> Option<&'a mut Tracked> {
        match moved {
            Some((id, tracked)) if *id == session => Some(&mut **tracked),
            _ => self.tracked.get_mut(&session),
        }
    }
}

/// Puts something into a list that does not have it, or takes it out.
fn set_member<T: PartialEq>(list: &mut Vec<T>, one: T, is_member: bool) {
    match is_member {
        true => list.push(one),
        false => list.retain(|known| *known != one),
    }
}

fn key_of(crossing: &CrossingRecord) -> Key {
    Key {
        geofence: GeofenceId(crossing.geofence),
        session: SessionId(crossing.session),
        other: (crossing.other != 0).then_some(SessionId(crossing.other)),
    }
}
