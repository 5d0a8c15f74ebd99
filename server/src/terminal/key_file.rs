//! A file of sealing keys: read only where nobody else can read it, and again when it has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use skein_client::seal::key_ring::KeyRing;

use crate::access::secret_file;

/// How often it is looked at: a new key is in use this long after it was put there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one content from the next.
type Mark = (u64, i64, i64, u64);

/// The file.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    mark: Option<Mark>,
    looked_at: Instant,
}

impl KeyFile {
    /// Reads the keys.
    ///
    /// # Errors
    /// When the file is not there, open to others, or holds something that is no key.
    pub fn open(path: &Path) -> anyhow::Result<(Self, KeyRing)> {
        let mark = mark(path);
        let ring = read(path)?;
        let file = Self {
            path: path.to_owned(),
            mark,
            looked_at: Instant::now(),
        };
        Ok((file, ring))
    }

    /// The keys, if they may be others than before. A file that cannot be used is said on stderr,
    /// and the keys stay as they were.
    pub fn news(&mut self) -> Option<KeyRing> {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return None;
        }
        self.looked_at = Instant::now();
        let mark = mark(&self.path);
        if mark == self.mark {
            return None;
        }
        self.mark = mark;
        match read(&self.path) {
            Ok(ring) => Some(ring),
            Err(error) => {
                eprintln!("keys stay as they were: {error:#}");
                None
            }
        }
    }
}

/// Reads the keys of a file.
///
/// # Errors
/// As [`KeyFile::open`].
pub fn read(path: &Path) -> anyhow::Result<KeyRing> {
    let bytes = secret_file::read_closed(path)?;
    // What is no text is no key either; nothing of it may be shown.
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow!("{} is no file of keys: it is not text", path.display()))?;
    KeyRing::parse(&text).with_context(|| {
        format!(
            "{} is no file of keys (`skein seal new` makes one)",
            path.display()
        )
    })
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.len(),
    ))
}
