//! Floor of a durable append: the same bytes copied into a mapped, allocated file behind those of
//! the round before, and `fdatasync`.
//!
//! The file is new, as a segment is: the first sync of each stretch also makes its extents
//! "written", which overwriting an old file would not need.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4), Linux 6.18, ext4 on a
//! virtual disk: 4 KiB 80 to 160 us at the median and 120 to 240 at the 99th percentile, 64 KiB
//! 100 to 200 and 150 to 300, 1 MiB 400 to 800 and 550 to 1,100.

use std::ops::Range;

use rustix::fs::fdatasync;

use crate::floors::mapped_file::MappedFile;

/// Where the median of a round of 4 KiB lies on the machine above, microseconds.
pub const P50_4K_EXPECTED: Range<f64> = 80.0..160.0;
/// Where its 99th percentile lies.
pub const P99_4K_EXPECTED: Range<f64> = 120.0..240.0;
/// Where the median of a round of 64 KiB lies.
pub const P50_64K_EXPECTED: Range<f64> = 100.0..200.0;
/// Where its 99th percentile lies.
pub const P99_64K_EXPECTED: Range<f64> = 150.0..300.0;
/// Where the median of a round of 1 MiB lies.
pub const P50_1M_EXPECTED: Range<f64> = 400.0..800.0;
/// Where its 99th percentile lies.
pub const P99_1M_EXPECTED: Range<f64> = 550.0..1_100.0;

/// One round: `bytes` at `position`, durable.
///
/// # Panics
/// If the disk fails.
pub fn write(target: &mut MappedFile, position: usize, bytes: &[u8]) {
    target.bytes()[position..position + bytes.len()].copy_from_slice(bytes);
    fdatasync(target.file()).expect("a disk that works");
}
