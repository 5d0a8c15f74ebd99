//! Floor of sustained appending: payload copied into a new mapped file, 8 MiB at a time, and
//! `fdatasync` after each: what the disk takes when nothing else is done. The file is not touched
//! before: its pages would be written twice, as zeros by the first sync and then as they are.
//!
//! Expected: 0.8 to 1.6 GB/s on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux
//! 6.18, ext4.
//!
//! On one of an Intel Xeon: 0.6 to 1.2 GB/s.

use rustix::fs::fdatasync;

use crate::floors::expected::Expected;
use crate::floors::mapped_file::MappedFile;

/// Where the rate lies on the machine above, bytes per second.
pub const EXPECTED: Expected = Expected::new(0.8e9..1.6e9, 0.6e9..1.2e9);

/// Bytes between two syncs.
pub const PIECE_BYTES: usize = 8 << 20;

/// Fills the file with `source` again and again, durable when it returns.
///
/// # Panics
/// If the disk fails.
pub fn fill(target: &mut MappedFile, source: &[u8], bytes: usize) {
    for first in (0..bytes).step_by(PIECE_BYTES) {
        let end = (first + PIECE_BYTES).min(bytes);
        for part in target.bytes()[first..end].chunks_mut(source.len()) {
            part.copy_from_slice(&source[..part.len()]);
        }
        fdatasync(target.file()).expect("a disk that works");
    }
}
