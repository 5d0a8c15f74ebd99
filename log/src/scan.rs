//! Walks the bytes of a segment that nobody can vouch for.
//!
//! The result is a list of *stretches*: batches that follow each other without a hole, each checked
//! in full. Behind a bad place the scan goes on, 8 bytes at a time, until a batch of the same
//! generation with a later offset is found: what lies there decides whether the bad place is a
//! torn tail or damage.

use crate::batch::{BatchHeader, BatchKind};
use crate::index::{IndexEntry, SparseIndex};
use crate::layout::index_entries_max;
use crate::limits::{ALIGNMENT, BATCH_BYTES_CEILING, BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::position::Offset;

/// Batches without a hole between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where the first batch starts.
    pub position: usize,
    /// After the last batch.
    pub end_position: usize,
    /// First offset, of a record or of a gap.
    pub first: Offset,
    /// After the last offset.
    pub end: Offset,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub stretches: Vec<Stretch>,
    /// The greatest durable mark that a batch carries.
    pub durable: Offset,
    pub first_time: u64,
    pub last_time: u64,
    pub entries: Vec<IndexEntry>,
    /// Where the first record lies, and its offset: behind a gap at the start, if there is one.
    pub first_record: Option<(Offset, usize)>,
    /// After the last word that is not zero.
    pub used: usize,
}

/// A batch that was checked in full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedBatch {
    pub header: BatchHeader,
    pub position: usize,
    /// After its last offset.
    pub end: Offset,
}

/// The batch at `position`, if everything about it is right.
pub(crate) fn check_batch(
    bytes: &[u8],
    position: usize,
    limit: usize,
    generation: u32,
) -> Option<CheckedBatch> {
    let header = bytes.get(position..limit)?.get(..BATCH_HEADER_BYTES)?;
    if header[12..16] != generation.to_le_bytes() || header[..4] == [0; 4] {
        return None;
    }
    let header = BatchHeader::decode(header)?;
    if header.bytes > BATCH_BYTES_CEILING || header.bytes > limit - position {
        return None;
    }
    let end = header.end_offset(&bytes[position + BATCH_HEADER_BYTES..position + header.bytes])?;
    Some(CheckedBatch {
        header,
        position,
        end,
    })
}

/// Scans the batches of a segment whose first offset is `base`. Batches from offset `cut` on are
/// left out: a later file claims them.
pub(crate) fn scan(bytes: &[u8], limit: usize, generation: u32, base: Offset, cut: Offset) -> Scan {
    let mut scan = Scan::default();
    let index = SparseIndex::with_capacity(index_entries_max(bytes.len()));
    let mut position = SEGMENT_HEADER_BYTES;
    let mut expected = base;
    while position + ALIGNMENT <= limit {
        let batch = check_batch(bytes, position, limit, generation);
        let counts = |batch: &CheckedBatch| (expected..cut).contains(&batch.header.base_offset);
        if let Some(batch) = batch.filter(counts) {
            scan.add(&batch, &index);
            position += batch.header.bytes;
            expected = batch.end;
            scan.used = position;
        } else if bytes[position..position + ALIGNMENT] != [0; ALIGNMENT] {
            position += ALIGNMENT;
            scan.used = position;
        } else {
            position = behind_zeros(bytes, position + ALIGNMENT, limit);
        }
    }
    scan.entries = index.entries();
    scan
}

/// A position at or behind `position`, before the next byte that is not zero. Most of a file that
/// is being filled is zeros: they are compared by the piece, not word by word.
fn behind_zeros(bytes: &[u8], position: usize, limit: usize) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let pieces = bytes[position..limit].chunks_exact(ZEROS.len());
    let zeros = pieces.take_while(|piece| *piece == ZEROS).count();
    position + zeros * ZEROS.len()
}

impl Scan {
    fn add(&mut self, batch: &CheckedBatch, index: &SparseIndex) {
        let header = &batch.header;
        let end_position = batch.position + header.bytes;
        match self.stretches.last_mut() {
            Some(last) if last.end == header.base_offset && last.end_position == batch.position => {
                last.end = batch.end;
                last.end_position = end_position;
            }
            _ => self.stretches.push(Stretch {
                position: batch.position,
                end_position,
                first: header.base_offset,
                end: batch.end,
            }),
        }
        self.durable = self.durable.max(header.durable.unwrap_or(0));
        self.last_time = header.append_time;
        if self.first_time == 0 {
            self.first_time = header.append_time;
        }
        if header.kind != BatchKind::Gap {
            self.first_record
                .get_or_insert((header.base_offset, batch.position));
            index.note(IndexEntry {
                offset: header.base_offset,
                time: header.append_time,
                position: batch.position,
            });
        }
    }
}
