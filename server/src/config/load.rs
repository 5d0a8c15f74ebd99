//! Puts the layers together: defaults, file, environment, flags.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, File, FileFormat, Map, Value, ValueKind};

use crate::config::error::ConfigError;
use crate::config::keys;
use crate::config::settings::Config;

/// Variables that begin with this are configuration.
pub const ENVIRONMENT_PREFIX: &str = "SKEIN_";

/// Stands between section and key in a variable: `SKEIN_LISTEN__QUIC`.
pub const ENVIRONMENT_SEPARATOR: &str = "__";

/// Keys whose value is a list; in a variable or a flag it is separated by commas.
const LIST_KEYS: [&str; 3] = ["access.origins", "limits.address_exempt", "webhook.urls"];

/// The layers above the defaults. Later ones win.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The process's variables, or any others in a test.
    pub environment: Vec<(String, String)>,
    /// `section.key` and its text, from the command line.
    pub flags: Vec<(&'static str, String)>,
}

impl Layers {
    /// Reads, merges and types the layers. Relations between values are checked by
    /// [`Config::check`], which the caller asks for next.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML, an unknown key, a value of the wrong type.
    ///
    /// ```
    /// use skein_server::config::load::Layers;
    /// let layers = Layers {
    ///     environment: vec![("SKEIN_LISTEN__HTTP".into(), "127.0.0.1:0".into())],
    ///     flags: vec![("shards.cores", "0".into())],
    ///     ..Layers::default()
    /// };
    /// let config = layers.load().unwrap();
    /// assert_eq!(config.listen.http.port(), 0);
    /// assert_eq!(config.shards.cores.resolve(&[0, 1]), Ok(vec![0]));
    /// ```
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = &self.file {
            builder = builder.add_source(checked_file(path)?);
        }
        let known: BTreeSet<String> = keys::all().into_iter().collect();
        for (variable, text) in &self.environment {
            if let Some(key) = key_of_variable(variable, &known)? {
                builder = overridden(builder, &key, text)?;
            }
        }
        for (key, text) in &self.flags {
            builder = overridden(builder, key, text)?;
        }
        let merged = builder.build().map_err(wrong_type)?;
        merged.try_deserialize().map_err(wrong_type)
    }
}

/// The file as a source, once its keys are known to exist.
fn checked_file(path: &Path) -> Result<impl config::Source + Send + Sync + use<>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let not_toml = |cause: config::ConfigError| ConfigError::NotToml {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let source = File::from_str(&text, FileFormat::Toml);
    let tree = config::Source::collect(&source).map_err(not_toml)?;
    let known: BTreeSet<String> = keys::all().into_iter().collect();
    for key in leaves("", &tree, &known) {
        if !known.contains(&key) {
            return Err(unknown(key, format!("{}", path.display())));
        }
    }
    Ok(source)
}

/// Keys of a parsed file. A table below a known key is that key's value, a table that is no
/// section is reported whole.
fn leaves(path: &str, table: &Map<String, Value>, known: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in table {
        let key = keys::join(path, name);
        let is_section = known.iter().any(|k| k.starts_with(&format!("{key}.")));
        match &value.kind {
            ValueKind::Table(inner) if is_section => found.extend(leaves(&key, inner, known)),
            _ if is_section => {} // A value where a section belongs: the types will say so.
            _ => found.push(key),
        }
    }
    found.sort();
    found
}

/// The key that a variable sets, if it is meant for the server at all. Other programs of this
/// project have variables of their own (`SKEIN_TRACKS`), so only what is clearly meant as a key is
/// refused.
fn key_of_variable(
    variable: &str,
    known: &BTreeSet<String>,
) -> Result<Option<String>, ConfigError> {
    let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else {
        return Ok(None);
    };
    let key = rest.replace(ENVIRONMENT_SEPARATOR, ".").to_lowercase();
    if known.contains(&key) {
        return Ok(Some(key));
    }
    let meant = match rest.contains(ENVIRONMENT_SEPARATOR) {
        true => keys::nearest(&key),
        false => match keys::key_meant(&key) {
            None => return Ok(None),
            meant => meant,
        },
    };
    Err(ConfigError::UnknownVariable {
        variable: variable.to_owned(),
        nearest: meant.as_deref().map(variable_of),
    })
}

/// The variable of a key: `SKEIN_LISTEN__QUIC`.
fn variable_of(key: &str) -> String {
    let rest = key.replace('.', ENVIRONMENT_SEPARATOR).to_uppercase();
    format!("{ENVIRONMENT_PREFIX}{rest}")
}

fn unknown(key: String, origin: String) -> ConfigError {
    ConfigError::UnknownKey {
        nearest: keys::nearest(&key),
        key,
        origin,
    }
}

fn overridden(
    builder: ConfigBuilder<DefaultState>,
    key: &str,
    text: &str,
) -> Result<ConfigBuilder<DefaultState>, ConfigError> {
    let set = if LIST_KEYS.contains(&key) {
        let items: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect();
        builder.set_override(key, items)
    } else {
        builder.set_override(key, text)
    };
    set.map_err(wrong_type)
}

fn wrong_type(error: config::ConfigError) -> ConfigError {
    ConfigError::WrongType(error.to_string())
}
