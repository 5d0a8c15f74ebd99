//! Floor of opening a log: each file of a folder opened and mapped, its first page read.
//!
//! Expected: 0.1 to 0.2 ms for 1 GiB in 20 files whose first pages lie in the page cache, on a
//! virtual machine with two cores of an AMD EPYC (Zen 4), Linux 6.18, ext4.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapOptions;

/// Where the time lies on the machine above, milliseconds.
pub const EXPECTED: Range<f64> = 0.1..0.2;

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
