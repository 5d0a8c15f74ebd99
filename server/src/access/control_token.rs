//! The operator's token: a file's first line, compared in constant time.

use std::fmt;
use std::path::Path;

use crate::access::error::AccessError;
use crate::access::secret_file;

/// Shortest control token, bytes: 16 random bytes cannot be guessed.
pub const CONTROL_TOKEN_BYTES_MIN: usize = 16;

/// What a caller of the control API must present. `Debug` shows nothing of it.
pub struct ControlToken(Vec<u8>);

impl ControlToken {
    /// Reads the token from a file; white space around it does not count.
    ///
    /// # Errors
    /// When the file cannot be read or the token is shorter than [`CONTROL_TOKEN_BYTES_MIN`].
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let bytes = secret_file::read(path)?;
        let token = bytes.trim_ascii();
        if token.len() < CONTROL_TOKEN_BYTES_MIN {
            return Err(AccessError::unusable(
                path,
                "a control token has at least 16 bytes; make one with `openssl rand -hex 32`",
            ));
        }
        Ok(Self(token.to_vec()))
    }

    /// Whether `presented` is the token. Takes the same time wherever the two differ.
    pub fn matches(&self, presented: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, presented.as_bytes()).is_ok()
    }
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::ControlToken;

    #[test]
    fn only_the_whole_token_opens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let token = ControlToken::read(&path).unwrap();
        assert!(token.matches("0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdef\n",
            "0123456789abcdeF",
        ] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_short_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "short\n").unwrap();
        let error = ControlToken::read(&path).unwrap_err().to_string();
        assert!(error.contains("at least 16"), "{error}");
        assert!(!error.contains("short\n"), "{error}");
    }
}
