//! Floor of appending with a checksum: each batch's payload copied into a pre-touched mapped file
//! and one CRC-32 taken of it, stored behind it.
//!
//! Expected: 10 to 20 GB/s of payload on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18.
//!
//! On one of an Intel Xeon: 6 to 12 GB/s.

use crate::floors::expected::Expected;
use crate::floors::mapped_file::MappedFile;

/// Where the rate lies on the machine above, payload bytes per second.
pub const EXPECTED: Expected = Expected::new(10e9..20e9, 6e9..12e9);

/// Bytes of a stored checksum.
const CRC_BYTES: usize = 4;

/// Copies `batch` and its checksum over and over until `bytes` of payload are copied.
pub fn copy(target: &mut MappedFile, batch: &[u8], bytes: usize) {
    let size = batch.len() + CRC_BYTES;
    for part in target
        .bytes()
        .chunks_exact_mut(size)
        .take(bytes / batch.len())
    {
        let (body, crc) = part.split_at_mut(batch.len());
        body.copy_from_slice(batch);
        crc.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
}
