//! Chats that take sealed sessions only.
//!
//! Sealing a chat takes something away, so it acts at once: plain sessions end, plain starts are
//! refused, and the promise runs in parallel until it is made. Lifting it acts when it is durable.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::caller::Caller;
use crate::command::Command;

use crate::obligation::Purpose;
use crate::peer_message::Answer;
use crate::request::{Actor, ChatReply, ChatResult, ChatSettings};
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Makes a chat sealed, or lets it take plain sessions again.
    pub(super) fn seal_chat(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: &ChatName,
        sealed: bool,
    ) {
        if let Err(error) = self.check_serving() {
            self.answer_error(caller, error);
            return;
        }
        let chat = self.chats.named(name);
        if chat.is_none() && !sealed {
            self.answer_error(caller, Self::not_found());
            return;
        }
        if let (Some(chat), true) = (chat, sealed) {
            self.close_to_plain(now, chat);
        }
        let command = Command::SealChat {
            chat: name.as_str().to_owned(),
            sealed,
        };
        let order = self.propose(chat, command, Purpose::Seal { sealed }, vec![caller]);
        if let Some(owner) = chat.and_then(|chat| self.chats.owner_mut(chat)) {
            owner.seals.push((order, sealed));
        }
    }

    /// The promise is durable.
    pub(super) fn seal_committed(
        &mut self,
        now: Timestamp,
        order: u64,
        chat: ChatHandle,
        sealed: bool,
        callers: Vec<Caller>,
    ) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        // What was asked for before it, and is no promise yet, would undo it later.
        let older: Vec<u64> = owner.seals_before(order).collect();
        owner.seals.retain(|(other, _)| *other > order);
        let closes_later = owner.seals.iter().any(|(_, sealed)| *sealed);
        for order in older {
            let superseded = self.obligations.remove(&order);
            for caller in superseded.into_iter().flat_map(|it| it.callers) {
                self.answer(caller, Ok(Answer::Done { durable: false }));
            }
        }
        if sealed {
            self.close_to_plain(now, chat);
        } else if let Some(owner) = self.chats.owner_mut(chat) {
            owner.sealed_only = closes_later;
        }
        for caller in callers {
            self.answer(caller, Ok(Answer::Done { durable: true }));
        }
    }

    /// The promise was refused. Sealing has acted and is asked for again; lifting it is over.
    pub(super) fn seal_rejected(&mut self, order: u64, chat: Option<ChatHandle>) {
        if let Some(owner) = chat.and_then(|chat| self.chats.owner_mut(chat)) {
            owner.seals.retain(|(other, _)| *other != order);
        }
    }

    /// Whether something newer about the chat's sealing is on its way through the control log.
    pub(super) fn has_newer_seal_in_flight(&self, order: u64, chat: Option<ChatHandle>) -> bool {
        self.obligations.range(order + 1..).any(|(_, newer)| {
            newer.chat == chat
                && newer.in_flight.is_some()
                && matches!(newer.purpose, Purpose::Seal { .. })
        })
    }

    /// From now on no plain session begins or goes on. Their ends are promises of their own, asked
    /// for before the chat's.
    pub(super) fn close_to_plain(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        owner.sealed_only = true;
        owner.geofences.clear();
        for (session, user) in owner.plain_sessions() {
            self.stop_plain(now, chat, session, user);
        }
    }

    fn stop_plain(&mut self, now: Timestamp, chat: ChatHandle, session: SessionId, user: UserName) {
        self.end(now, chat, session, SessionState::Stopped);
        self.promise_end(now, chat, session, user, None);
    }

    /// Whether a session of this kind may begin in the chat.
    pub(super) fn check_sealing(&self, chat: ChatHandle, sealed: bool) -> Result<(), WireError> {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        match owner {
            Some(owner) if owner.sealed_only && !sealed => Err(Self::sealed_only()),
            _ => Ok(()),
        }
    }

    pub(super) fn sealed_only() -> WireError {
        let text = "this chat takes sealed sessions only; start one that is sealed";
        WireError::new(Code::WrongSealing, text)
    }

    /// What is set for a chat, as far as its members are concerned by it: all of it.
    pub(super) fn settings(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let chat = self.visible(name, actor, Rights::NONE)?;
        let sealed = chat.owner().is_some_and(|owner| owner.sealed_only);
        Ok(ChatReply::Settings(ChatSettings { sealed }))
    }
}
