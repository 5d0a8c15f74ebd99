//! Geofences of chats and alerts of members: who may set which, and how they begin and end.
//!
//! One acts when it is durable. Its removal acts at once, and its promise is repeated until it is made.
//! An alert lives as long as its owner may watch: whoever loses the right loses it with the same command.

use std::collections::BTreeMap;

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, GeofenceName, SessionId, UserName};
use skein_wire::point::Payload;

use crate::caller::Caller;
use crate::command::Command;
use crate::geofence::book::GeofenceBook;
use crate::geofence::place::Place;
use crate::geofence::record::{GeofenceRecord, GeofenceWish, Shape};
use crate::geofence::rule::Rule;
use crate::ids::GeofenceId;
use crate::limits::{
    ALERTS_PER_CHAT_MAX, ALERTS_PER_USER_MAX, GEOFENCES_PER_CHAT_MAX, INSIDE_LISTED_MAX,
};
use crate::obligation::Purpose;
use crate::owner::Owner;
use crate::request::{Actor, AlertAbout, ChatReply, ChatResult, GeofenceInfo, InsideInfo};
use crate::rights::Rights;
use crate::row::Row;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// Puts a geofence or an alert. It acts when it is durable.
    pub(super) fn put_geofence(
        &mut self,
        now: Timestamp,
        caller: Caller,
        actor: &Actor,
        wish: GeofenceWish,
    ) {
        match self.judge_wish(now, actor, wish) {
            Ok((chat, command)) => {
                self.propose(Some(chat), command, Purpose::PutGeofence, vec![caller]);
            }
            Err(error) => self.answer_error(caller, error),
        }
    }

    fn judge_wish(
        &mut self,
        now: Timestamp,
        actor: &Actor,
        wish: GeofenceWish,
    ) -> Result<(ChatHandle, Command), WireError> {
        self.check_serving()?;
        let (handle, claim) = self.check_setter(&wish.chat, actor, wish.owner.as_ref())?;
        wish.check()?;
        let chat = self.chats.get(handle).ok_or(Self::not_found())?;
        let owner = chat.owner().ok_or(Self::not_found())?;
        if owner.sealed_only {
            return Err(sealed("the chat takes sealed sessions only"));
        }
        if let Some(session) = wish.session {
            check_plain(owner, session, None)?;
        }
        let record = GeofenceRecord {
            shape: placed(owner, &wish)?,
            name: wish.name.as_str().to_owned(),
            owner: text(wish.owner.as_ref()),
            claim: claim.bits(),
            user: text(wish.user.as_ref()),
            session: wish.session.map_or(0, |session| session.0),
            dwell_s: wish.dwell_s,
            once: wish.once,
            created_at_ms: now.0,
            expires_at_ms: wish
                .duration_s
                .map_or(0, |duration_s| now.0 + u64::from(duration_s) * 1_000),
        };
        let named = owner.geofences.named(&record.name, &record.owner);
        let same = named.filter(|rule| rule.record.is_like(&record));
        let same = same.map(|rule| rule.id);
        if named.is_none() {
            self.check_geofence_room(now, &owner.geofences, wish.chat.as_str(), &record)?;
        }
        let geofence = same.unwrap_or_else(|| GeofenceId(self.random.next_u64().max(1)));
        let command = Command::PutGeofence {
            chat: wish.chat.as_str().to_owned(),
            geofence: geofence.0,
            record,
        };
        Ok((handle, command))
    }

    /// Who may set geofences of the chat, or alerts of this member; and what the token brings. Without the
    /// right to watch a chat looks like one that is not there.
    fn check_setter(
        &self,
        name: &ChatName,
        actor: &Actor,
        owner: Option<&UserName>,
    ) -> Result<(ChatHandle, Rights), WireError> {
        let chat = self.chats.named(name);
        let claim = match actor {
            Actor::User(person) => person.claim(name),
            Actor::Control => Rights::NONE,
        };
        let may = match (actor, owner) {
            (Actor::Control, None) => Ok(()),
            (Actor::User(_), None) => Err(Self::not_found()),
            (Actor::User(person), Some(owner)) if person.user != *owner => Err(Self::not_found()),
            // A guest sees no more than a link shows.
            (Actor::User(person), _) if person.guest().is_some() => Err(Self::not_found()),
            (_, Some(owner)) => {
                self.check_right(chat.unwrap_or_default(), (owner, claim), Rights::WATCH)
            }
        };
        may?;
        Ok((chat.ok_or(Self::not_found())?, claim))
    }

    fn check_geofence_room(
        &self,
        now: Timestamp,
        book: &GeofenceBook,
        chat: &str,
        record: &GeofenceRecord,
    ) -> Result<(), WireError> {
        let asked = self
            .obligations
            .values()
            .filter_map(|it| match &it.command {
                Command::PutGeofence {
                    chat: other,
                    record,
                    ..
                } if other == chat => Some(record),
                _ => None,
            });
        let there = book.rules().iter().map(|rule| &rule.record);
        // What is asked for takes the place of what has its name and owner.
        let mut all: BTreeMap<_, _> = there.chain(asked).map(|it| (key_of(it), it)).collect();
        all.remove(&key_of(record));
        let live = all.into_values().filter(|it| !it.is_over(now.0));
        let (mut of_chat, mut of_owner, mut alerts) = (0, 0, 0);
        for other in live {
            of_chat += usize::from(!other.is_alert());
            alerts += usize::from(other.is_alert());
            of_owner += usize::from(other.owner == record.owner);
        }
        let (max, what) = match record.is_alert() {
            false if of_chat >= GEOFENCES_PER_CHAT_MAX => (GEOFENCES_PER_CHAT_MAX, "geofences"),
            true if of_owner >= ALERTS_PER_USER_MAX => (ALERTS_PER_USER_MAX, "alerts of a member"),
            true if alerts >= ALERTS_PER_CHAT_MAX => (ALERTS_PER_CHAT_MAX, "alerts"),
            _ => return Ok(()),
        };
        let text = format!("the chat has {max} {what}, its limit; remove one first");
        Err(WireError::new(Code::LimitReached, text))
    }

    /// One is durable: it acts now, also on who is there already.
    pub(super) fn geofence_committed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: GeofenceId,
        record: &GeofenceRecord,
    ) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        if owner.sealed_only {
            return;
        }
        owner.geofences.put(id, record);
        self.arm_geofence(chat, id, record);
        self.track_rows(chat);
        let owner = self.chats.owner_mut(chat);
        let sessions = owner.map_or(Vec::new(), |owner| owner.geofences.sessions());
        for session in sessions {
            self.look_again(now, chat, session);
        }
    }

    fn arm_geofence(&mut self, chat: ChatHandle, geofence: GeofenceId, record: &GeofenceRecord) {
        if record.expires_at_ms != 0 {
            let at = Timestamp(record.expires_at_ms);
            self.wheel.set(at, Timer::GeofenceOver { chat, geofence });
        }
    }

    /// Those who share already are where their newest point was.
    fn track_rows(&mut self, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let live = known
            .table
            .rows_live()
            .filter(|row| !row.descriptor().sealed);
        let rows: Vec<_> = live
            .map(|row| (row.session(), whose(row), place(row)))
            .collect();
        let Some(owner) = known.owner_mut() else {
            return;
        };
        for (session, user, place) in rows {
            if owner.sessions.contains_key(&session) {
                owner.geofences.track(session, user, place);
            }
        }
    }

    /// After a restart: where everybody was, and when geofences end.
    pub(super) fn take_up_geofences(&mut self, chat: ChatHandle) {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let Some(owner) = owner.filter(|owner| !owner.geofences.is_empty()) else {
            return;
        };
        let rules = owner.geofences.rules().iter();
        let rules: Vec<_> = rules.map(|rule| (rule.id, rule.record.clone())).collect();
        for (id, record) in rules {
            self.arm_geofence(chat, id, &record);
        }
        self.track_rows(chat);
    }

    /// Ends a geofence or an alert now.
    pub(super) fn remove_geofence(
        &mut self,
        caller: Caller,
        name: &ChatName,
        actor: &Actor,
        (geofence, owner): (&GeofenceName, Option<&UserName>),
    ) {
        let checked = self
            .check_serving()
            .and_then(|()| self.check_setter(name, actor, owner));
        let found = checked.and_then(|(chat, _)| {
            let known = self.chats.get(chat).and_then(|chat| chat.owner());
            let book = known.map(|owner| &owner.geofences);
            let rule = book.and_then(|book| book.named(geofence.as_str(), &text(owner)));
            rule.map(|rule| (chat, rule.id)).ok_or(Self::not_found())
        });
        match found {
            Ok((chat, id)) => self.end_geofence(chat, id, vec![caller]),
            Err(error) => self.answer_error(caller, error),
        }
    }

    fn end_geofence(&mut self, chat: ChatHandle, id: GeofenceId, callers: Vec<Caller>) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let name = known.name.as_str().to_owned();
        let Some(owner) = known.owner_mut() else {
            return;
        };
        let rule = owner.geofences.rules().iter().find(|rule| rule.id == id);
        let Some(record) = rule.map(|rule| rule.record.clone()) else {
            return;
        };
        owner.geofences.remove(id);
        let command = Command::RemoveGeofence {
            chat: name,
            geofence: id.0,
            name: record.name,
            owner: record.owner,
        };
        self.propose(Some(chat), command, Purpose::RemoveGeofence, callers);
    }

    /// The time of one may be over.
    pub(super) fn geofence_over(&mut self, now: Timestamp, chat: ChatHandle, id: GeofenceId) {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let rule = owner.and_then(|owner| {
            let mut rules = owner.geofences.rules().iter();
            rules.find(|rule| rule.id == id)
        });
        let Some(record) = rule.map(|rule| rule.record.clone()) else {
            return;
        };
        match record.is_over(now.0) {
            true => self.end_geofence(chat, id, Vec::new()),
            // It was put again meanwhile.
            false => self.arm_geofence(chat, id, &record),
        }
    }

    /// A member has these rights: alerts of who may not watch are over, as the control log says.
    pub(super) fn end_alerts(&mut self, chat: ChatHandle, user: &UserName, rights: Rights) {
        if let Some(owner) = self.chats.owner_mut(chat) {
            let is_lost =
                |record: &GeofenceRecord| record.is_lost_with(user.as_str(), rights.bits());
            owner.geofences.remove_where(is_lost);
        }
    }

    /// Ends the alerts of a member and those about the member alone, or all of the chat. Gives how many.
    pub(super) fn forget_alerts(&mut self, chat: ChatHandle, user: Option<&UserName>) -> u64 {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let rules = owner.map_or(&[][..], |owner| owner.geofences.rules());
        let is_theirs = |rule: &&Rule| {
            let record = &rule.record;
            record.is_alert() && user.is_none_or(|user| record.names(user.as_str()))
        };
        let gone: Vec<GeofenceId> = rules.iter().filter(is_theirs).map(|rule| rule.id).collect();
        for id in &gone {
            self.end_geofence(chat, *id, Vec::new());
        }
        gone.len() as u64
    }

    /// Whether somebody may be shown what happened at the geofences of a chat.
    pub(super) fn may_look(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        self.book_for(name, actor, Rights::WATCH)?;
        let view_recorded = self.records_glance(actor);
        Ok(ChatReply::Look { view_recorded })
    }

    /// The geofences of a chat and who is inside, for whoever may watch it as it is; not for guests.
    pub(super) fn geofences(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let book = self.book_for(name, actor, Rights::WATCH)?;
        let of_chat = book.rules().iter().filter(|rule| !rule.record.is_alert());
        let geofences = of_chat.map(|rule| info(book, rule)).collect();
        Ok(ChatReply::Geofences {
            view_recorded: self.records_glance(actor),
            geofences,
        })
    }

    /// A member's alerts, and who has one about the member. Operators see all. On a grid one has none, and
    /// still is told who has.
    pub(super) fn alerts(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let book = self.book_for(name, actor, Rights::WATCH_LEAST)?;
        let all = || book.rules().iter().filter(|rule| rule.record.is_alert());
        let Actor::User(person) = actor else {
            return Ok(ChatReply::Alerts(
                all().map(|rule| info(book, rule)).collect(),
                Vec::new(),
            ));
        };
        let user = &person.user;
        let own = all().filter(|rule| rule.owner.as_ref() == Some(user));
        let own = own.map(|rule| info(book, rule)).collect();
        Ok(ChatReply::Alerts(own, self.alerts_about(name, book, user)))
    }

    /// Who of the others is told about a member.
    fn alerts_about(
        &self,
        name: &ChatName,
        book: &GeofenceBook,
        user: &UserName,
    ) -> Vec<AlertAbout> {
        let chat = self.chats.named(name).and_then(|chat| self.chats.get(chat));
        let owner = chat.and_then(|chat| chat.owner());
        let sessions = owner.map_or(Vec::new(), |owner| owner.sessions_of(user));
        let is_about = |rule: &&Rule| {
            let whole = rule.record.user == user.as_str()
                || (rule.record.user.is_empty() && rule.record.session == 0);
            let session = SessionId(rule.record.session);
            rule.owner.as_ref() != Some(user) && (whole || sessions.contains(&session))
        };
        let about = book.rules().iter().filter(is_about);
        about
            .filter_map(|rule| {
                Some(AlertAbout {
                    owner: rule.owner.clone()?,
                    expires_at_ms: rule.record.expires_at_ms,
                })
            })
            .collect()
    }

    /// The geofences, for whoever has the right. What is crossed is finer than any grid.
    fn book_for(
        &self,
        name: &ChatName,
        actor: &Actor,
        right: Rights,
    ) -> Result<&GeofenceBook, WireError> {
        let chat = self.visible(name, actor, right)?;
        let owner = chat.owner().filter(|_| actor.guest().is_none());
        owner.map(|owner| &owner.geofences).ok_or(Self::not_found())
    }
}

/// The shape that is wanted; one around its owner's session has that session.
fn placed(owner: &Owner, wish: &GeofenceWish) -> Result<Shape, WireError> {
    let (Shape::Around { session, near_m }, Some(user)) = (&wish.shape, &wish.owner) else {
        return Ok(wish.shape.clone());
    };
    let session = match *session {
        0 => newest_of(owner, user)?,
        session => SessionId(session),
    };
    check_plain(owner, session, Some(user))?;
    Ok(Shape::Around {
        session: session.0,
        near_m: *near_m,
    })
}

/// The session of a member that began last.
fn newest_of(owner: &Owner, user: &UserName) -> Result<SessionId, WireError> {
    let sessions = owner.sessions_of(user).into_iter();
    let begun = |id: &SessionId| {
        owner
            .sessions
            .get(id)
            .map(|it| (!it.sealed, it.started_at_ms))
    };
    sessions.max_by_key(begun).ok_or_else(|| {
        let text = "whoever wants to know who comes near shares a session; start one first";
        WireError::new(Code::NotFound, text)
    })
}

/// Whether a session is live, of this user, and not sealed.
fn check_plain(
    owner: &Owner,
    session: SessionId,
    user: Option<&UserName>,
) -> Result<(), WireError> {
    let live = owner.sessions.get(&session);
    let live = live.filter(|it| it.ended.is_none() && user.is_none_or(|user| it.user == *user));
    match live {
        None => Err(WireError::of(Code::NotFound)),
        Some(live) if live.sealed => Err(sealed("the session is sealed")),
        Some(_) => Ok(()),
    }
}

fn sealed(what: &str) -> WireError {
    let text = format!("{what}: the server cannot read where anybody is, nor tell who comes where");
    WireError::new(Code::WrongSealing, text)
}

fn text(name: Option<&UserName>) -> String {
    name.map_or(String::new(), |name| name.as_str().to_owned())
}

fn whose(row: &Row) -> UserName {
    row.descriptor().user.clone()
}

fn place(row: &Row) -> Option<Place> {
    match &row.newest()?.payload {
        Payload::Fix(fix) => Some(Place::of(fix)),
        Payload::Sealed(_) => None,
    }
}

fn info(book: &GeofenceBook, rule: &Rule) -> GeofenceInfo {
    let inside = book.inside(rule.id);
    let named = |id: SessionId| book.user_of(id).map(|user| (id, user.clone()));
    let shown = inside.iter().take(INSIDE_LISTED_MAX);
    GeofenceInfo {
        record: rule.record.clone(),
        inside_total: inside.len(),
        inside: shown
            .filter_map(|(session, other)| {
                Some(InsideInfo {
                    subject: named(*session)?,
                    other: other.and_then(named),
                })
            })
            .collect(),
    }
}

/// Of two with the same owner and name the later one stays.
fn key_of(record: &GeofenceRecord) -> (&str, &str) {
    (&record.owner, &record.name)
}
