//! Chats of a relay that nobody watches, by when they are given back.

use std::collections::{BTreeMap, BTreeSet};

use skein_wire::ids::ChatName;

use crate::time::Timestamp;

/// Chats and their last moments.
#[derive(Debug, Default)]
pub(crate) struct IdleChats {
    due: BTreeSet<(Timestamp, ChatName)>,
    of: BTreeMap<ChatName, Timestamp>,
}

impl IdleChats {
    /// Nobody watches the chat; it goes at this time.
    pub fn put(&mut self, chat: &ChatName, at: Timestamp) {
        self.take(chat);
        self.due.insert((at, chat.clone()));
        self.of.insert(chat.clone(), at);
    }

    /// Somebody watches it again, or it is gone.
    pub fn take(&mut self, chat: &ChatName) {
        if let Some(at) = self.of.remove(chat) {
            self.due.remove(&(at, chat.clone()));
        }
    }

    /// When the next one goes.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next one whose time has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<ChatName> {
        self.next_due().filter(|at| *at <= now)?;
        let (_, chat) = self.due.pop_first()?;
        self.of.remove(&chat);
        Some(chat)
    }
}
