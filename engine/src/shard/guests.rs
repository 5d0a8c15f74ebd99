//! Links for guests: made and revoked like memberships, and counted by the owner of the chat.
//!
//! Every watch of a guest asks the owner for a place before it begins, and gives it back when it ends,
//! whatever shard it is on. So the owner knows who looks through a link now, and can bound it.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, SessionId};
use skein_wire::request::Watch;

use crate::caller::Caller;
use crate::command::Command;
use crate::guest::{GuestRecord, guest_user};
use crate::ids::{ConnectionId, GuestId, ShardId};
use crate::limits::{GUESTS_PER_CHAT_MAX, LINK_LINGER_MS};
use crate::peer_message::Message;
use crate::request::{ChatReply, ChatResult, GuestInfo};
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// Makes a link. It is good when it is durable.
    pub(super) fn put_guest(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: &ChatName,
        guest: GuestId,
        record: GuestRecord,
    ) {
        let chat = match self.check_guest(now, name, &record) {
            Ok(chat) => chat,
            Err(error) => {
                self.answer_error(caller, error);
                return;
            }
        };
        let command = Command::PutGuest {
            chat: name.as_str().to_owned(),
            guest: guest.0,
            record,
        };
        let change = (guest_user(guest), Rights::WATCH);
        self.change_known_member(now, vec![caller], chat, change, command);
    }

    /// The chat of a link that may be made.
    fn check_guest(
        &self,
        now: Timestamp,
        name: &ChatName,
        record: &GuestRecord,
    ) -> Result<ChatHandle, WireError> {
        self.check_serving()?;
        let handle = self.chats.named(name).ok_or(Self::not_found())?;
        let chat = self.chats.get(handle).ok_or(Self::not_found())?;
        let owner = chat.owner().ok_or(Self::not_found())?;
        let is_there = |session| chat.table.row(session).is_some_and(|row| !row.is_ended());
        if record.session != 0 && !is_there(SessionId(record.session)) {
            return Err(Self::not_found());
        }
        if record.expires_at_ms <= now.0 {
            return Err(WireError::of(Code::BadDuration));
        }
        let live = owner.guests.values();
        if live.filter(|it| it.expires_at_ms > now.0).count() >= GUESTS_PER_CHAT_MAX {
            let text =
                format!("the chat has {GUESTS_PER_CHAT_MAX} links, its limit; revoke one first");
            return Err(WireError::new(Code::LimitReached, text));
        }
        Ok(handle)
    }

    /// Ends a link: whoever looks through it is cut off at once.
    pub(super) fn remove_guest(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: &ChatName,
        guest: GuestId,
    ) {
        if let Err(error) = self.check_serving() {
            self.answer_error(caller, error);
            return;
        }
        let chat = self.chats.named(name).filter(|chat| {
            let owner = self.chats.get(*chat).and_then(|chat| chat.owner());
            owner.is_some_and(|owner| owner.guests.contains_key(&guest))
        });
        let Some(chat) = chat else {
            self.answer_error(caller, Self::not_found());
            return;
        };
        self.end_link(now, (chat, name), guest, vec![caller]);
    }

    fn end_link(
        &mut self,
        now: Timestamp,
        (chat, name): (ChatHandle, &ChatName),
        guest: GuestId,
        callers: Vec<Caller>,
    ) {
        let command = Command::RemoveGuest {
            chat: name.as_str().to_owned(),
            guest: guest.0,
        };
        let change = (guest_user(guest), Rights::NONE);
        self.change_known_member(now, callers, chat, change, command);
    }

    /// Ends the links of a chat that have nothing to show any more, because their time is over or their session is
    /// forgotten: neither they nor the notes about them stay in the control log.
    pub(super) fn end_links(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let Some(owner) = known.owner() else {
            return;
        };
        let is_there =
            |session| owner.sessions.contains_key(&session) || known.table.row(session).is_some();
        let is_over = |record: &GuestRecord| {
            link_end(record) <= now || (record.session != 0 && !is_there(SessionId(record.session)))
        };
        let links = owner.guests.iter();
        let over = links.filter(|(guest, it)| is_over(it) && !owner.ending_links.contains(*guest));
        let over: Vec<GuestId> = over.map(|(guest, _)| *guest).collect();
        let name = known.name.clone();
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.ending_links.extend(&over);
        }
        for guest in over {
            self.end_link(now, (chat, &name), guest, Vec::new());
        }
    }

    /// After a restart: when links end. Those that have are looked at a little later: by then a session that was being
    /// started is there.
    pub(super) fn take_up_links(&mut self, now: Timestamp, chat: ChatHandle) {
        let owner = self.chats.get(chat).and_then(|chat| chat.owner());
        let links = owner.into_iter().flat_map(|owner| owner.guests.values());
        let soon = now.plus_ms(LINK_LINGER_MS);
        let ends: Vec<Timestamp> = links
            .flat_map(|link| [soon, link_end(link).max(soon)])
            .collect();
        for end in ends {
            self.wheel.set(end, Timer::Links(chat));
        }
    }

    /// A link, or its end, is durable. Links whose time is over go with it, as the control log says.
    pub(super) fn guest_committed(&mut self, chat: ChatHandle, command: &Command) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        match command {
            Command::PutGuest { guest, record, .. } => {
                let is_over = |it: &GuestRecord| it.expires_at_ms <= record.created_at_ms;
                let all = owner.guests.iter();
                let over: Vec<GuestId> = all
                    .filter(|(_, it)| is_over(it))
                    .map(|(id, _)| *id)
                    .collect();
                owner.guests.retain(|_, it| !is_over(it));
                owner.guests.insert(GuestId(*guest), record.clone());
                self.wheel.set(link_end(record), Timer::Links(chat));
                for guest in over {
                    self.append_rights(chat, &guest_user(guest), Rights::NONE);
                }
            }
            Command::RemoveGuest { guest, .. } => {
                owner.guests.remove(&GuestId(*guest));
                owner.ending_links.remove(&GuestId(*guest));
            }
            _ => {}
        }
    }

    /// The links of a chat whose time is not over.
    pub(super) fn guests(&self, now: Timestamp, name: &ChatName) -> ChatResult {
        let chat = self.chats.named(name).and_then(|chat| self.chats.get(chat));
        let owner = chat
            .and_then(|chat| chat.owner())
            .ok_or(Self::not_found())?;
        let live = owner
            .guests
            .iter()
            .filter(|(_, it)| it.expires_at_ms > now.0);
        let info = |(guest, record): (&GuestId, &GuestRecord)| GuestInfo {
            guest: *guest,
            viewers: owner.guest_viewers.get(guest).copied().unwrap_or(0),
            record: record.clone(),
        };
        Ok(ChatReply::Guests(live.map(info).collect()))
    }

    /// Whether a watch has to ask for a place first, which it does here.
    pub(super) fn asks_for_place(
        &mut self,
        connection: ConnectionId,
        chat: ChatHandle,
        watch: &Watch,
    ) -> bool {
        let owner = self.owner_of_name(&watch.chat);
        let Some(known) = self.connections.get_mut(&connection) else {
            return false;
        };
        let Some(guest) = known.person.guest().map(|grant| grant.guest) else {
            return false;
        };
        if known.has_place {
            return false;
        }
        known.asking += 1;
        self.row_ask_last += 1;
        let ask = self.row_ask_last;
        self.row_asks.insert(ask, (connection, watch.clone()));
        self.post(owner, Message::PlaceAsk { ask, chat, guest });
        true
    }

    /// A watch of a guest wants a place.
    pub(super) fn place_asked(
        &mut self,
        from: ShardId,
        ask: u64,
        chat: ChatHandle,
        guest: GuestId,
    ) {
        let judged = self.take_place(chat, guest);
        self.post(
            from,
            Message::PlaceAt {
                ask,
                chat,
                guest,
                judged,
            },
        );
    }

    fn take_place(&mut self, chat: ChatHandle, guest: GuestId) -> Result<(), Code> {
        let known = self.chats.get(chat).ok_or(Code::NotFound)?;
        let rights = known.rights(&guest_user(guest));
        if !rights.watches() {
            return Err(Code::NotFound);
        }
        let owner = self.chats.owner_mut(chat).ok_or(Code::NotFound)?;
        let record = owner.guests.get(&guest).ok_or(Code::NotFound)?;
        let viewers = owner.guest_viewers.entry(guest).or_default();
        if record.viewers_max != 0 && *viewers >= record.viewers_max {
            return Err(Code::LimitReached);
        }
        *viewers += 1;
        Ok(())
    }

    /// The owner has judged a watch of a guest.
    pub(super) fn place_judged(
        &mut self,
        now: Timestamp,
        owner: ShardId,
        ask: u64,
        (chat, guest): (ChatHandle, GuestId),
        judged: Result<(), Code>,
    ) {
        let Some((connection, watch)) = self.row_asks.remove(&ask) else {
            // The connection is gone; its place goes back.
            if judged.is_ok() {
                self.post(owner, Message::PlaceBack { chat, guest });
            }
            return;
        };
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.asking = known.asking.saturating_sub(1);
        let had_place = known.has_place;
        known.has_place |= judged.is_ok();
        match judged {
            Ok(()) if !had_place => {}
            // It asked twice before the first answer came: it keeps one place.
            Ok(()) => self.post(owner, Message::PlaceBack { chat, guest }),
            Err(Code::LimitReached) if had_place => {}
            Err(code) => {
                self.refuse(connection, watch.request, WireError::of(code));
                return;
            }
        }
        self.watch(now, connection, watch);
        let known = self.connections.get(&connection);
        if known.is_some_and(|known| !known.watches.contains_key(&chat)) {
            self.give_place_back(connection, chat);
        }
    }

    /// A watch of this connection is over; if it is a guest's, its place goes back.
    pub(super) fn give_place_back(&mut self, connection: ConnectionId, chat: ChatHandle) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        if !std::mem::take(&mut known.has_place) {
            return;
        }
        let grant = known.person.guest();
        if let Some((guest, name)) = grant.map(|grant| (grant.guest, grant.chat.clone())) {
            let owner = self.owner_of_name(&name);
            self.post(owner, Message::PlaceBack { chat, guest });
        }
    }

    /// A watch of a guest is over.
    pub(super) fn place_back(&mut self, chat: ChatHandle, guest: GuestId) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        if let Some(viewers) = owner.guest_viewers.get_mut(&guest) {
            *viewers = viewers.saturating_sub(1);
            if *viewers == 0 {
                owner.guest_viewers.remove(&guest);
            }
        }
    }
}

/// When a link is ended whose time is over.
fn link_end(record: &GuestRecord) -> Timestamp {
    Timestamp(record.expires_at_ms).plus_ms(LINK_LINGER_MS)
}
