//! A file of its own on the disk of the build, mapped: what the copying floors write into, the same
//! kind of memory as a segment of the log.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::slice;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{self, FallocateFlags, fadvise, fallocate};

/// How the pages of a new file are made writable before anything is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// As the system does it, in pieces that it likes: for memory that is copied into. All of it
    /// counts as changed then, and the first sync writes it.
    Ahead,
    /// In single pages: a piece that is changed in part is written as a whole, and pieces grow to
    /// 2 MiB. For syncs of less than that.
    Pages,
    /// Not at all: every byte is written once, by the sync after its store.
    Not,
}

/// A mapped file of which nobody else knows.
pub struct MappedFile {
    file: File,
    raw: MmapRaw,
}

impl MappedFile {
    /// Allocates and maps a new file, and touches it.
    ///
    /// # Panics
    /// If the file system refuses.
    pub fn create(path: &Path, bytes: usize, touch: Touch) -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path);
        let file = file.expect("a new file");
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64).expect("space for it");
        let raw = MmapOptions::new()
            .len(bytes)
            .map_raw(&file)
            .expect("mapped");
        if touch == Touch::Pages {
            raw.advise(Advice::Random).expect("advice");
            fadvise(&file, 0, None, fs::Advice::WillNeed).expect("advice");
        }
        if touch != Touch::Not {
            let touched = raw.advise(Advice::PopulateWrite);
            touched.expect("a kernel that can touch pages ahead (5.14)");
        }
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
