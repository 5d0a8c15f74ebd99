//! Start, resume and extend: permissive, they act when their promise is durable and their row came
//! back from the log.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};
use skein_wire::limits::IDEMPOTENCY_KEY_BYTES_MAX;

use crate::caller::Caller;
use crate::command::Command;
use crate::control_state::KEY_KEPT_MS;
use crate::journal::{Entry, Started};
use crate::limits::BINDINGS_PER_SESSION_MAX;
use crate::naming_wait::NamingWait;
use crate::obligation::Purpose;
use crate::owner::{Extending, Key, Starting};
use crate::peer_message::{Answer, Bound, Message, Start, Target};
use crate::request::{ChatReply, SessionInfo};
use crate::rights::Rights;
use crate::session::Session;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Somebody wants a session.
    pub(super) fn start(&mut self, now: Timestamp, caller: Caller, start: Start) {
        if let Err(error) = self.try_start(now, caller, start) {
            self.answer_error(caller, error);
        }
    }

    fn try_start(&mut self, now: Timestamp, caller: Caller, start: Start) -> Result<(), WireError> {
        self.check_serving()?;
        let chat = self.chats.named(&start.chat);
        let who = (&start.user, start.claim);
        let judged = self.check_right(chat.unwrap_or_default(), who, Rights::SHARE);
        let Some(chat) = chat else {
            if !start.claim.has(Rights::SHARE) {
                return judged;
            }
            let (name, claim) = (start.chat.clone(), start.claim);
            let wait = NamingWait::Start { caller, start };
            return self.await_name(&name, claim, Rights::SHARE, wait);
        };
        judged?;
        self.check_sealing(chat, start.sealed)?;
        self.check_duration(start.duration_s)?;
        if start.idempotency_key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            let text = format!("an idempotency key has at most {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
            return Err(WireError::new(Code::BadRequest, text));
        }
        if let Some(session) = self.session_of_key(now, chat, &start)? {
            return self.start_again(now, caller, chat, &start.user, session);
        }
        self.check_room(now, chat, &start.user)?;
        let session = self.new_session_id(chat);
        let expires_at_ms = now.0 + u64::from(start.duration_s) * 1_000;
        let owner = self.chats.owner_mut(chat).ok_or(Self::not_found())?;
        let had_no_keys = owner.has_no_keys();
        if !start.idempotency_key.is_empty() {
            let key = Key {
                text: start.idempotency_key.clone(),
                session,
                duration_s: start.duration_s,
                sealed: start.sealed,
                kept_until_ms: expires_at_ms + KEY_KEPT_MS,
            };
            owner.remember_key(now, &start.user, key);
        }
        let command = Command::StartSession {
            chat: start.chat.as_str().to_owned(),
            session: session.0,
            user: start.user.as_str().to_owned(),
            started_at_ms: now.0,
            expires_at_ms,
            duration_s: start.duration_s,
            idempotency_key: start.idempotency_key.clone(),
            sealed: start.sealed,
        };
        let starting = Starting {
            start,
            started_at_ms: now.0,
            expires_at_ms,
            callers: vec![caller],
        };
        owner.starting.insert(session, starting);
        if had_no_keys {
            self.sweep_keys_later(now, chat);
        }
        self.propose(Some(chat), command, Purpose::Start { session }, Vec::new());
        Ok(())
    }

    /// The session that an idempotency key stands for already.
    fn session_of_key(
        &self,
        now: Timestamp,
        chat: ChatHandle,
        start: &Start,
    ) -> Result<Option<SessionId>, WireError> {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let key = owner.and_then(|owner| owner.key(now, &start.user, &start.idempotency_key));
        match key {
            None => Ok(None),
            Some(key) if key.duration_s == start.duration_s && key.sealed == start.sealed => {
                Ok(Some(key.session))
            }
            Some(_) => Err(WireError::of(Code::KeyReused)),
        }
    }

    fn start_again(
        &mut self,
        now: Timestamp,
        caller: Caller,
        chat: ChatHandle,
        user: &UserName,
        session: SessionId,
    ) -> Result<(), WireError> {
        let owner = self.chats.owner_mut(chat).ok_or(Self::not_found())?;
        if let Some(starting) = owner.starting.get_mut(&session) {
            if starting.callers.len() >= BINDINGS_PER_SESSION_MAX {
                return Err(WireError::of(Code::LimitReached));
            }
            starting.callers.push(caller);
            return Ok(());
        }
        let target = Target {
            chat,
            session,
            user: user.clone(),
        };
        // A session that is over and forgotten is over.
        match self.check_target(&target) {
            Ok(()) => {
                self.answer_session(now, caller, chat, session, true);
                Ok(())
            }
            Err(_) => Err(WireError::of(Code::SessionEnded)),
        }
    }

    fn check_room(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        user: &UserName,
    ) -> Result<(), WireError> {
        let limits = &self.config.limits;
        let (per_user, per_chat) = (limits.sessions_per_user_max, limits.sessions_per_chat_max);
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let owner = owner.ok_or(Self::not_found())?;
        if owner.sessions_count_of(user) >= per_user {
            let text = format!(
                "{user} has {per_user} live sessions here, the limit of a user; end one first"
            );
            return Err(WireError::new(Code::LimitReached, text));
        }
        if owner.sessions_count() >= per_chat {
            let text = format!("the chat has {per_chat} live sessions, its limit; end one first");
            return Err(WireError::new(Code::LimitReached, text));
        }
        if self.has_memory(now) {
            Ok(())
        } else {
            Err(WireError::of(Code::Busy))
        }
    }

    fn new_session_id(&mut self, chat: ChatHandle) -> SessionId {
        loop {
            let session = SessionId(self.random.next_u64());
            let known = self.chats.get(chat);
            let is_used = known.is_some_and(|chat| {
                chat.table.row(session).is_some()
                    || chat.owner().is_some_and(|owner| {
                        owner.starting.contains_key(&session)
                            || owner.sessions.contains_key(&session)
                    })
            });
            if session.0 != 0 && !is_used {
                return session;
            }
        }
    }

    /// The promise of a session is durable: it acts now.
    pub(super) fn start_committed(&mut self, now: Timestamp, chat: ChatHandle, id: SessionId) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let Some(owner) = known.owner_mut() else {
            return;
        };
        let Some(starting) = owner.starting.get(&id) else {
            return;
        };
        let user = starting.start.user.clone();
        let claim = starting.start.claim;
        let times_ms = (starting.started_at_ms, starting.expires_at_ms);
        let sealed = starting.start.sealed;
        if !known.rights_with(&user, claim).has(Rights::SHARE) {
            // Removed meanwhile. The removal may yet be superseded, so this end is promised by itself.
            self.start_failed(chat, id, &Self::not_found());
            self.promise_end(now, chat, id, user, None);
            return;
        }
        let closed = known.owner().is_some_and(|owner| owner.sealed_only);
        if closed && !sealed {
            // Sealed meanwhile.
            self.start_failed(chat, id, &Self::sealed_only());
            self.promise_end(now, chat, id, user, None);
            return;
        }
        let Some(slot) = known.table.reserve_slot() else {
            self.start_failed(chat, id, &WireError::of(Code::Busy));
            self.promise_end(now, chat, id, user, None);
            return;
        };
        let session = Session::new(now, user.clone(), times_ms, sealed);
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.sessions.insert(id, session);
        }
        self.stats.sessions_started += 1;
        self.stats.sessions_live += 1;
        let started = Started {
            slot,
            user,
            started_at_ms: times_ms.0,
            expires_at_ms: times_ms.1,
            sealed,
        };
        let session = id;
        self.append(chat, &Entry::Started { session, started });
        self.arm(chat, id);
    }

    /// A session will not start.
    pub(super) fn start_failed(&mut self, chat: ChatHandle, id: SessionId, error: &WireError) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let Some(starting) = owner.starting.remove(&id) else {
            return;
        };
        owner.forget_key(&starting.start.user, id);
        for caller in starting.callers {
            self.answer_error(caller, error.clone());
        }
    }

    /// A session's first row came back from the log: those who wait are told.
    pub(super) fn start_followed(&mut self, now: Timestamp, chat: ChatHandle, id: SessionId) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let Some(starting) = owner.starting.remove(&id) else {
            return;
        };
        for caller in starting.callers {
            self.answer_session(now, caller, chat, id, true);
        }
    }

    /// A connection wants to go on with a session of its user.
    pub(super) fn resume(
        &mut self,
        now: Timestamp,
        caller: Caller,
        chat: &ChatName,
        session: SessionId,
        (user, claim): (&UserName, Rights),
    ) {
        let chat = self.chats.named(chat).unwrap_or_default();
        let target = Target {
            chat,
            session,
            user: user.clone(),
        };
        let checked = self
            .check_serving()
            .and_then(|()| {
                self.check_end_shown(&target, claim)
                    .and_then(|()| self.check_target(&target))
                    .map_err(WireError::of)
            })
            .and_then(|()| self.check_right(chat, (user, claim), Rights::SHARE));
        match checked {
            Ok(()) => self.answer_session(now, caller, chat, session, true),
            Err(error) => self.answer_error(caller, error),
        }
    }

    /// Somebody wants a session to end later (or sooner).
    pub(super) fn extend(
        &mut self,
        now: Timestamp,
        caller: Caller,
        target: &Target,
        duration_s: u32,
    ) {
        let checked = self
            .check_serving()
            .and_then(|()| self.check_target(target).map_err(WireError::of))
            .and_then(|()| self.check_duration(duration_s));
        if let Err(error) = checked {
            self.answer_error(caller, error);
            return;
        }
        let Some(known) = self.chats.get(target.chat) else {
            self.answer_error(caller, Self::not_found());
            return;
        };
        let command = Command::ExtendSession {
            chat: known.name.as_str().to_owned(),
            session: target.session.0,
            expires_at_ms: now.0 + u64::from(duration_s) * 1_000,
            user: target.user.as_str().to_owned(),
        };
        let purpose = Purpose::Extend {
            session: target.session,
        };
        self.propose(Some(target.chat), command, purpose, vec![caller]);
    }

    /// The promise of a new end is durable: it acts now.
    pub(super) fn extend_committed(
        &mut self,
        chat: ChatHandle,
        id: SessionId,
        expires_at_ms: u64,
        callers: Vec<Caller>,
    ) {
        let live = self.chats.session_mut(chat, id);
        let Some(session) = live.filter(|session| session.ended.is_none()) else {
            for caller in callers {
                self.answer_error(caller, WireError::of(Code::SessionEnded));
            }
            return;
        };
        session.expires_at_ms = expires_at_ms;
        let user = session.user.clone();
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.keep_key(&user, id, expires_at_ms.saturating_add(KEY_KEPT_MS));
            owner.extending.push(Extending {
                session: id,
                expires_at_ms,
                callers,
            });
        }
        let session = id;
        self.append(
            chat,
            &Entry::Extended {
                session,
                expires_at_ms,
            },
        );
        self.arm(chat, id);
    }

    /// A new end came back from the log.
    pub(super) fn extend_followed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        expires_at_ms: u64,
    ) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let known = owner
            .extending
            .iter()
            .position(|it| it.session == id && it.expires_at_ms == expires_at_ms);
        let Some(extending) = known.map(|index| owner.extending.remove(index)) else {
            return;
        };
        for caller in extending.callers {
            self.answer_session(now, caller, chat, id, false);
        }
    }

    /// Answers with a session as it is; a connection is bound to it.
    pub(super) fn answer_session(
        &mut self,
        now: Timestamp,
        caller: Caller,
        chat: ChatHandle,
        id: SessionId,
        tells_demand: bool,
    ) {
        let demand_ms = self.chats.get(chat).map_or(0, |chat| chat.demand_ms());
        let Some(session) = self.chats.session_mut(chat, id) else {
            self.answer_error(caller, WireError::of(Code::SessionEnded));
            return;
        };
        match caller {
            Caller::Connection {
                shard, connection, ..
            } => {
                session.hear(now);
                session.bind(now, shard, connection);
                let bound = Bound {
                    chat,
                    session: id,
                    counter_last: session.window.last(),
                    expires_at_ms: session.expires_at_ms,
                    demand_ms: tells_demand.then_some(demand_ms),
                };
                self.answer(caller, Ok(Answer::Shared(bound)));
            }
            Caller::Api(request) => {
                let info = SessionInfo {
                    session: id,
                    user: session.user.clone(),
                    state: session.state,
                    started_at_ms: session.started_at_ms,
                    expires_at_ms: session.expires_at_ms,
                    sealed: session.sealed,
                    counter_last: session.window.last(),
                };
                self.reply(request, Ok(ChatReply::Session(info)));
            }
        }
    }

    /// Sends an answer to where its caller is.
    pub(super) fn answer(&mut self, caller: Caller, answer: Result<Answer, WireError>) {
        match (Self::shard_of(&caller), caller) {
            (Some(shard), _) => self.post(shard, Message::Answer { caller, answer }),
            (None, Caller::Api(request)) => match answer {
                Ok(Answer::Done { durable }) => {
                    self.reply(request, Ok(ChatReply::Done { durable }));
                }
                Ok(Answer::Changed {
                    durable,
                    version,
                    was_member,
                }) => {
                    let changed = ChatReply::Changed {
                        durable,
                        version,
                        was_member,
                    };
                    self.reply(request, Ok(changed));
                }
                Err(error) => self.reply(request, Err(error)),
                Ok(Answer::Shared(_)) => {}
            },
            (None, Caller::Connection { .. }) => {}
        }
    }

    pub(super) fn answer_error(&mut self, caller: Caller, error: WireError) {
        self.answer(caller, Err(error));
    }

    pub(super) fn check_serving(&self) -> Result<(), WireError> {
        if self.is_serving {
            Ok(())
        } else {
            Err(WireError::of(Code::Recovering))
        }
    }

    fn check_duration(&self, duration_s: u32) -> Result<(), WireError> {
        let max = self.config.limits.duration_s_max;
        if (1..=max).contains(&duration_s) {
            return Ok(());
        }
        let text = format!("a session has 1 to {max} seconds here, not {duration_s}");
        Err(WireError::new(Code::BadDuration, text))
    }

    /// A missing right looks like a missing chat, and takes the same look-ups.
    pub(super) fn check_right(
        &self,
        chat: ChatHandle,
        who: (&UserName, Rights),
        right: Rights,
    ) -> Result<(), WireError> {
        match self.chats.rights(chat, who).has(right) {
            true => Ok(()),
            false => Err(Self::not_found()),
        }
    }
}
