//! The edge of a shard over real loopback sockets, one file per hazard.

mod harness;
mod quic_client;
#[path = "../../../tests/src/skip.rs"]
mod skip;
mod websocket_client;

mod bad_input;
mod crowd;
mod deadlines;
mod gathered;
mod going_away;
mod http_beside_websocket;
mod moving_phone;
mod quic_delivery;
mod slow_viewer;
mod tls_websocket;
mod websocket_rules;
