//! What one connection may use while it has its turn in a pass.

use std::sync::Arc;
use std::time::Instant;

use skein_engine::ids::ConnectionId;

use crate::access::Access;
use crate::edge::event::Event;
use crate::edge::origins::Origins;
use crate::edge::stats::TransportStats;

/// What a connection may use while it has its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// Verifies tokens.
    pub access: &'a Access,
    /// Which pages may open a session.
    pub origins: &'a Arc<Origins>,
    /// The time of this pass.
    pub now_ms: u64,
    /// The same for QUIC.
    pub now: Instant,
    /// How long a client may take to hear a goodbye.
    pub close_linger_ms: u64,
    /// Signatures that may still be verified in this pass.
    pub hellos_left: usize,
    /// Counters.
    pub stats: &'a mut TransportStats,
    /// What happened.
    pub events: &'a mut Vec<Event>,
}
