//! What stands for a connection in the scenarios.

/// A connection: its shard and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    pub shard: u16,
    pub number: u64,
}
