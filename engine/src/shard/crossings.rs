//! Crossings of geofences: a point is accepted and judged, what it crosses is promised, and then told to
//! those who see the session. An alert is told to its owner alone.

use skein_wire::ids::{ChatHandle, GeofenceName, SessionId, UserName};
use skein_wire::point::Fix;
use skein_wire::update::{Crossing, Update};

use crate::chat_event::What;
use crate::command::Command;
use crate::geofence::ledger::CrossingRecord;
use crate::geofence::place::Place;
use crate::ids::ConnectionId;
use crate::journal::{Crossed, Entry};
use crate::limits::{CROSSING_RETRY_MS, CROSSINGS_TOLD_PER_PASS, CROSSINGS_WAITING_MAX};
use crate::obligation::Purpose;
use crate::owner::Owner;
use crate::peer_message::Target;
use crate::request::Actor;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::telling::Telling;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// A live point was accepted.
    pub(super) fn judge_point(&mut self, now: Timestamp, target: &Target, fix: &Fix) {
        let Some(owner) = self.chats.owner_mut(target.chat) else {
            return;
        };
        if owner.geofences.is_empty() {
            return;
        }
        let Owner {
            geofences,
            sessions,
            ..
        } = owner;
        let is_live = |other| sessions.get(&other).is_some_and(|it| it.is_heard());
        let who = (target.session, &target.user);
        let due = geofences.take_point(now, who, Place::of(fix), is_live);
        self.note_due(target.chat, target.session, due);
        self.ask_crossings(target.chat);
    }

    /// Judges a session once more by where it was last.
    pub(super) fn look_again(&mut self, now: Timestamp, chat: ChatHandle, session: SessionId) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let Owner {
            geofences,
            sessions,
            ..
        } = owner;
        let is_live = |other| sessions.get(&other).is_some_and(|it| it.is_heard());
        let due = geofences.look_again(now, session, is_live);
        self.note_due(chat, session, due);
        self.ask_crossings(chat);
    }

    /// A session is to be judged again then, unless it is before.
    fn note_due(&mut self, chat: ChatHandle, session: SessionId, due: Timestamp) {
        let owner = self.chats.owner_mut(chat);
        let timer_at = owner.and_then(|owner| owner.geofences.timer_at(session));
        if let Some(timer_at) = timer_at
            && due < *timer_at
        {
            *timer_at = due;
            self.wheel.set(due, Timer::Stay { chat, session });
        }
    }

    /// The moment has come.
    pub(super) fn stay_due(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        session: SessionId,
        at: Timestamp,
    ) {
        let owner = self.chats.owner_mut(chat);
        let timer_at = owner.and_then(|owner| owner.geofences.timer_at(session));
        if let Some(timer_at) = timer_at.filter(|timer_at| **timer_at == at) {
            *timer_at = Timestamp::NEVER;
            self.look_again(now, chat, session);
        }
    }

    /// Proposes what the last judgement has found.
    fn ask_crossings(&mut self, chat: ChatHandle) {
        while let Some(known) = self.chats.get_mut(chat)
            && let Some(owner) = known.owner_mut()
            && let Some(crossing) = owner.geofences.poll_asked()
        {
            if !self.may_be_told(chat, &crossing) {
                self.crossing_refused(chat, &crossing);
                continue;
            }
            let Some(known) = self.chats.get(chat) else {
                return;
            };
            let command = Command::Cross {
                chat: known.name.as_str().to_owned(),
                crossing,
            };
            self.propose(Some(chat), command, Purpose::Cross, Vec::new());
        }
    }

    /// Whether the owner of an alert may still watch, by what is known at this moment.
    fn may_be_told(&self, chat: ChatHandle, crossing: &CrossingRecord) -> bool {
        if crossing.owner.is_empty() {
            return true;
        }
        let known = self.chats.get(chat);
        let user = UserName::new(&crossing.owner).ok();
        known.zip(user).is_some_and(|(known, user)| {
            let owner = known.owner();
            let rule =
                owner.and_then(|owner| owner.geofences.named(&crossing.name, &crossing.owner));
            let claim = rule.map_or(0, |rule| rule.record.claim);
            let rights = known.rights_with(&user, Rights::from_bits(claim));
            rights.has(Rights::WATCH)
        })
    }

    fn crossing_refused(&mut self, chat: ChatHandle, crossing: &CrossingRecord) {
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.geofences.refused(crossing);
        }
    }

    /// The promise was refused: the session is judged again soon.
    pub(super) fn crossing_rejected(&mut self, chat: ChatHandle, command: &Command) {
        let Command::Cross { crossing, .. } = command else {
            return;
        };
        self.crossing_refused(chat, crossing);
        let due = self.now.plus_ms(CROSSING_RETRY_MS);
        self.note_due(chat, SessionId(crossing.session), due);
    }

    /// A crossing is a promise: it is told now.
    pub(super) fn crossing_committed(
        &mut self,
        now: Timestamp,
        index: u64,
        chat: ChatHandle,
        crossing: &CrossingRecord,
    ) {
        self.stats.crossings += 1;
        let session = SessionId(crossing.session);
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.geofences.promised(now, crossing);
        }
        if let Some(crossed) = crossed_of(crossing) {
            let what = What::Crossed {
                kind: crossed.kind,
                session,
                other: crossed.other.as_ref().map(|(other, _)| *other),
            };
            self.event(index, chat, crossed.user.clone(), what);
            self.note_look(now, chat, crossed.owner.as_ref());
            let live = self.chats.session_mut(chat, session);
            if live.is_some_and(|live| live.ended.is_none()) {
                let crossed = Box::new(crossed);
                self.append(chat, &Entry::Crossed { session, crossed });
            }
        }
        self.look_again(now, chat, session);
    }

    /// An alert that tells has shown something to its owner: a look, in the record of views.
    fn note_look(&mut self, now: Timestamp, chat: ChatHandle, owner: Option<&UserName>) {
        let name = self.chats.get(chat).map(|chat| chat.name.clone());
        if let Some((name, owner)) = name.zip(owner) {
            self.glance(now, &name, &Actor::User(owner.clone().into()));
        }
    }

    /// A session is over, or its end is a promise.
    pub(super) fn forget_at_geofences(&mut self, chat: ChatHandle, session: SessionId) {
        if let Some(owner) = self.chats.owner_mut(chat)
            && !owner.geofences.is_empty()
        {
            owner.geofences.end_session(session);
        }
    }

    /// A crossing came back from the log: those here who see the session are to be told. Excepted are guests, whose
    /// link may show less than a geofence tells, and who sees places on a grid.
    pub(super) fn crossing_followed(
        &mut self,
        chat: ChatHandle,
        offset: u64,
        session: SessionId,
        crossed: &Crossed,
    ) {
        let audience = match &crossed.owner {
            Some(owner) => self.watches_of(chat, owner),
            None => self.fan_out.connections_of(chat, session).collect(),
        };
        if audience.is_empty() {
            return;
        }
        let crossing = Crossing {
            chat,
            offset,
            kind: crossed.kind,
            is_alert: crossed.owner.is_some(),
            at_ms: crossed.at_ms,
            name: crossed.name.clone(),
            subject: (session, crossed.user.clone()),
            other: crossed.other.clone(),
        };
        self.tell_later(crossing, audience);
    }

    /// The upstream of a relay tells its viewers of a crossing: those here who see the session are to be told.
    pub(super) fn crossing_fed(&mut self, crossing: &Crossing) {
        let (chat, session) = (crossing.chat, crossing.subject.0);
        let audience: Vec<ConnectionId> = self.fan_out.connections_of(chat, session).collect();
        if !audience.is_empty() {
            self.tell_later(crossing.clone(), audience);
        }
    }

    fn tell_later(&mut self, crossing: Crossing, audience: Vec<ConnectionId>) {
        if self.telling.len() >= CROSSINGS_WAITING_MAX {
            self.stats.crossings_untold += 1;
            return;
        }
        self.telling.push_back(Telling { crossing, audience });
    }

    /// Connections of a user that watch a chat.
    fn watches_of(&self, chat: ChatHandle, user: &UserName) -> Vec<ConnectionId> {
        let connections = self.users.get(user);
        let all = connections.into_iter().flat_map(|all| all.iter());
        let watches = |connection: &ConnectionId| {
            let known = self.connections.get(connection);
            known.is_some_and(|known| known.watches.contains_key(&chat))
        };
        all.filter(watches).collect()
    }

    /// Tells some of those who are to be told.
    pub(super) fn tell_crossings(&mut self) {
        let mut left = CROSSINGS_TOLD_PER_PASS;
        while left > 0
            && let Some(mut telling) = self.telling.pop_front()
        {
            while left > 0
                && let Some(connection) = telling.audience.pop()
            {
                left -= 1;
                self.tell_crossing(connection, &telling.crossing);
            }
            if !telling.audience.is_empty() {
                self.telling.push_front(telling);
            }
        }
    }

    /// Whoever does not take anything misses it: nothing piles up for anybody.
    fn tell_crossing(&mut self, connection: ConnectionId, crossing: &Crossing) {
        let known = self.connections.get(&connection);
        let member = known.filter(|known| known.person.guest().is_none());
        let watch = member.and_then(|known| known.watches.get(&crossing.chat));
        let watch = watch.filter(|watch| self.fan_out.grid_of(watch.viewer).is_none());
        if watch.is_some_and(|watch| !self.fan_out.is_full(watch.viewer)) {
            self.frame(connection, Update::Crossing(crossing.clone()));
        }
    }
}

/// What is told; `None` for a record with names that are none.
fn crossed_of(crossing: &CrossingRecord) -> Option<Crossed> {
    let kind = crossing.kind()?;
    let other = UserName::new(&crossing.other_user).ok();
    let other = other.map(|user| (SessionId(crossing.other), user));
    if kind.is_of_two() != other.is_some() {
        return None;
    }
    Some(Crossed {
        kind,
        at_ms: crossing.at_ms,
        name: GeofenceName::new(&crossing.name).ok()?,
        user: UserName::new(&crossing.user).ok()?,
        other,
        owner: UserName::new(&crossing.owner).ok(),
    })
}
