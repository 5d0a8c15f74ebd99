//! Which partition a chat lives in, and which shard owns a partition.
//!
//! Both are pure functions of stable numbers: the partition count is fixed when a data directory is
//! made, so a chat never moves between files, and the hash must never change (golden test below).

use skein_wire::ids::ChatName;

use crate::ids::{PartitionId, ShardId};

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The partition of a chat.
///
/// FNV-1a spreads poorly in its low bits for short names, so a final mix follows.
///
/// ```
/// use skein_engine::ids::PartitionId;
/// use skein_engine::placement::partition_of;
/// use skein_wire::ids::ChatName;
/// assert_eq!(partition_of(&ChatName::new("harbour").unwrap(), 1), PartitionId(0));
/// ```
///
/// # Panics
/// If `partitions` is 0.
pub fn partition_of(chat: &ChatName, partitions: u16) -> PartitionId {
    assert!(partitions > 0, "a log has at least one partition");
    PartitionId((hash(chat.as_str().as_bytes()) % u64::from(partitions)) as u16)
}

/// The shard that owns a partition.
///
/// # Panics
/// If `shards` is 0.
pub fn owner_of(partition: PartitionId, shards: u16) -> ShardId {
    assert!(shards > 0, "there is at least one shard");
    ShardId(partition.0 % shards)
}

fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(FNV_OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_never_changes() {
        let golden = [
            ("", GOLDEN_EMPTY),
            ("a", GOLDEN_A),
            ("harbour", GOLDEN_HARBOUR),
        ];
        for (name, expected) in golden {
            assert_eq!(hash(name.as_bytes()), expected, "{name:?}");
        }
    }

    const GOLDEN_EMPTY: u64 = 0xecba_3df2_c338_3c52;
    const GOLDEN_A: u64 = 0xed81_70de_1919_a24d;
    const GOLDEN_HARBOUR: u64 = 0x549b_f06c_10bc_48ec;

    #[test]
    fn chats_spread_over_partitions() {
        let mut counts = [0u32; 64];
        for number in 0..64_000 {
            let chat = ChatName::new(&format!("chat-{number}")).unwrap();
            counts[usize::from(partition_of(&chat, 64).0)] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 850 && *most < 1_150, "{least}..{most}");
    }

    #[test]
    fn every_partition_has_an_owner() {
        for partition in 0..64 {
            assert!(owner_of(PartitionId(partition), 3).0 < 3);
        }
    }
}
