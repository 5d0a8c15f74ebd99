//! Files that hold secrets: made once, readable by their owner only, never half written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::access::error::AccessError;

/// Mode of a secret file: the owner reads and writes, nobody else.
const SECRET_MODE: u32 = 0o600;
/// Mode of a directory of secrets.
const SECRET_DIR_MODE: u32 = 0o700;
/// Bytes of a key that is nothing but random.
pub const KEY_BYTES: usize = 32;
/// Bytes of a secret file: keys and certificates have a few KiB; anything larger is a mistake.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret file, and warns when others may read it too.
///
/// # Errors
/// When it is not there, not readable or larger than any key.
pub fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    let (file, is_closed) = open(path)?;
    if !is_closed {
        tracing::warn!(path = %path.display(), "secret file is open to others; chmod 600 it");
    }
    read_whole(path, file)
}

/// The file, and whether only its owner may read it.
fn open(path: &Path) -> Result<(File, bool), AccessError> {
    let file = File::open(path).map_err(|e| AccessError::io(path, e))?;
    let metadata = file.metadata().map_err(|e| AccessError::io(path, e))?;
    Ok((file, metadata.mode() & 0o077 == 0))
}

fn read_whole(path: &Path, file: File) -> Result<Vec<u8>, AccessError> {
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| AccessError::io(path, e))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(AccessError::unusable(
            path,
            "larger than any key; wrong file?",
        ));
    }
    Ok(bytes)
}

/// Reads a secret file that nobody else may read.
///
/// # Errors
/// Those of [`read`]; when others may read it, too.
pub fn read_closed(path: &Path) -> Result<Vec<u8>, AccessError> {
    match open(path)? {
        (file, true) => read_whole(path, file),
        (_, false) => Err(AccessError::unusable(
            path,
            "open to others; chmod 600 it, and use a new key if they may have read it",
        )),
    }
}

/// Writes a secret file that must not be there yet.
///
/// # Errors
/// What the file system says; `AlreadyExists` when something is there.
pub fn write_once(path: &Path, content: &[u8]) -> Result<(), AccessError> {
    write_new(path, content)
        .and_then(|()| sync_parent(path))
        .map_err(|e| AccessError::io(path, e))
}

/// Puts a new content in the place of a secret file's, whole or not at all.
///
/// # Errors
/// What the file system says.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), AccessError> {
    let draft = draft_of(path)?;
    let written = write_new(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
        .and_then(|()| sync_parent(path))
        .map_err(|e| AccessError::io(path, e))
}

/// Reads a secret file, or makes it from `make` when it is not there yet. Two processes that
/// do this at the same time end up with the same content.
///
/// # Errors
/// Those of [`read`], and what the file system says when the file cannot be made.
pub fn read_or_create(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, AccessError> {
    match read(path) {
        Err(AccessError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        other => return other,
    }
    create(path, &make())?;
    read(path)
}

/// Reads a key of [`KEY_BYTES`] random bytes, or makes it.
///
/// # Errors
/// As [`read_or_create`]; when the file holds no such key.
pub fn read_or_create_key(path: &Path) -> Result<Vec<u8>, AccessError> {
    let mut fresh = vec![0; KEY_BYTES];
    getrandom::fill(&mut fresh)
        .map_err(|_| AccessError::unusable(path, "the system gives no random numbers"))?;
    let key = read_or_create(path, || fresh)?;
    if key.len() != KEY_BYTES {
        return Err(AccessError::unusable(
            path,
            "a key has 32 bytes; remove the file to get a new one",
        ));
    }
    Ok(key)
}

/// Makes the directory of secrets, and its parents, if it is not there yet.
///
/// # Errors
/// What the file system says.
pub fn create_dir(path: &Path) -> Result<(), AccessError> {
    DirBuilder::new()
        .recursive(true)
        .mode(SECRET_DIR_MODE)
        .create(path)
        .map_err(|e| AccessError::io(path, e))
}

/// Writes a new file under another name, makes it durable, then links it into place: whoever
/// comes second finds the first one's file.
fn create(path: &Path, content: &[u8]) -> Result<(), AccessError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    create_dir(parent)?;
    let draft = draft_of(path)?;
    let written = write_new(&draft, content).and_then(|()| match fs::hard_link(&draft, path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let _ = fs::remove_file(&draft);
    written
        .and_then(|()| sync_parent(path))
        .map_err(|e| AccessError::io(path, e))
}

/// A name beside a file, of nobody else.
fn draft_of(path: &Path) -> Result<PathBuf, AccessError> {
    let process = std::process::id();
    Ok(path.with_extension(format!("draft-{process}-{:08x}", random_u32()?)))
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn random_u32() -> Result<u32, AccessError> {
    getrandom::u32().map_err(|_| AccessError::Sign("the system gives no random numbers"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/secret");
        let first = read_or_create(&path, || b"one".to_vec()).unwrap();
        let second = read_or_create(&path, || b"two".to_vec()).unwrap();
        assert_eq!(first, b"one");
        assert_eq!(second, b"one");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_is_replaced_whole_and_never_read_where_others_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_once(&path, b"one").unwrap();
        assert!(write_once(&path, b"two").is_err(), "it is there");
        replace(&path, b"three").unwrap();
        assert_eq!(read_closed(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_closed(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_huge_file_is_refused_without_reading_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(matches!(read(&path), Err(AccessError::Unusable { .. })));
    }
}
