//! Timers and acknowledgements of a session.

use skein_wire::ids::{ChatHandle, Counter, SessionId};

use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

impl Shard {
    /// Sets the timers that a change of a session calls for. A timer that is set already and comes
    /// early enough stays: when it fires, the moment is computed anew.
    pub(super) fn arm(&mut self, chat: ChatHandle, id: SessionId) {
        let stale_after_ms = self.admission.stale_after_ms;
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        let at = session.life_due_at(stale_after_ms);
        if at < session.life_timer_at {
            session.life_timer_at = at;
            let session = id;
            self.wheel.set(at, Timer::Life { chat, session });
        }
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        let at = session.ack_due_at();
        if at < session.ack_timer_at {
            session.ack_timer_at = at;
            let session = id;
            self.wheel.set(at, Timer::Ack { chat, session });
        }
    }

    /// The timer of a session's acknowledgements fired.
    pub(super) fn ack_due(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        at: Timestamp,
    ) {
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        if session.ack_timer_at != at {
            return;
        }
        session.ack_timer_at = Timestamp::NEVER;
        self.acknowledge(now, chat, id, Timestamp(now.0), Counter(0));
        self.arm(chat, id);
    }

    /// Tells each connection of the session what is due by `until`; a durable counter is told to
    /// all.
    pub(super) fn acknowledge(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        id: SessionId,
        until: Timestamp,
        durable: Counter,
    ) {
        let Some(session) = self.chats.session_mut(chat, id) else {
            return;
        };
        let followed = session.followed;
        let mut messages = Vec::new();
        for binding in &mut session.bindings {
            let is_due = binding.due_at(followed).is_some_and(|due| due <= until);
            if is_due || durable.0 > 0 {
                let message = Message::Accepted {
                    connection: binding.connection,
                    session: id,
                    counter: followed,
                    durable,
                    verdicts: binding.tell(now, followed),
                };
                messages.push((binding.shard, message));
            }
        }
        for (shard, message) in messages {
            self.post(shard, message);
        }
    }
}
