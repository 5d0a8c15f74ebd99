//! `target/ratios.json`, as `cargo bench` leaves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One entry: ours, and the floor of the same run where there is one.
#[derive(Clone, Debug, Deserialize)]
pub struct Ratio {
    /// Our value.
    pub ours: f64,
    /// Its unit.
    pub unit: String,
    /// The floor's value.
    pub floor: Option<f64>,
    /// The middle of the ratios of neighbouring blocks.
    pub ratio: Option<f64>,
    /// The middle nine tenths of them.
    pub spread: Option<[f64; 2]>,
    /// The floor was too far from its documented range: the ratio is not to be believed.
    #[serde(default)]
    pub flagged: bool,
    /// When it was measured.
    #[serde(default)]
    pub at: String,
    /// What was measured.
    #[serde(default)]
    pub commit: String,
    /// How much was measured: `full` or `quick`.
    #[serde(default)]
    pub effort: String,
}

/// All of them by name. A file that is not there has none.
///
/// # Errors
/// If the file is something else.
pub fn read(path: &Path) -> Result<BTreeMap<String, Ratio>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `cargo bench` writes", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("no {}: `cargo bench` writes it", path.display());
            Ok(BTreeMap::new())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
