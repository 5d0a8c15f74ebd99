//! Floors of opening a log: each file of a folder opened and mapped, its first page read; and all
//! of each file read and a CRC-32 taken of it.
//!
//! Expected: 0.2 to 0.4 ms for 1 GiB in 20 files that lie in the page cache, and 110 to 240 ms with
//! the checksums, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, ext4.
//!
//! On one of an Intel Xeon: 0.09 to 0.18 ms, and 200 to 400 ms.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapOptions;

use crate::floors::expected::Expected;

/// Where the time lies on the machine above, milliseconds.
pub const EXPECTED: Expected = Expected::new(0.2..0.4, 0.09..0.18);

/// Where it lies when all is read and checked, milliseconds.
pub const CHECK_EXPECTED: Expected = Expected::new(110.0..240.0, 200.0..400.0);

/// Bytes read and checked at a time: they stay in the caches in between.
const PIECE_BYTES: usize = 256 << 10;

/// Reads and checks all files in a folder and its folders; gives something that depends on all.
///
/// # Panics
/// If one cannot be read.
pub fn check(folder: &Path) -> u32 {
    let mut sum = 0;
    let mut piece = vec![0; PIECE_BYTES];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sum ^= check(&path);
            continue;
        }
        let mut file = File::open(&path).expect("a file");
        loop {
            let count = file.read(&mut piece).expect("readable");
            if count == 0 {
                break;
            }
            sum ^= crc32fast::hash(&piece[..count]);
        }
    }
    sum
}

/// Opens all files in a folder and its folders; gives something that depends on all of them.
///
/// # Panics
/// If one cannot be read.
pub fn open(folder: &Path) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sum += open(&path);
            continue;
        }
        let file = File::open(&path).expect("a file");
        let mut page = [0; 4_096];
        let count = file.read_at(&mut page, 0).expect("readable");
        if count > 0 {
            let mapped = MmapOptions::new().map_raw_read_only(&file).expect("mapped");
            sum += mapped.len() as u64 + u64::from(page[0]);
        }
    }
    sum
}
