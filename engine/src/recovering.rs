//! What is known of a chat while the log is replayed.

use std::collections::BTreeMap;

use skein_wire::ids::SessionId;
use skein_wire::update::SessionState;

use crate::control_state::ControlChat;
use crate::journal::Entry;

/// A chat between its restoring and the end of the replay.
#[derive(Debug)]
pub(crate) struct Recovering {
    /// What the control log says.
    pub control: ControlChat,
    /// Sessions that are active there and whose end the partition tells of. The table may have
    /// forgotten their rows by the end of the replay, if many others ended after them.
    ended: BTreeMap<SessionId, SessionState>,
}

impl Recovering {
    pub fn new(control: ControlChat) -> Self {
        Self {
            control,
            ended: BTreeMap::new(),
        }
    }

    /// A record of the chat.
    pub fn note(&mut self, entry: &Entry) {
        let (session, state) = match entry {
            Entry::Ended { session, state, .. } => (session, *state),
            Entry::CheckpointRow { session, row } => (session, row.state),
            _ => return,
        };
        if state.is_ended() && self.control.sessions.contains_key(&session.0) {
            self.ended.insert(*session, state);
        }
    }

    /// How the partition says that an active session ended.
    pub fn ended(&self, session: SessionId) -> Option<SessionState> {
        self.ended.get(&session).copied()
    }
}
