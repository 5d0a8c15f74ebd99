//! Floor of a durable append: the same bytes copied into a mapped, allocated file behind those of
//! the round before, and `fdatasync`.
//!
//! The file is new, as a segment is: the first sync of each stretch also makes its extents
//! "written", which overwriting an old file would not need.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4), Linux 6.18, ext4 on a
//! virtual disk that nobody else writes to: 4 KiB 65 to 130 us at the median and 110 to 220 at the
//! 99th percentile, 64 KiB 100 to 200 and 200 to 400, 1 MiB 500 to 1,000 and 1,000 to 2,000.

use std::ops::Range;

use rustix::fs::fdatasync;

use crate::floors::mapped_file::MappedFile;

/// Where the median of a round of 4 KiB lies on the machine above, microseconds.
pub const P50_4K_EXPECTED: Range<f64> = 65.0..130.0;
/// Where its 99th percentile lies.
pub const P99_4K_EXPECTED: Range<f64> = 110.0..220.0;
/// Where the median of a round of 64 KiB lies.
pub const P50_64K_EXPECTED: Range<f64> = 100.0..200.0;
/// Where its 99th percentile lies.
pub const P99_64K_EXPECTED: Range<f64> = 200.0..400.0;
/// Where the median of a round of 1 MiB lies.
pub const P50_1M_EXPECTED: Range<f64> = 500.0..1_000.0;
/// Where its 99th percentile lies.
pub const P99_1M_EXPECTED: Range<f64> = 1_000.0..2_000.0;

/// One round: `bytes` at `position`, durable.
///
/// # Panics
/// If the disk fails.
pub fn write(target: &mut MappedFile, position: usize, bytes: &[u8]) {
    target.bytes()[position..position + bytes.len()].copy_from_slice(bytes);
    fdatasync(target.file()).expect("a disk that works");
}
