//! What tests ask of members, and expect of a change.

use skein_engine::request::{ChatReply, ChatRequest, ChatResult};
use skein_wire::ids::ChatName;

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
        Some(Ok(ChatReply::Changed { durable, version })) => {
            assert_eq!((*durable, *version > 0), (expected, expected));
        }
        other => panic!("not changed: {other:?}"),
    }
}
