//! Where a JWK set comes from: a file or an address.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use http::Uri;

use crate::http_call;

/// A file or an `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, looked at every second.
    File(PathBuf),
    /// An address that is fetched.
    Url {
        /// Where.
        uri: Uri,
        /// Certificates to trust for `https`, PEM; absent = those of the system.
        ca: Option<PathBuf>,
    },
}

/// What tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    modified: (i64, i64),
    inode: u64,
    bytes: u64,
}

impl JwksSource {
    /// From the text of a configuration: what has `://` in it is an address.
    ///
    /// # Errors
    /// What is wrong with it.
    ///
    /// ```
    /// use skein_server::access::jwks_source::JwksSource;
    /// let parse = |text| JwksSource::parse(text, None);
    /// assert!(matches!(parse("/etc/skein/keys.json"), Ok(JwksSource::File(_))));
    /// assert!(matches!(parse("https://id.example/jwks"), Ok(JwksSource::Url { .. })));
    /// assert!(parse("ftp://id.example/jwks").is_err());
    /// ```
    pub fn parse(text: &str, ca: Option<PathBuf>) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("it is empty; name a file or an https address");
        }
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let uri = http_call::address(text)?;
        Ok(Self::Url { uri, ca })
    }

    /// Whether whoever sits on the way could give other keys.
    pub fn is_open_to_others(&self) -> bool {
        matches!(self, Self::Url { uri, .. } if http_call::is_open_to_others(uri))
    }

    /// The file as it is now; `None` for an address, or where there is no file.
    pub fn stamp(&self) -> Option<FileStamp> {
        let Self::File(path) = self else {
            return None;
        };
        let metadata = std::fs::metadata(path).ok()?;
        Some(FileStamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
            bytes: metadata.len(),
        })
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url { uri, .. } => write!(f, "{uri}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::access::jwks_source::JwksSource;

    #[test]
    fn an_address_that_cannot_be_fetched_is_refused() {
        for (text, expect) in [("", "empty"), ("ftp://id.example/jwks", "http and https")] {
            let error = JwksSource::parse(text, None).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn only_plain_http_over_a_network_is_open_to_others() {
        for (text, open) in [
            ("http://id.example/jwks", true),
            ("https://id.example/jwks", false),
            ("/etc/skein/keys.json", false),
        ] {
            let source = JwksSource::parse(text, None).expect(text);
            assert_eq!(source.is_open_to_others(), open, "{text}");
        }
    }
}
