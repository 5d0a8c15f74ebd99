//! Chats: sessions, membership, latest tables, cursors, expiry, batch building. Sans-IO.

pub mod ids;
pub mod time;

pub mod journal;
pub mod record;
