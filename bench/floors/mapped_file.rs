//! A file of its own on the disk of the build, mapped and pre-touched: what the copying floors
//! write into, the same kind of memory as a segment of the log.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::slice;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};

/// A mapped file of which nobody else knows.
pub struct MappedFile {
    file: File,
    raw: MmapRaw,
}

impl MappedFile {
    /// Allocates, maps and pre-touches a new file.
    ///
    /// # Panics
    /// If the file system refuses.
    pub fn create(path: &Path, bytes: usize) -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path);
        let file = file.expect("a new file");
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64).expect("space for it");
        let raw = MmapOptions::new()
            .len(bytes)
            .map_raw(&file)
            .expect("mapped");
        let touched = raw.advise(Advice::PopulateWrite);
        touched.expect("a kernel that can touch pages ahead (5.14)");
        Self { file, raw }
    }

    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is as long as this and lives as long as `self`; `&mut self` makes
        // the slice the only one, and no other process knows the file of a temporary folder.
        unsafe { slice::from_raw_parts_mut(self.raw.as_mut_ptr(), self.raw.len()) }
    }

    /// The file, for syncing.
    pub fn file(&self) -> &File {
        &self.file
    }
}
