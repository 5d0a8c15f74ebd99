//! Ends of sessions: restrictive, they act in the pass that learns of them; their promise runs in
//! parallel and is repeated until it is made.

use skein_wire::error::Code;
use skein_wire::error::WireError;
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::caller::Caller;
use crate::command::Command;
use crate::journal::Entry;
use crate::obligation::Purpose;
use crate::peer_message::{Answer, Message, Target};
use crate::shard::Shard;
use crate::time::Timestamp;

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
            None => self.answer(caller, Ok(Answer::Done { durable: true })),
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
        };
        let purpose = Purpose::End { session: id, user };
        let callers = caller.into_iter().collect();
        let order = self.propose(Some(chat), command, purpose, callers);
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.ending.insert(id, order);
        }
    }

    /// The last row of a session came back from the log. Everything before it did, so that this is
    /// the moment to tell its senders the last they will hear of it.
    pub(super) fn end_followed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        state: SessionState,
    ) {
        self.acknowledge(now, chat, id, Timestamp::NEVER, Counter(0));
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let Some(session) = owner.sessions.remove(&id) else {
            return;
        };
        for binding in session.bindings {
            let message = Message::ShareEnded {
                connection: binding.connection,
                session: id,
                state,
            };
            self.post(binding.shard, message);
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
        if session.life_timer_at != at {
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
