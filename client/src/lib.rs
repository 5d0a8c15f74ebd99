//! The peer's half: sans-IO viewer and sender state, async API over QUIC and WebSocket.

pub mod error;
pub mod limits;

pub mod backoff;
mod keep_alive;
pub mod server_clock;

pub mod change;

mod pages;
pub mod row;
mod seen_counters;

pub mod chat_view;

pub mod viewer_state;

pub mod sender_state;
