//! Floor of a durable append: the same bytes copied into a mapped, allocated file behind those of
//! the round before, and `fdatasync`.
//!
//! The file is new, as a segment is, and touched: the first sync writes all of it, and from then on
//! a sync overwrites what was written. It is held in memory in single pages, so that a sync writes
//! the bytes of its round and no more; in the pieces that the system would make of it a round of
//! 4 KiB writes up to 2 MiB, and takes four times as long.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, ext4 on a
//! virtual disk that nobody else writes to: 4 KiB 65 to 130 us at the median and 110 to 220 at the
//! 99th percentile, 64 KiB 150 to 300 and 400 to 800, 1 MiB 600 to 1,400 and, as the disk
//! has pauses of its own, 2,000 to 50,000. Those pauses are in the throughput: 32 to 63 MB/s, 150
//! to 300 MB/s and 400 to 900 MB/s.
//!
//! On one of an Intel Xeon: 4 KiB 100 to 200 us and 180 to 360, 20 to 40 MB/s; 64 KiB the same; 1 MiB 900 to 1,800 us and 2,000 to
//! 50,000, 330 to 660 MB/s.

use rustix::fs::fdatasync;

use crate::floors::expected::Expected;
use crate::floors::mapped_file::MappedFile;

/// Where the median of a round of 4 KiB lies on the machine above, microseconds.
pub const P50_4K_EXPECTED: Expected = Expected::new(65.0..130.0, 100.0..200.0);
/// Where its 99th percentile lies.
pub const P99_4K_EXPECTED: Expected = Expected::new(110.0..220.0, 180.0..360.0);
/// Where the median of a round of 64 KiB lies.
pub const P50_64K_EXPECTED: Expected = Expected::anywhere(150.0..300.0);
/// Where its 99th percentile lies.
pub const P99_64K_EXPECTED: Expected = Expected::anywhere(400.0..800.0);
/// Where the median of a round of 1 MiB lies.
pub const P50_1M_EXPECTED: Expected = Expected::new(600.0..1_400.0, 900.0..1_800.0);
/// Where its 99th percentile lies.
pub const P99_1M_EXPECTED: Expected = Expected::anywhere(2_000.0..50_000.0);

/// Where the throughput of rounds of 4 KiB lies, bytes per second.
pub const THROUGHPUT_4K_EXPECTED: Expected = Expected::new(32e6..63e6, 20e6..40e6);
/// Where that of rounds of 64 KiB lies.
pub const THROUGHPUT_64K_EXPECTED: Expected = Expected::anywhere(150e6..300e6);
/// Where that of rounds of 1 MiB lies.
pub const THROUGHPUT_1M_EXPECTED: Expected = Expected::new(400e6..900e6, 330e6..660e6);

/// One round: `bytes` at `position`, durable.
///
/// # Panics
/// If the disk fails.
pub fn write(target: &mut MappedFile, position: usize, bytes: &[u8]) {
    target.bytes()[position..position + bytes.len()].copy_from_slice(bytes);
    fdatasync(target.file()).expect("a disk that works");
}
