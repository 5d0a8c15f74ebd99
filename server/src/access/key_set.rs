//! Keys by their id, and the directory that holds them as files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::access::error::AccessError;
use crate::access::limits::{KID_BYTES_MAX, TRUSTED_KEYS_MAX};
use crate::access::signer::TokenSigner;
use crate::access::trusted_key::TrustedKey;

/// The server's own key within the directory of keys.
pub const TOKEN_KEY_FILE: &str = "token.pem";
/// Directory of other issuers' public keys within it.
pub const TRUSTED_DIR: &str = "trusted";

/// Key id to key.
pub type KeySet = HashMap<String, TrustedKey>;

/// Reads the directory of keys; none at all is an empty set.
///
/// # Errors
/// When a file cannot be read or holds no key, or when there are too many.
pub fn read_dir(dir: &Path) -> Result<KeySet, AccessError> {
    let mut keys = KeySet::new();
    let own = dir.join(TOKEN_KEY_FILE);
    if own.exists() {
        let signer = TokenSigner::open(&own)?;
        let key = TrustedKey::ed25519(signer.public())
            .ok_or_else(|| AccessError::unusable(&own, "no Ed25519 key"))?;
        keys.insert(signer.kid().to_owned(), key);
    }
    for path in trusted_files(&dir.join(TRUSTED_DIR))? {
        let (kid, key) = read_trusted(&path)?;
        keys.insert(kid, key);
    }
    Ok(keys)
}

fn trusted_files(dir: &Path) -> Result<Vec<PathBuf>, AccessError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| AccessError::io(dir, e))? {
        let path = entry.map_err(|e| AccessError::io(dir, e))?.path();
        if path.extension() == Some(OsStr::new("pem")) {
            files.push(path);
        }
        if files.len() > TRUSTED_KEYS_MAX {
            return Err(AccessError::unusable(
                dir,
                "more than 64 trusted keys; remove old ones",
            ));
        }
    }
    Ok(files)
}

fn read_trusted(path: &Path) -> Result<(String, TrustedKey), AccessError> {
    let kid = path
        .file_stem()
        .and_then(OsStr::to_str)
        .filter(|kid| kid.len() <= KID_BYTES_MAX)
        .ok_or_else(|| {
            AccessError::unusable(
                path,
                "the file's name is the key's id: at most 64 bytes of UTF-8",
            )
        })?;
    // A public key is no secret; only its size is checked the same way.
    let pem = std::fs::read(path).map_err(|e| AccessError::io(path, e))?;
    let key = TrustedKey::from_pem(&pem)
        .ok_or_else(|| AccessError::unusable(path, "no Ed25519 or P-256 public key in PEM form"))?;
    Ok((kid.to_owned(), key))
}
