//! The header page of a segment and its footer, byte by byte.
//!
//! ```text
//!  header  0         8        10         12          16      24           32
//!          +---------+--------+----------+-----------+-------+------------+---------+
//!          | magic   | version| partition| generation| log id| base_offset| sequence|
//!          | SKEINSEG| u16    | u16      | u32       | u64   | u64        | u64     |
//!          +---------+--------+----------+-----------+-------+------------+---------+
//!          40          48        56       60     64
//!          +-----------+---------+--------+------+
//!          | created_at| capacity| epoch  | crc  |  zero up to 4096
//!          | u64 (ms)  | u64     | u32    | u32  |
//!          +-----------+---------+--------+------+
//!
//!  footer  0      4           8            16            24          32         40       44
//!          +------+-----------+------------+-------------+-----------+----------+--------+----+
//!          | SKFT | generation| last_offset| end_position| first_time| last_time| entries| crc|
//!          | u32  | u32       | u64        | u64         | u64       | u64      | u32    | u32|
//!          +------+-----------+------------+-------------+-----------+----------+--------+----+
//!          64: entries of 24 bytes: offset u64, time u64, position u64
//! ```
//!
//! `sequence` counts the segments a partition has made. Where two files claim the same offsets
//! (after a truncation, or after a failed sync) the later one is right.
//! A footer is a hint: missing, damaged or not fitting what follows, it is rebuilt by a scan.

use crate::index::IndexEntry;
use crate::layout::{FOOTER_HEADER_BYTES, INDEX_ENTRY_BYTES, index_entries_max};
use crate::limits::FORMAT_VERSION;
use crate::little_endian::{u16_at, u32_at, u64_at};
use crate::position::{LogId, Offset, PartitionId};

const MAGIC: &[u8; 8] = b"SKEINSEG";
const FOOTER_MAGIC: &[u8; 4] = b"SKFT";

/// Bytes of the header that mean something.
pub(crate) const HEADER_BYTES: usize = 64;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub version: u16,
    pub partition: PartitionId,
    pub generation: u32,
    pub log_id: LogId,
    pub base_offset: Offset,
    pub sequence: u64,
    pub created_at: u64,
    pub capacity: usize,
    /// Epoch of the writer that made the segment.
    pub epoch: u32,
}

/// What the bytes of a header say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// Nothing was written.
    Blank,
    /// Not a header, or a damaged one.
    Damaged,
    /// Written by a newer program.
    Newer(u16),
    Valid(SegmentHeader),
}

impl SegmentHeader {
    pub(crate) fn encode(&self, target: &mut [u8]) {
        target[0..8].copy_from_slice(MAGIC);
        target[8..10].copy_from_slice(&self.version.to_le_bytes());
        target[10..12].copy_from_slice(&self.partition.0.to_le_bytes());
        target[12..16].copy_from_slice(&self.generation.to_le_bytes());
        target[16..24].copy_from_slice(&self.log_id.0.to_le_bytes());
        target[24..32].copy_from_slice(&self.base_offset.to_le_bytes());
        target[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        target[40..48].copy_from_slice(&self.created_at.to_le_bytes());
        target[48..56].copy_from_slice(&(self.capacity as u64).to_le_bytes());
        target[56..60].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32fast::hash(&target[..60]);
        target[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderFound {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return HeaderFound::Damaged;
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderFound::Blank;
        }
        if &bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return HeaderFound::Damaged;
        }
        let version = u16_at(bytes, 8);
        if version > FORMAT_VERSION {
            return HeaderFound::Newer(version);
        }
        HeaderFound::Valid(SegmentHeader {
            version,
            partition: PartitionId(u16_at(bytes, 10)),
            generation: u32_at(bytes, 12),
            log_id: LogId(u64_at(bytes, 16)),
            base_offset: u64_at(bytes, 24),
            sequence: u64_at(bytes, 32),
            created_at: u64_at(bytes, 40),
            capacity: u64_at(bytes, 48) as usize,
            epoch: u32_at(bytes, 56),
        })
    }
}

/// The footer of a closed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub generation: u32,
    pub last_offset: Offset,
    pub end_position: usize,
    pub first_time: u64,
    pub last_time: u64,
    pub entries: Vec<IndexEntry>,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FOOTER_HEADER_BYTES];
        bytes[0..4].copy_from_slice(FOOTER_MAGIC);
        bytes[4..8].copy_from_slice(&self.generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.last_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.end_position as u64).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_time.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_time.to_le_bytes());
        bytes[40..44].copy_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            bytes.extend_from_slice(&entry.time.to_le_bytes());
            bytes.extend_from_slice(&(entry.position as u64).to_le_bytes());
        }
        let crc = footer_crc(&bytes);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a footer from its place. `None`: there is none, or it can't be trusted.
    pub(crate) fn decode(bytes: &[u8], generation: u32, capacity: usize) -> Option<Footer> {
        let header = bytes.get(..FOOTER_HEADER_BYTES)?;
        if &header[..4] != FOOTER_MAGIC || u32_at(header, 4) != generation {
            return None;
        }
        let count = u32_at(header, 40) as usize;
        if count > index_entries_max(capacity) {
            return None;
        }
        let bytes = bytes.get(..FOOTER_HEADER_BYTES + count * INDEX_ENTRY_BYTES)?;
        if u32_at(header, 44) != footer_crc(bytes) {
            return None;
        }
        let entries = bytes[FOOTER_HEADER_BYTES..].chunks_exact(INDEX_ENTRY_BYTES);
        Some(Footer {
            generation,
            last_offset: u64_at(header, 8),
            end_position: u64_at(header, 16) as usize,
            first_time: u64_at(header, 24),
            last_time: u64_at(header, 32),
            entries: entries
                .map(|entry| IndexEntry {
                    offset: u64_at(entry, 0),
                    time: u64_at(entry, 8),
                    position: u64_at(entry, 16) as usize,
                })
                .collect(),
        })
    }
}

fn footer_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..44]);
    hasher.update(&bytes[FOOTER_HEADER_BYTES..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            version: 1,
            partition: PartitionId(3),
            generation: 77,
            log_id: LogId(0xABCD),
            base_offset: 12,
            sequence: 4,
            created_at: 5,
            capacity: 65_536,
            epoch: 2,
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let mut good = [0; HEADER_BYTES];
        assert_eq!(SegmentHeader::decode(&good), HeaderFound::Blank);
        header().encode(&mut good);
        assert_eq!(SegmentHeader::decode(&good), HeaderFound::Valid(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&bad),
                HeaderFound::Damaged,
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = [0; HEADER_BYTES];
        header().encode(&mut bytes);
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Newer(9));
    }

    #[test]
    fn a_footer_of_another_generation_or_with_a_flipped_bit_is_none() {
        let footer = Footer {
            generation: 9,
            last_offset: 100,
            end_position: 5000,
            first_time: 1,
            last_time: 2,
            entries: vec![
                IndexEntry {
                    offset: 1,
                    time: 1,
                    position: 4096
                };
                2
            ],
        };
        let good = footer.encode();
        assert_eq!(Footer::decode(&good, 9, 65_536), Some(footer));
        assert_eq!(Footer::decode(&good, 8, 65_536), None);
        for byte in (0..48).chain(64..good.len()) {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            assert_eq!(Footer::decode(&bad, 9, 65_536), None, "byte {byte}");
        }
    }
}
