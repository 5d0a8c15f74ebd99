//! Deterministic simulation: the real shard core, control core, log and client states, from one
//! printed number. First faults, then none, and everything must heal.
//!
//! `cargo run --release -p skein-tests --bin simulate -- 123` runs seed 123 alone.

pub mod map;
pub mod random;
pub mod relay;

pub mod network;

pub mod server;

pub mod clients;

pub mod witness;

pub mod world;
