//! Following the log: the only thing that changes tables and members, on owner and mirror alike.

use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};

use crate::ids::PartitionId;
use crate::journal::{Entry, kind};
use crate::partition::DurableWaiter;
use crate::record::RawRecord;
use crate::request::ChatReply;
use crate::rights::Rights;
use crate::session::ApiWait;
use crate::shard::Shard;
use crate::table::Applied;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// The next record of a partition that this shard owns or was asked to follow. Offsets come in
    /// order; one that was seen before changes nothing.
    pub fn follow(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        epoch: u32,
        offset: u64,
        time_ms: u64,
        record: RawRecord<'_>,
    ) {
        self.tick(now);
        let Some(state) = self.partition(partition) else {
            return;
        };
        if !state.is_followed || offset <= state.followed {
            return;
        }
        state.followed = offset;
        let is_owned = state.is_owned;
        if is_owned {
            state.outstanding = state.outstanding.saturating_sub(1);
        }
        let is_awaited = state.is_awaited();
        if state.note_epoch(epoch, offset) {
            self.enter_epoch(partition, epoch);
        }
        self.stats.records_followed += 1;
        if record.kind >= kind::CHECKPOINT_BEGIN {
            if is_owned {
                self.checkpoint_followed(partition, offset, &record);
            }
        } else {
            self.follow_chat(now, partition, offset, time_ms, &record);
        }
        if is_awaited {
            self.check_waits(now, partition);
        }
        self.settle(now);
    }

    /// A record of a stretch that was asked for with [`crate::output::Output::Reread`].
    pub fn follow_reread(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        offset: u64,
        time_ms: u64,
        record: RawRecord<'_>,
    ) {
        self.tick(now);
        if record.kind < kind::CHECKPOINT_BEGIN {
            match Entry::decode(&record) {
                Ok(entry) => self.assemble(partition, record.key, (offset, time_ms), &entry),
                Err(_) => self.stats.records_strange += 1,
            }
        }
        self.settle(now);
    }

    /// The caller does not have the record that it was asked to append: the disk is full. Only live
    /// points and heartbeats may be dropped; everything else is kept by the caller and appended, in
    /// order, when there is room.
    pub fn handle_dropped(&mut self, partition: PartitionId) {
        if let Some(state) = self.partition(partition) {
            state.outstanding = state.outstanding.saturating_sub(1);
        }
    }

    fn enter_epoch(&mut self, partition: PartitionId, epoch: u32) {
        for chat in self.chats.handles(|chat| chat.partition == partition) {
            if let Some(chat) = self.chats.get_mut(chat) {
                chat.table.set_epoch(epoch);
            }
        }
    }

    fn follow_chat(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        offset: u64,
        time_ms: u64,
        record: &RawRecord<'_>,
    ) {
        let chat = ChatHandle(record.key);
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        if known.partition != partition || !known.is_following() {
            return;
        }
        match Entry::decode(record) {
            Ok(entry) => self.apply(now, chat, offset, time_ms, &entry),
            Err(_) => self.stats.records_strange += 1,
        }
    }

    fn apply(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        offset: u64,
        time_ms: u64,
        entry: &Entry,
    ) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if offset <= known.table.as_of() {
            return;
        }
        let applied = known.table.apply(offset, time_ms, entry);
        let is_owned = known.owner().is_some();
        if applied.any() {
            self.fan_out.mark_changed(chat);
        }
        if matches!(applied, Applied::Ended(_)) && known.table.tombstones() == 1 {
            self.forget_later(chat);
        }
        match entry {
            Entry::MemberPut { user, rights } => {
                let rights = Rights::from_bits(*rights);
                self.member_followed(now, chat, user, rights, offset, is_owned);
            }
            Entry::MemberRemoved { user } => {
                self.member_followed(now, chat, user, Rights::NONE, offset, is_owned);
            }
            Entry::Crossed { session, crossed } => {
                self.crossing_followed(chat, offset, *session, crossed);
            }
            _ if is_owned => self.own_followed(now, chat, offset, entry),
            _ => {}
        }
    }

    pub(super) fn member_followed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        user: &UserName,
        rights: Rights,
        offset: u64,
        is_owned: bool,
    ) {
        if let Some(known) = self.chats.get_mut(chat) {
            known.members.put(user, rights);
        }
        self.tell_relays(now, chat, user, rights, offset);
        if !rights.watches() {
            self.revoke_watches(now, chat, user);
        }
        self.regrade_watches(now, chat, user);
        if is_owned {
            self.rights_followed(now, chat, user, rights, offset);
        }
    }

    /// What the owner does when a record of a session came back.
    fn own_followed(&mut self, now: Timestamp, chat: ChatHandle, offset: u64, entry: &Entry) {
        match entry {
            Entry::Point { session, point } => {
                if let Some(known) = self.chats.session_mut(chat, *session) {
                    known.followed = known.followed.max(point.counter);
                }
                self.point_followed(chat, *session, point.counter, offset);
            }
            Entry::HistoricalPoint { session, point } => {
                if let Some(known) = self.chats.session_mut(chat, *session) {
                    for binding in &mut known.bindings {
                        binding.note_history();
                    }
                }
                self.point_followed(chat, *session, point.counter, offset);
            }
            Entry::Started { session, .. } => self.start_followed(now, chat, *session),
            Entry::Extended {
                session,
                expires_at_ms,
            } => self.extend_followed(now, chat, *session, *expires_at_ms),
            Entry::Ended { session, state, .. } => self.end_followed(now, chat, *session, *state),
            _ => {}
        }
    }

    /// Serves those who wait for this point.
    fn point_followed(&mut self, chat: ChatHandle, id: SessionId, counter: Counter, offset: u64) {
        let Some(partition) = self.chats.get(chat).map(|chat| chat.partition) else {
            return;
        };
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        let mark = session
            .durable_marks
            .iter()
            .position(|mark| *mark == counter);
        if let Some(index) = mark {
            session.durable_marks.remove(index);
            session.durable_waits += 1;
        }
        let (dropped, wait) = session.api_waits_until(counter);
        if mark.is_some() {
            let session = id;
            let who = DurableWaiter::Session {
                chat,
                session,
                counter,
            };
            self.wait_durable(partition, offset, who);
        }
        for ApiWait { request, reply, .. } in dropped {
            self.reply(request, Ok(ChatReply::Points(reply)));
        }
        match wait {
            Some(wait) if wait.durable => {
                let (request, reply) = (wait.request, wait.reply);
                self.wait_durable(partition, offset, DurableWaiter::Api { request, reply });
            }
            Some(wait) => self.reply(wait.request, Ok(ChatReply::Points(wait.reply))),
            None => {}
        }
        self.arm(chat, id);
    }

    /// Sets the timer for a chat's oldest ended row.
    pub(super) fn forget_later(&mut self, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if let Some(due) = known.table.forget_due()
            && known.forget_timer.wants(due)
        {
            self.wheel.set(due, Timer::Tombstones(chat));
        }
    }
}
