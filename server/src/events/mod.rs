//! What happened in a chat, as its chat service reads it: over HTTP and by webhook, in the same words.

pub mod event_json;
pub mod member_json;
