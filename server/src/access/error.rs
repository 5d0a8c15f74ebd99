//! Errors of keys and secret files: all are the operator's to solve, each says how.

use std::borrow::Cow;
use std::path::PathBuf;

/// A key or secret file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file system refused.
    #[error("{path}: {source}; check that the file exists and that this user may use it")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and is not what it should be.
    #[error("{path}: {problem}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do. Never holds the file's content.
        problem: Cow<'static, str>,
    },
    /// A token could not be made.
    #[error("the token could not be signed: {0}")]
    Sign(&'static str),
}

impl AccessError {
    /// Wraps what the system said about `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// Says what is wrong with the content of `path`.
    pub fn unusable(path: impl Into<PathBuf>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Unusable {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
