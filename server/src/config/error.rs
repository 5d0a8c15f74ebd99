//! What can be wrong with a configuration, always with what to do next.

use std::path::PathBuf;

/// A configuration that cannot be used. The text names the key and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {cause}; check the path given to --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },

    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {cause}", path.display())]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        cause: String,
    },

    /// A key that is not known.
    #[error("unknown configuration key `{key}` in {origin}{}; docs/OPERATIONS.md lists every key", hint(nearest.as_deref()))]
    UnknownKey {
        /// The key with its section, `section.key`.
        key: String,
        /// The file.
        origin: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },

    /// A variable that is meant for the server and sets no key.
    #[error("the environment variable {variable} sets no configuration key{}; docs/OPERATIONS.md lists every key", hint(nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The variable that looks most like it.
        nearest: Option<String>,
    },

    /// A value of the wrong type or form.
    #[error("configuration: {0}")]
    WrongType(String),

    /// A value that is out of range or does not go with another one.
    #[error("configuration key `{key}`: {problem}")]
    Invalid {
        /// The key with its section.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}
