//! Where the parts of a segment file lie. Pure arithmetic, shared by writer, reader and tools.
//!
//! ```text
//!  0            4096                     batch_limit(capacity)        capacity
//!  +-------------+-------------------------------+-----------------------+
//!  | header page | batches ->          (zero)    | footer, once closed   |
//!  +-------------+-------------------------------+-----------------------+
//! ```
//!
//! The footer's place depends on the capacity alone, so it is found without trusting the batches,
//! and writing it never touches what followers read.

use crate::limits::{
    BATCH_HEADER_BYTES, INDEX_INTERVAL_BYTES, SEGMENT_BYTES_STEP, SEGMENT_HEADER_BYTES,
};

/// Bytes of the fixed part of a footer.
pub(crate) const FOOTER_HEADER_BYTES: usize = 64;

/// Bytes of one index entry in a footer.
pub(crate) const INDEX_ENTRY_BYTES: usize = 24;

/// Bytes of the body of a `Gap` batch.
pub(crate) const GAP_BODY_BYTES: usize = 16;

/// Bytes of a whole `Gap` batch.
pub(crate) const GAP_BATCH_BYTES: usize = BATCH_HEADER_BYTES + GAP_BODY_BYTES;

/// Most index entries a segment of this capacity has.
pub(crate) const fn index_entries_max(capacity: usize) -> usize {
    capacity / INDEX_INTERVAL_BYTES + 1
}

/// Bytes kept for the footer of a segment of this capacity.
const fn footer_bytes(capacity: usize) -> usize {
    FOOTER_HEADER_BYTES + index_entries_max(capacity) * INDEX_ENTRY_BYTES
}

/// The position batches must end before; the footer starts here.
pub(crate) const fn batch_limit(capacity: usize) -> usize {
    capacity - footer_bytes(capacity)
}

/// The smallest capacity that takes batches of `bytes` together, a gap and the footer.
pub(crate) fn capacity_for(bytes: usize) -> usize {
    let wanted = SEGMENT_HEADER_BYTES + GAP_BATCH_BYTES + bytes;
    let step = SEGMENT_BYTES_STEP as usize;
    let mut capacity = (wanted + footer_bytes(wanted)).next_multiple_of(step);
    while batch_limit(capacity) < wanted {
        capacity += step;
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ALIGNMENT, SEGMENT_BYTES_FLOOR};

    #[test]
    fn the_footer_always_has_room_for_every_entry() {
        for capacity in (SEGMENT_BYTES_FLOOR as usize..8 << 20).step_by(4096) {
            let limit = batch_limit(capacity);
            assert!(limit.is_multiple_of(ALIGNMENT), "capacity {capacity}");
            let entries = (limit - SEGMENT_HEADER_BYTES) / INDEX_INTERVAL_BYTES + 1;
            assert!(
                entries <= index_entries_max(capacity),
                "capacity {capacity}"
            );
        }
    }

    #[test]
    fn capacity_for_a_batch_takes_it() {
        for bytes in [56, 4096, 65_600, 1 << 20, 40 << 20] {
            let capacity = capacity_for(bytes);
            assert!(batch_limit(capacity) >= SEGMENT_HEADER_BYTES + GAP_BATCH_BYTES + bytes);
        }
    }
}
