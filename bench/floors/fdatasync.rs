//! Floor of a durable append: the same bytes copied into a mapped, allocated file behind those of
//! the round before, and `fdatasync`.
//!
//! The file is new, as a segment is: the first sync of each stretch also makes its extents
//! "written", which overwriting an old file would not need.
//!
//! Expected: 60 to 8,000 us for 4 KiB at the median: the disk of a virtual machine decides, and what
//! else is being written to it.

use std::ops::Range;

use rustix::fs::fdatasync;

use crate::floors::mapped_file::MappedFile;

/// Where the median of one round lies, microseconds.
pub const EXPECTED: Range<f64> = 60.0..8_000.0;

/// One round: `bytes` at `position`, durable.
///
/// # Panics
/// If the disk fails.
pub fn write(target: &mut MappedFile, position: usize, bytes: &[u8]) {
    target.bytes()[position..position + bytes.len()].copy_from_slice(bytes);
    fdatasync(target.file()).expect("a disk that works");
}
