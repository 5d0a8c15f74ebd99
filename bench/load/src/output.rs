//! Results in files.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Writes a result where it was asked for.
///
/// # Errors
/// When that is not possible.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
