//! The chats of a shard, found by handle (every record) or by name (what people ask for).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::{ChatHandle, ChatName, SessionId};

use crate::chat::Chat;
use crate::owner::Owner;
use crate::session::Session;
use crate::table::{Table, Tables};

/// All chats that a shard owns or mirrors.
#[derive(Debug, Default)]
pub(crate) struct Chats {
    by_handle: HashMap<ChatHandle, Chat, RandomState>,
    by_name: HashMap<ChatName, ChatHandle, RandomState>,
}

impl Chats {
    /// A chat by its number.
    pub fn get(&self, chat: ChatHandle) -> Option<&Chat> {
        self.by_handle.get(&chat)
    }

    /// A chat by its number.
    pub fn get_mut(&mut self, chat: ChatHandle) -> Option<&mut Chat> {
        self.by_handle.get_mut(&chat)
    }

    /// A chat's number by its name.
    pub fn named(&self, name: &ChatName) -> Option<ChatHandle> {
        self.by_name.get(name).copied()
    }

    /// The owner's half of a chat.
    pub fn owner_mut(&mut self, chat: ChatHandle) -> Option<&mut Owner> {
        self.get_mut(chat)?.owner_mut()
    }

    /// A live session of an owned chat.
    pub fn session_mut(&mut self, chat: ChatHandle, session: SessionId) -> Option<&mut Session> {
        self.owner_mut(chat)?.sessions.get_mut(&session)
    }

    /// Adds a chat, in place of one with the same number.
    pub fn insert(&mut self, chat: Chat) {
        self.by_name.insert(chat.name.clone(), chat.handle);
        self.by_handle.insert(chat.handle, chat);
    }

    /// Takes a chat out.
    pub fn remove(&mut self, chat: ChatHandle) -> Option<Chat> {
        let chat = self.by_handle.remove(&chat)?;
        self.by_name.remove(&chat.name);
        Some(chat)
    }

    /// The numbers of all chats that `wanted` picks, in order: the same on every run.
    pub fn handles(&self, wanted: impl Fn(&Chat) -> bool) -> Vec<ChatHandle> {
        let chats = self.by_handle.values().filter(|chat| wanted(chat));
        let mut handles: Vec<ChatHandle> = chats.map(|chat| chat.handle).collect();
        handles.sort_unstable();
        handles
    }

    /// Every chat, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Chat> {
        self.by_handle.values()
    }
}

impl Tables for Chats {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        self.get(chat).map(|chat| &chat.table)
    }
}
