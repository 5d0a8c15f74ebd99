//! A directory of an old format that is checked in: read where it lies, copied, compared with what is
//! written today.

use std::fs;
use std::path::{Path, PathBuf};

/// A checked-in directory.
pub struct Fixture {
    /// Its folder in `tests/fixtures`.
    pub folder: &'static str,
    /// The files that count; a lock is none.
    pub files: &'static [&'static str],
}

impl Fixture {
    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        fixtures.join(self.folder)
    }

    /// A copy that may be changed.
    pub fn copy(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("temporary directory");
        self.copy_files(&self.path(), directory.path());
        directory
    }

    /// Asserts that `write` makes the same files, byte for byte.
    pub fn assert_written_by(&self, write: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().expect("temporary directory");
        write(directory.path());
        for name in self.files {
            let old = fs::read(self.path().join(name)).expect("fixture");
            let new = fs::read(directory.path().join(name)).expect("written");
            assert!(old == new, "{name} is not what it was");
        }
    }

    /// Makes the fixture of a new version.
    pub fn make(&self, write: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().expect("temporary directory");
        write(directory.path());
        fs::create_dir_all(self.path()).expect("make the folder");
        self.copy_files(directory.path(), &self.path());
    }

    fn copy_files(&self, from: &Path, to: &Path) {
        for name in self.files {
            fs::copy(from.join(name), to.join(name)).expect("copy");
        }
    }
}
