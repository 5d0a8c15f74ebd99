//! Files of a command that hold places: for their owner only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Mode of a file that is made: the owner reads and writes, nobody else.
const PRIVATE_MODE: u32 = 0o600;

/// A file to write to, over what was there. One that was there keeps its mode.
///
/// # Errors
/// When it cannot be written.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(PRIVATE_MODE).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use crate::cli::private_file::create;

    #[test]
    fn it_is_for_its_owner_and_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("export.gpx");
        create(&path)
            .expect("made")
            .write_all(b"long ago")
            .expect("written");
        create(&path)
            .expect("opened")
            .write_all(b"now")
            .expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"now");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }
}
