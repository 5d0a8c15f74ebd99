//! The server: pinned shards, QUIC, WebSocket, HTTP, control log, command line.

// They panic when whoever read has closed the pipe; `terminal::out` says it as an error.
#![deny(clippy::print_stdout)]

pub mod bad_input;
pub mod clock;
pub mod database;
pub mod health;
pub mod http_call;
pub mod interrupt;
pub mod limits;
pub mod machine;
pub mod metrics;
pub mod raw_record;
pub mod text;

pub mod chat_names;
pub mod erase_scope;
pub mod error_body;

pub mod access;
pub mod config;
pub mod edge;

pub mod control;
pub mod events;
pub mod gpx_writer;
pub mod http;
pub mod log_erase;
pub mod log_json;

pub mod shard;

pub mod relay;

pub mod history;
pub mod janitor_voice;
pub mod key_refresher;
pub mod log_thinner;
pub mod log_traces;
pub mod thinning_group;
pub mod views;
pub mod webhook;

pub mod terminal;

pub mod demo;

pub mod app;
pub mod cli;

pub mod errors_doc;
pub mod limits_doc;

#[cfg(test)]
#[path = "../../tests/src/skip.rs"]
mod skip;
