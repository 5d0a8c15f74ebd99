//! Connection ids that name their shard and prove their origin.
//!
//! ```text
//!  0        1 2 3        4 5 6 7
//! +--------+------------+------------------+
//! | shard  | random     | signature of 0-3 |
//! +--------+------------+------------------+
//! ```
//! The first byte is congruent to the shard modulo the number of shards; the rest of its range
//! is random, so that an id says little to others. A packet with an unknown id is answered with a
//! stateless reset only if the id is one of ours and of this shard: a packet that was merely
//! steered wrongly must not kill a connection that lives elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac::{self, Key};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

/// Bytes of an id.
pub const ID_BYTES: usize = 8;
/// Bytes of it that are signed.
const SIGNED_BYTES: usize = 4;
/// Shards that one byte can tell apart.
pub const QUIC_SHARDS_MAX: u16 = 256;

/// Makes the ids of one shard.
#[derive(Clone)]
pub struct ShardIdGenerator {
    key: Arc<Key>,
    shard: u16,
    shards: u16,
}

impl ShardIdGenerator {
    /// For shard number `shard` of `shards`.
    ///
    /// # Panics
    /// If there is no such shard, or more than [`QUIC_SHARDS_MAX`]: the configuration refuses that.
    pub fn new(key: Arc<Key>, shard: u16, shards: u16) -> Self {
        assert!(shard < shards, "shard {shard} of {shards}");
        assert!(shards <= QUIC_SHARDS_MAX, "{shards} shards in one byte");
        Self { key, shard, shards }
    }

    /// A random first byte that is congruent to the shard.
    fn shard_byte(&self, random: u8) -> u8 {
        let turns = (QUIC_SHARDS_MAX - 1 - self.shard) / self.shards + 1;
        let byte = self.shard + self.shards * (u16::from(random) % turns);
        u8::try_from(byte).expect("turns keep it below 256")
    }

    fn signature(&self, signed: &[u8]) -> [u8; ID_BYTES - SIGNED_BYTES] {
        let tag = hmac::sign(&self.key, signed);
        let mut signature = [0; ID_BYTES - SIGNED_BYTES];
        signature.copy_from_slice(&tag.as_ref()[..ID_BYTES - SIGNED_BYTES]);
        signature
    }
}

impl ConnectionIdGenerator for ShardIdGenerator {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id[..SIGNED_BYTES]).expect("the system gives random numbers");
        id[0] = self.shard_byte(id[0]);
        let signature = self.signature(&id[..SIGNED_BYTES]);
        id[SIGNED_BYTES..].copy_from_slice(&signature);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let ours = id.len() == ID_BYTES
            && u16::from(id[0]) % self.shards == self.shard
            && id[SIGNED_BYTES..] == self.signature(&id[..SIGNED_BYTES]);
        if ours { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

impl fmt::Debug for ShardIdGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardIdGenerator")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(shard: u16, shards: u16) -> ShardIdGenerator {
        let key = Key::new(hmac::HMAC_SHA256, b"a key of the test");
        ShardIdGenerator::new(Arc::new(key), shard, shards)
    }

    #[test]
    fn ids_name_their_shard_and_no_other() {
        for shards in [1, 2, 3, 7, 255, 256] {
            for shard in [0, shards / 2, shards - 1] {
                let mut own = generator(shard, shards);
                for _ in 0..200 {
                    let id = own.generate_cid();
                    assert_eq!(u16::from(id[0]) % shards, shard);
                    assert!(own.validate(&id).is_ok());
                    if shards > 1 {
                        let other = generator((shard + 1) % shards, shards);
                        assert!(other.validate(&id).is_err());
                    }
                }
            }
        }
    }

    #[test]
    fn a_foreign_id_is_not_answered() {
        let mut own = generator(0, 2);
        let mut id = own.generate_cid().to_vec();
        id[7] ^= 1;
        assert!(own.validate(&ConnectionId::new(&id)).is_err());
        assert!(own.validate(&ConnectionId::new(&[0; 8])).is_err());
        assert!(own.validate(&ConnectionId::new(&[])).is_err());
    }
}
