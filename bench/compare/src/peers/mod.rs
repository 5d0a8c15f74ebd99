//! The peers that carry positions from senders to viewers.

pub mod mosquitto;
pub mod nats;
pub mod plain;
pub mod redis;
pub mod skein;

pub mod broker;
pub mod consumer;
pub mod stack;

pub mod all;
