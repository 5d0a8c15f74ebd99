//! The public half of the server's own key as a file, for relays and services that are to trust its tokens.
//!
//! Who trusts a key names it by its id: [`write_named`] makes the `KID.pem` that belongs into `trusted`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::access::error::AccessError;
use crate::access::secret_file;
use crate::access::signer::TokenSigner;

/// The public half of the server's own key within the directory of keys.
pub const PUBLIC_KEY_FILE: &str = "token.pub.pem";

/// Puts the public half beside the key, where it is not there yet or of another key. A directory that
/// cannot be written is no obstacle: nobody needs the file to come in.
pub fn keep_beside(dir: &Path, signer: &TokenSigner) {
    let path = dir.join(PUBLIC_KEY_FILE);
    let pem = signer.public_pem().as_bytes();
    let is_kept = fs::read(&path).is_ok_and(|kept| kept == pem);
    let kept = match is_kept {
        true => Ok(()),
        false => secret_file::replace(&path, pem),
    };
    match kept {
        Ok(()) => {
            tracing::info!(kid = signer.kid(), public_key = %path.display(), "the key of users' tokens");
        }
        Err(error) => {
            tracing::warn!(kid = signer.kid(), %error, "the public key cannot be kept beside the key; `skein token --public-key` prints it");
        }
    }
}

/// Writes the public half into a directory, which is made if need be, under the key's id. Where it is.
///
/// # Errors
/// What the file system says.
pub fn write_named(dir: &Path, signer: &TokenSigner) -> Result<PathBuf, AccessError> {
    secret_file::create_dir(dir)?;
    let path = dir.join(format!("{}.pem", signer.kid()));
    secret_file::replace(&path, signer.public_pem().as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::access::key_set::{TOKEN_KEY_FILE, TRUSTED_DIR, read_dir};
    use crate::access::public_key_file::{PUBLIC_KEY_FILE, keep_beside, write_named};
    use crate::access::signer::TokenSigner;

    #[test]
    fn the_file_beside_the_key_is_of_that_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = dir.path().join(TOKEN_KEY_FILE);
        let public = dir.path().join(PUBLIC_KEY_FILE);
        for _ in 0..2 {
            let signer = TokenSigner::open_or_create(&key).expect("a key");
            keep_beside(dir.path(), &signer);
            let kept = fs::read_to_string(&public).expect("kept");
            assert_eq!(kept, signer.public_pem());
            assert!(!kept.contains("PRIVATE"), "{kept}");
            fs::remove_file(&key).expect("another key comes");
        }
    }

    #[test]
    fn what_is_written_for_others_is_trusted_there_under_the_same_id() {
        let (here, there) = (tempfile::tempdir(), tempfile::tempdir());
        let (here, there) = (here.expect("a folder"), there.expect("a folder"));
        let signer = TokenSigner::open_or_create(&here.path().join(TOKEN_KEY_FILE)).expect("a key");
        write_named(&there.path().join(TRUSTED_DIR), &signer).expect("written");
        let trusted = read_dir(there.path()).expect("keys");
        assert!(trusted.contains_key(signer.kid()), "{trusted:?}");
    }
}
