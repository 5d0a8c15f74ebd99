//! The list of them.

use crate::log_peer::LogPeer;
use crate::log_peers::embedded::EmbeddedLog;
use crate::log_peers::jetstream::JetStream;
use crate::log_peers::kafka::Kafka;
use crate::log_peers::redis_stream::RedisStream;
use crate::log_peers::skein_server::SkeinServerLog;

/// Every peer with a log: embedded ones, then servers; ours first.
pub fn log_peers() -> Vec<Box<dyn LogPeer>> {
    let mut all: Vec<Box<dyn LogPeer>> = Vec::new();
    for log in EmbeddedLog::all() {
        all.push(Box::new(log));
    }
    all.push(Box::new(SkeinServerLog));
    all.push(Box::new(RedisStream));
    all.push(Box::new(JetStream));
    all.push(Box::new(Kafka));
    all
}
