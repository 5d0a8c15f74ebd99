//! The peer's half: sans-IO viewer and sender state, async API over QUIC and WebSocket.
//!
//! [`viewer::Viewer`] and [`sender::Sender`] are what an application uses;
//! [`viewer_state::ViewerState`] and [`sender_state::SenderState`] are what they do, without a
//! socket, a clock or a thread, so that simulations and load generators run the same code.

pub mod error;
pub mod limits;

pub mod backoff;
mod keep_alive;
mod seed;
pub mod server_clock;

pub mod change;

mod pages;
mod recent_ends;
pub mod row;
mod seen_counters;

mod batch_tap;
pub mod chat_view;
mod map_state;

pub mod seal;

mod complaint;
mod early;
mod pending;
pub mod sender_event;
pub mod sender_state;
pub mod viewer_state;

pub mod clock;
pub mod server_url;
mod tls_failure;
pub mod trust;

pub mod transport;
mod transport_quic;
mod transport_websocket;

pub mod connect;

pub mod sender;
pub mod viewer;
