//! The peers that have a log.

pub mod embedded;
pub mod jetstream;
pub mod kafka;
pub mod redis_stream;
pub mod skein_server;

pub mod all;
