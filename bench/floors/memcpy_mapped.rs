//! Floor of appending: the payload bytes copied in bulk into a pre-touched mapped file, without
//! records, checksums or readers.
//!
//! Expected: 13 to 28 GB/s on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18,
//! ext4; memory bandwidth is shared with the neighbours, hence the width.
//!
//! On one of an Intel Xeon: 5 to 10 GB/s.

use crate::floors::expected::Expected;
use crate::floors::mapped_file::MappedFile;

/// Where the rate lies on the machine above, bytes per second.
pub const EXPECTED: Expected = Expected::new(13e9..28e9, 5e9..10e9);

/// Copies `source` into the mapping over and over until `bytes` are copied.
pub fn copy(target: &mut MappedFile, source: &[u8], bytes: usize) {
    for part in target.bytes()[..bytes].chunks_mut(source.len()) {
        part.copy_from_slice(&source[..part.len()]);
    }
}
