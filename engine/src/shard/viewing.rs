//! Who sees me: present viewers of a session, and the beginnings and ends of views for a record of them.

use skein_wire::error::WireError;
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};

use crate::ids::{ConnectionId, ViewId};
use crate::limits::VIEWERS_LISTED_MAX;
use crate::output::Output;
use crate::request::{Actor, ChatReply, ChatResult};
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::view::{View, ViewBegun, Viewers};

/// Bits of a view's number below the shard's.
const VIEW_BITS: u32 = 48;

impl Shard {
    /// A live session, for its sharer and for operators: a session of somebody else looks like one that
    /// is not there, and to a former member all do.
    pub(super) fn own_session(&self, name: &ChatName, id: SessionId, actor: &Actor) -> ChatResult {
        self.visible(name, actor, Rights::NONE)?;
        let target = self.api_target(name, id, actor)?;
        self.check_target(&target).map_err(WireError::of)?;
        let chat = self.chats.get(target.chat).ok_or(Self::not_found())?;
        let row = chat.table.row(id).ok_or(Self::not_found())?;
        Ok(ChatReply::Session(Self::info_of(chat, row)))
    }

    /// The same for who reads the record, which also knows sessions that are over.
    pub(super) fn audit(&self, name: &ChatName, id: SessionId, actor: &Actor) -> ChatResult {
        self.visible(name, actor, Rights::NONE)?;
        let live = match self.own_session(name, id, actor) {
            Ok(ChatReply::Session(info)) => Some(info),
            _ => None,
        };
        Ok(ChatReply::Audit(live))
    }

    /// Those who see a session through this shard, except its own user.
    pub(super) fn viewers(
        &self,
        name: &ChatName,
        session: SessionId,
        except: &UserName,
    ) -> Viewers {
        let mut viewers = Viewers::default();
        let Some(chat) = self.chats.named(name) else {
            return viewers;
        };
        if let Some(owner) = self.chats.get(chat).and_then(|chat| chat.owner()) {
            let looks = owner.looks.of(self.now, session);
            let looks = looks.filter(|(user, _)| *user != except);
            viewers.looked = looks.map(|(user, at)| (user.clone(), at.0)).collect();
        }
        let own = self.views_of(except, chat, session);
        viewers.total = self.fan_out.count_of(chat, session).saturating_sub(own);
        let connections = self.fan_out.connections_of(chat, session);
        let others = connections.filter_map(|connection| {
            let known = self.connections.get(&connection)?;
            let user = &known.person.user;
            let watch = known.watches.get(&chat).filter(|_| user != except)?;
            Some((user.clone(), watch.since.0))
        });
        viewers.listed = others.take(VIEWERS_LISTED_MAX).collect();
        viewers
    }

    /// How many connections of a user are shown a session.
    fn views_of(&self, user: &UserName, chat: ChatHandle, session: SessionId) -> u64 {
        let connections = self.users.get(user).into_iter().flat_map(|it| it.iter());
        let is_shown = |connection: &ConnectionId| {
            let known = self.connections.get(connection);
            let watch = known.and_then(|known| known.watches.get(&chat));
            watch.is_some_and(|watch| self.fan_out.shows(watch.viewer, session))
        };
        connections.filter(is_shown).count() as u64
    }

    /// A watch begins to show something; gives the number of the view, if a record is kept.
    pub(super) fn begin_view(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        chat: ChatHandle,
        session: Option<SessionId>,
    ) -> ViewId {
        let known = self.connections.get(&connection).zip(self.chats.get(chat));
        let Some((connection, chat)) = known.filter(|_| self.config.limits.views_recorded) else {
            return ViewId::default();
        };
        let (chat, user) = (chat.name.clone(), connection.person.user.clone());
        self.view(now, chat, user, session)
    }

    fn view(
        &mut self,
        now: Timestamp,
        chat: ChatName,
        user: UserName,
        session: Option<SessionId>,
    ) -> ViewId {
        self.view_last += 1;
        let view = ViewId(u64::from(self.config.shard.0) << VIEW_BITS | self.view_last);
        let begun = ViewBegun {
            view,
            chat,
            user,
            session,
            at_ms: now.0,
        };
        self.emit(Output::View(View::Begun(begun)));
        view
    }

    /// And shows no more.
    pub(super) fn end_view(&mut self, now: Timestamp, view: ViewId) {
        if view != ViewId::default() {
            let at_ms = now.0;
            self.emit(Output::View(View::Ended { view, at_ms }));
        }
    }

    /// Whether it is recorded when this one looks for a moment: operators are in no record.
    pub(super) fn records_glance(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::User(_)) && self.config.limits.views_recorded
    }

    /// Somebody was shown everybody's positions, for a moment.
    pub(super) fn glance(&mut self, now: Timestamp, chat: &ChatName, actor: &Actor) {
        let Actor::User(person) = actor else {
            return;
        };
        let session = person.guest().and_then(|grant| grant.session);
        let handle = self.chats.named(chat).unwrap_or_default();
        if let Some(owner) = self.chats.owner_mut(handle) {
            owner.looks.note(now, &person.user, session);
        }
        if self.records_glance(actor) {
            let view = self.view(now, chat.clone(), person.user.clone(), session);
            self.end_view(now, view);
        }
    }
}
