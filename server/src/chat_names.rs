//! Which handle a chat has: records of the log carry handles, people ask by name.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use skein_engine::control_state::ControlState;

/// The handles of all chats. Written by the control thread before a chat's first record can be in
/// the log, read by requests.
#[derive(Debug, Default)]
pub struct ChatNames {
    handles: RwLock<HashMap<String, u32>>,
}

impl ChatNames {
    /// The chats that the control log knows.
    pub fn of(state: &ControlState) -> Self {
        let handles = state
            .chats()
            .map(|(name, chat)| (name.to_owned(), chat.handle.0));
        Self {
            handles: RwLock::new(handles.collect()),
        }
    }

    /// A chat has this handle, for ever.
    pub fn note(&self, chat: &str, handle: u32) {
        if self.handle(chat).is_none() {
            let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
            handles.insert(chat.to_owned(), handle);
        }
    }

    /// The name of a chat's handle. Looks at all of them: for what is rarely asked.
    pub fn name(&self, handle: u32) -> Option<String> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let mut named = handles.iter().filter(|(_, known)| **known == handle);
        named.next().map(|(name, _)| name.clone())
    }

    /// The handle of a chat that was ever named.
    pub fn handle(&self, chat: &str) -> Option<u32> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.get(chat).copied()
    }
}
