//! Relays among the connections: they learn who the members of a chat are, and answer each change.
//!
//! A relay judges its own viewers, so a change of rights has acted only when the relay says that it has
//! applied it: a fence is passed only then. One that does not say so in time is cut, and shows nothing
//! that comes later.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, RequestNumber, UserName};
use skein_wire::limits::MEMBERS_PER_FRAME_MAX;
use skein_wire::request::{MembersAsk, MembersSeen};
use skein_wire::update::{Members, Update};

use crate::ids::{ConnectionId, PartitionId};
use crate::limits::FENCE_MS_MAX;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;
use crate::unseen_change::UnseenChange;

impl Shard {
    /// A relay asks for members of a chat that it watches.
    pub(super) fn members_asked(&mut self, connection: ConnectionId, ask: &MembersAsk) {
        if !self.is_relay_of(connection, ask.chat) {
            self.refuse(connection, ask.request, WireError::of(Code::UnknownWatch));
            return;
        }
        let Some(known) = self.chats.get(ask.chat) else {
            return;
        };
        let mut behind = known.members.after(ask.after.as_ref());
        let page = behind.by_ref().take(MEMBERS_PER_FRAME_MAX);
        let members: Vec<(UserName, u8)> = page
            .map(|(user, rights)| (user.clone(), rights.bits()))
            .collect();
        let more = behind.next().is_some();
        drop(behind);
        let members = Members {
            request: ask.request,
            chat: ask.chat,
            offset: known.table.as_of(),
            more,
            members,
        };
        self.frame(connection, Update::Members(members));
    }

    /// A relay has applied the changes of a chat up to an offset.
    pub(super) fn members_seen(&mut self, connection: ConnectionId, seen: MembersSeen) {
        if let Some(unseen) = self.relays.get_mut(&connection) {
            unseen.retain(|it| it.chat != seen.chat || it.offset > seen.offset);
            self.check_fences_of(seen.chat);
        }
    }

    /// A user's rights in a chat have changed: the relays that watch it are told.
    pub(super) fn tell_relays(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        user: &UserName,
        rights: Rights,
        offset: u64,
    ) {
        let relays = self.relays.keys().copied();
        let watching: Vec<ConnectionId> = relays.filter(|it| self.is_relay_of(*it, chat)).collect();
        for connection in watching {
            let members = Members {
                request: RequestNumber(0),
                chat,
                offset,
                more: false,
                members: vec![(user.clone(), rights.bits())],
            };
            self.frame(connection, Update::Members(members));
            let until = now.plus_ms(FENCE_MS_MAX);
            let unseen = UnseenChange {
                chat,
                offset,
                until,
            };
            self.relays.entry(connection).or_default().push(unseen);
            self.wheel.set(until, Timer::RelayLate(connection));
        }
    }

    /// A relay may be late with its answer.
    pub(super) fn relay_late(&mut self, now: Timestamp, connection: ConnectionId) {
        let unseen = self.relays.get(&connection);
        if unseen.is_some_and(|unseen| unseen.iter().any(|it| it.until <= now)) {
            self.stats.relays_late += 1;
            let text = "the relay has not applied a change of members in time; connect again";
            self.close(now, connection, WireError::new(Code::Deadline, text));
        }
    }

    /// A connection is gone: nothing more reaches its viewers.
    pub(super) fn forget_relay(&mut self, connection: ConnectionId) {
        for unseen in self.relays.remove(&connection).into_iter().flatten() {
            self.check_fences_of(unseen.chat);
        }
    }

    /// Whether a relay of this shard watches a chat.
    pub(super) fn has_relay_of(&self, chat: ChatHandle) -> bool {
        let mut relays = self.relays.keys();
        relays.any(|connection| self.is_relay_of(*connection, chat))
    }

    /// Whether all relays of this shard have applied what they were told of a chat up to an offset.
    pub(super) fn relays_have_seen(&self, chat: ChatHandle, offset: u64) -> bool {
        let mut unseen = self.relays.values().flatten();
        !unseen.any(|it| it.chat == chat && it.offset <= offset)
    }

    fn is_relay_of(&self, connection: ConnectionId, chat: ChatHandle) -> bool {
        let known = self.connections.get(&connection);
        known.is_some_and(|it| it.person.is_relay() && it.watches.contains_key(&chat))
    }

    fn check_fences_of(&mut self, chat: ChatHandle) {
        let partition: Option<PartitionId> = self.chats.get(chat).map(|known| known.partition);
        if let Some(partition) = partition {
            self.check_fences(partition);
        }
    }
}
