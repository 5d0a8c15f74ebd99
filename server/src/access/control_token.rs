//! The tokens of the control API: lines of a file, compared in constant time.

use std::fmt;
use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;

use crate::access::control_scope::ControlScopes;
use crate::access::error::AccessError;
use crate::access::limits::CONTROL_TOKENS_MAX;
use crate::access::secret_file;

/// Shortest control token, bytes: 16 random bytes cannot be guessed.
pub const CONTROL_TOKEN_BYTES_MIN: usize = 16;

/// What callers of the control API may present. `Debug` shows nothing of it.
///
/// Each line of the file is a token, and behind a blank the scopes that it is good for; a line
/// without scopes is good for everything. Empty lines and those that begin with `#` do not count.
pub struct ControlTokens {
    path: PathBuf,
    current: ArcSwap<Vec<ControlToken>>,
}

/// One of them.
struct ControlToken {
    secret: Vec<u8>,
    scopes: ControlScopes,
}

impl ControlTokens {
    /// Reads the tokens from a file.
    ///
    /// # Errors
    /// When the file cannot be read, has no token or too many, names a scope that is none, or has
    /// one that is shorter than [`CONTROL_TOKEN_BYTES_MIN`].
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        Ok(Self {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(parse(path)?),
        })
    }

    /// Reads the file again. When that fails the tokens stay as they were.
    ///
    /// # Errors
    /// As [`ControlTokens::read`].
    pub fn reload(&self) -> Result<(), AccessError> {
        self.current.store(parse(&self.path)?.into());
        Ok(())
    }

    /// What `presented` is good for, if it is one of the tokens. Takes the same time wherever it
    /// differs from them, and whichever it is.
    pub fn scopes_of(&self, presented: &str) -> Option<ControlScopes> {
        let mut found = None;
        for token in self.current.load().iter() {
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(
                &token.secret,
                presented.as_bytes(),
            );
            if same.is_ok() {
                found = Some(token.scopes);
            }
        }
        found
    }
}

impl fmt::Debug for ControlTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlTokens(..)")
    }
}

fn parse(path: &Path) -> Result<Vec<ControlToken>, AccessError> {
    let bytes = secret_file::read(path)?;
    let mut tokens = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if !line.is_empty() && !line.starts_with(b"#") {
            tokens.push(parse_line(path, line)?);
        }
    }
    if tokens.is_empty() {
        return Err(too_short(path));
    }
    if tokens.len() > CONTROL_TOKENS_MAX {
        return Err(AccessError::unusable(
            path,
            "more than 64 control tokens; take old ones out",
        ));
    }
    Ok(tokens)
}

fn parse_line(path: &Path, line: &[u8]) -> Result<ControlToken, AccessError> {
    let end = line.iter().position(u8::is_ascii_whitespace);
    let (secret, scopes) = line.split_at(end.unwrap_or(line.len()));
    if secret.len() < CONTROL_TOKEN_BYTES_MIN {
        return Err(too_short(path));
    }
    let scopes = match scopes.trim_ascii() {
        [] => ControlScopes::EVERYTHING,
        names => std::str::from_utf8(names)
            .ok()
            .and_then(ControlScopes::parse)
            .ok_or_else(|| {
                AccessError::unusable(
                    path,
                    "behind a control token stand its scopes with commas between: read, places, members, chats, erase, webhooks",
                )
            })?,
    };
    Ok(ControlToken {
        secret: secret.to_vec(),
        scopes,
    })
}

fn too_short(path: &Path) -> AccessError {
    AccessError::unusable(
        path,
        "a control token has at least 16 bytes; make one with `openssl rand -hex 32`",
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::ControlTokens;
    use crate::access::control_scope::{ControlScope, ControlScopes};
    use crate::access::limits::CONTROL_TOKENS_MAX;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn only_the_whole_token_opens() {
        let (_dir, path) = file("0123456789abcdef\n");
        let tokens = ControlTokens::read(&path).unwrap();
        assert_eq!(
            tokens.scopes_of("0123456789abcdef"),
            Some(ControlScopes::EVERYTHING)
        );
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdef\n",
            "0123456789abcdeF",
        ] {
            assert_eq!(tokens.scopes_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn each_line_is_a_token_with_its_scopes() {
        let (_dir, path) =
            file("# chat service\n0123456789abcdef members,read\n\nfedcba9876543210\terase\n");
        let tokens = ControlTokens::read(&path).unwrap();
        let chat = tokens.scopes_of("0123456789abcdef").unwrap();
        assert!(chat.has(ControlScope::Members) && chat.has(ControlScope::Read));
        assert!(!chat.has(ControlScope::Erase) && !chat.has(ControlScope::Places));
        let eraser = tokens.scopes_of("fedcba9876543210").unwrap();
        assert!(eraser.has(ControlScope::Erase) && !eraser.has(ControlScope::Read));
        assert_eq!(tokens.scopes_of("0123456789abcdef members,read"), None);
        assert_eq!(tokens.scopes_of("# chat service"), None);
    }

    #[test]
    fn a_file_that_is_no_good_is_refused_and_the_tokens_stay() {
        let (_dir, path) = file("0123456789abcdef");
        let tokens = ControlTokens::read(&path).unwrap();
        let many = "0123456789abcdef\n".repeat(CONTROL_TOKENS_MAX + 1);
        for (text, expect) in [
            ("short\n", "at least 16"),
            ("# nothing\n", "at least 16"),
            ("0123456789abcdef all", "scopes"),
            ("0123456789abcdef read,", "scopes"),
            ("0123456789abcdef read members", "scopes"),
            (many.as_str(), "more than 64"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = tokens.reload().unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
            assert!(tokens.scopes_of("0123456789abcdef").is_some());
        }
        std::fs::write(&path, "fedcba9876543210").unwrap();
        tokens.reload().unwrap();
        assert_eq!(tokens.scopes_of("0123456789abcdef"), None);
    }
}
