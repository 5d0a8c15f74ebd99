//! What tests ask of members, and expect of a change.

use skein_engine::request::{ChatReply, ChatRequest, ChatResult};
use skein_wire::ids::ChatName;

use crate::rig::{Rig, chat, user};

/// All members of a chat.
pub fn members_of(chat: ChatName) -> ChatRequest {
    ChatRequest::Members {
        chat,
        after: None,
        limit: usize::MAX,
    }
}

/// A change of members was met, and whether it is durable.
pub fn assert_changed(reply: Option<&ChatResult>, expected: bool) {
    match reply {
        Some(Ok(ChatReply::Changed {
            durable, version, ..
        })) => {
            assert_eq!((*durable, *version > 0), (expected, expected));
        }
        other => panic!("not changed: {other:?}"),
    }
}

impl Rig {
    pub fn put_member(&mut self, name: &str, rights: u8) -> Option<ChatResult> {
        self.ask(ChatRequest::PutMember {
            chat: chat(),
            user: user(name),
            rights,
            expected: None,
        })
        .1
    }

    pub fn remove_member(&mut self, name: &str) -> Option<ChatResult> {
        self.ask(ChatRequest::RemoveMember {
            chat: chat(),
            user: user(name),
            expected: None,
        })
        .1
    }

    /// Members of the chat: ana and bob may do everything, eve is none.
    pub fn with_members(mut self) -> Self {
        for name in ["ana", "bob"] {
            let reply = self.put_member(name, 3);
            assert_changed(reply.as_ref(), true);
        }
        self
    }
}
