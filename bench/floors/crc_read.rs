//! Floor of reading with verification: one CRC-32 over each batch's bytes, in order, from a mapped
//! file that lies in the page cache.
//!
//! Expected: 14 to 28 GB/s on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18.
//!
//! On one of an Intel Xeon the same.

use crate::floors::expected::Expected;

/// Where the rate lies on the machine above, bytes per second.
pub const EXPECTED: Expected = Expected::anywhere(14e9..28e9);

/// Checks `bytes` in pieces of `batch` bytes; gives something that depends on all of them.
pub fn check(bytes: &[u8], batch: usize) -> u32 {
    bytes
        .chunks(batch)
        .fold(0, |sum, part| sum ^ crc32fast::hash(part))
}
