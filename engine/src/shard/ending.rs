//! Ends of sessions: restrictive, they act in the pass that learns of them; their promise runs in
//! parallel and is repeated until it is made.

use skein_wire::error::Code;
use skein_wire::error::WireError;
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::caller::Caller;
use crate::command::Command;
use crate::journal::Entry;
use crate::limits::DURABLE_LAST_MS_MAX;
use crate::obligation::Purpose;
use crate::peer_message::{Answer, Message, Target};
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// Somebody ends a session. Ending one that is over is met too.
    pub(super) fn stop(&mut self, now: Timestamp, caller: Caller, target: &Target) {
        if let Err(error) = self.check_serving() {
            self.answer_error(caller, error);
            return;
        }
        match self.check_target(target) {
            Ok(()) => {
                self.end(now, target.chat, target.session, SessionState::Stopped);
                let user = target.user.clone();
                self.promise_end(now, target.chat, target.session, user, Some(caller));
            }
            Err(Code::SessionEnded) => self.stop_again(caller, target),
            Err(code) => self.answer_error(caller, WireError::of(code)),
        }
    }

    /// An end is repeated: it is met when its promise is made.
    fn stop_again(&mut self, caller: Caller, target: &Target) {
        let owner = self.chats.owner_mut(target.chat);
        let order = owner.and_then(|owner| owner.ending.get(&target.session).copied());
        match order.and_then(|order| self.obligations.get_mut(&order)) {
            Some(obligation) => obligation.callers.push(caller),
            None => self.answer_end(target.chat, target.session, caller, true),
        }
    }

    /// An end is met. A connection hears of it after the last acknowledgement of its points.
    pub(super) fn answer_end(
        &mut self,
        chat: ChatHandle,
        id: SessionId,
        caller: Caller,
        durable: bool,
    ) {
        let session = self.chats.session_mut(chat, id);
        match session.filter(|session| session.owes_durable()) {
            Some(session) if matches!(caller, Caller::Connection { .. }) => {
                session.end_callers.push((caller, durable));
            }
            _ => self.answer(caller, Ok(Answer::Done { durable })),
        }
    }

    /// Ends a live session now: no further point, and its last row on the way to the log.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        why: SessionState,
    ) {
        let live = self.chats.session_mut(chat, id);
        let Some(session) = live.filter(|session| session.ended.is_none()) else {
            return;
        };
        session.ended = Some(why);
        session.state = why;
        if session.owes_durable() {
            let (at, session) = (now.plus_ms(DURABLE_LAST_MS_MAX), id);
            self.wheel.set(at, Timer::EndTold { chat, session });
        }
        match why {
            SessionState::Expired => self.stats.sessions_expired += 1,
            SessionState::Revoked => self.stats.sessions_revoked += 1,
            _ => self.stats.sessions_stopped += 1,
        }
        self.stats.sessions_live = self.stats.sessions_live.saturating_sub(1);
        let ended = Entry::Ended {
            session: id,
            state: why,
            at_ms: now.0,
        };
        self.forget_at_geofences(chat, id);
        self.append(chat, &ended);
    }

    /// Proposes the end of a session, which has acted already.
    pub(super) fn promise_end(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        user: UserName,
        caller: Option<Caller>,
    ) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let session = known.owner().and_then(|owner| owner.sessions.get(&id));
        let row = known.table.row(id).map(|row| row.state().state);
        let why = session
            .and_then(|session| session.ended)
            .or(row.filter(|state| state.is_ended()))
            .unwrap_or(SessionState::Stopped);
        let command = Command::EndSession {
            chat: known.name.as_str().to_owned(),
            session: id.0,
            state: why as u8,
            at_ms: now.0,
            user: user.as_str().to_owned(),
        };
        let purpose = Purpose::End { session: id, user };
        let callers = caller.into_iter().collect();
        let order = self.propose(Some(chat), command, purpose, callers);
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.ending.insert(id, order);
        }
    }

    /// The last row of a session came back from the log. Everything before it did, so that this is
    /// the moment to tell its senders the last they will hear of it, unless points that are to be
    /// durable are not yet.
    pub(super) fn end_followed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        state: SessionState,
    ) {
        self.acknowledge(now, chat, id, Timestamp::NEVER, Counter(0));
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        session.end_followed = Some(state);
        // What has not come back by now was dropped on the way.
        session.durable_marks.clear();
        if !session.owes_durable() {
            self.tell_end(chat, id);
        }
    }

    /// A durable acknowledgement of a session is out; if it was the last one of an ended session,
    /// the end is told.
    pub(super) fn durable_told(&mut self, chat: ChatHandle, id: SessionId) {
        let session = self.chats.session_mut(chat, id);
        if session.is_some_and(|it| it.end_followed.is_some() && !it.owes_durable()) {
            self.tell_end(chat, id);
        }
    }

    /// Tells of a session's end; one whose last row is here is forgotten then.
    pub(super) fn tell_end(&mut self, chat: ChatHandle, id: SessionId) {
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        // It waits no longer, for whatever may still come.
        session.durable_marks.clear();
        session.durable_waits = 0;
        let callers = std::mem::take(&mut session.end_callers);
        if let Some(state) = session.end_followed
            && let Some(owner) = self.chats.owner_mut(chat)
            && let Some(session) = owner.sessions.remove(&id)
        {
            for binding in session.bindings {
                let message = Message::ShareEnded {
                    connection: binding.connection,
                    session: id,
                    state,
                };
                self.post(binding.shard, message);
            }
            for wait in session.api_waits {
                self.reply(wait.request, Err(WireError::of(Code::NotDurable)));
            }
        }
        for (caller, durable) in callers {
            self.answer(caller, Ok(Answer::Done { durable }));
        }
    }

    /// A session may have expired or grown stale.
    pub(super) fn life_due(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        at: Timestamp,
    ) {
        let stale_after_ms = self.admission.stale_after_ms;
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        if session.life_timer_at != at || session.ended.is_some() {
            return;
        }
        session.life_timer_at = Timestamp::NEVER;
        if session.expires_at_ms <= now.0 {
            let user = session.user.clone();
            self.end(now, chat, id, SessionState::Expired);
            self.promise_end(now, chat, id, user, None);
            return;
        }
        if let Some(entry) = session.grow_stale(now, id, stale_after_ms) {
            self.append(chat, &entry);
        }
        self.arm(chat, id);
    }
}
