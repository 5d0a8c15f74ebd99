//! A watch of one session that this shard's mirror does not have: it may have started a moment ago.
//!
//! The owner, whose answer to the sender made the session known, says as of which offset its table
//! has the row; the watch waits until the mirror has followed that far. What the owner does not have
//! is refused.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, SessionId};
use skein_wire::request::Watch;

use crate::ids::{ConnectionId, PartitionId, ShardId};
use crate::partition::RowWait;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Asks the owner of a mirrored chat for the session of a watch.
    pub(super) fn ask_row(
        &mut self,
        connection: ConnectionId,
        chat: ChatHandle,
        session: SessionId,
        watch: &Watch,
    ) -> Result<(), WireError> {
        let owner = self.owner_of_name(&watch.chat);
        if self.outbox_is_full(owner) {
            return Err(WireError::of(Code::Busy));
        }
        if let Some(known) = self.connections.get_mut(&connection) {
            known.asking += 1;
        }
        self.row_ask_last += 1;
        let ask = self.row_ask_last;
        self.row_asks.insert(ask, (connection, watch.clone()));
        self.post(owner, Message::RowAsk { ask, chat, session });
        Ok(())
    }

    /// Another shard's mirror lacks a session.
    pub(super) fn row_asked(
        &mut self,
        from: ShardId,
        ask: u64,
        chat: ChatHandle,
        session: SessionId,
    ) {
        let known = self.chats.get(chat);
        let found = known.filter(|chat| chat.owner().is_some());
        let found = found.filter(|chat| chat.table.row(session).is_some());
        let partition = found.map(|chat| chat.partition);
        let offset = partition.and_then(|it| self.partition(it).map(|state| state.followed));
        self.post(from, Message::RowAt { ask, offset });
    }

    /// The owner says where the session is.
    pub(super) fn row_found(&mut self, now: Timestamp, ask: u64, offset: Option<u64>) {
        let Some((_, watch)) = self.row_asks.get(&ask) else {
            return;
        };
        let chat = self.chats.named(&watch.chat);
        let partition = self.partition_of(&watch.chat);
        match (chat, offset, self.partition(partition)) {
            (Some(chat), Some(offset), Some(state)) => {
                state.row_waits.push(RowWait { ask, chat, offset });
                self.check_rows(now, partition);
            }
            _ => self.judge_row(now, ask),
        }
    }

    /// Judges the watches whose session is here now.
    pub(super) fn check_rows(&mut self, now: Timestamp, partition: PartitionId) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        let followed = state.followed;
        let waits = std::mem::take(&mut state.row_waits);
        for wait in waits {
            if self.has_applied(wait.chat, wait.offset, followed) {
                self.judge_row(now, wait.ask);
            } else if let Some(state) = self.partition(partition) {
                state.row_waits.push(wait);
            }
        }
    }

    /// A watch that waited for its session is judged like a new one; a session that is still not
    /// here is none.
    fn judge_row(&mut self, now: Timestamp, ask: u64) {
        let Some((connection, watch)) = self.row_asks.remove(&ask) else {
            return;
        };
        if let Some(known) = self.connections.get_mut(&connection) {
            known.asking = known.asking.saturating_sub(1);
        }
        let chat = self.chats.named(&watch.chat);
        let known = chat.and_then(|chat| self.chats.get(chat));
        let is_missing = |session| known.is_some_and(|chat| chat.table.row(session).is_none());
        if watch.session.is_some_and(is_missing) {
            self.refuse(connection, watch.request, Self::not_found());
        } else {
            self.watch(now, connection, watch);
        }
    }
}
