//! `target/ratios.json`, as `cargo bench` leaves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The least that the spread of a ratio is taken to be, either side of it, as a part of it. A run is
/// one process: where its text, its stack and its heap come to lie is settled once, and moves a
/// ratio by some hundredths, which no block and no lap of the run shows.
const SPREAD_LEAST: f64 = 0.03;

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

impl Ratio {
    /// The spread that is stated for the ratio: that of its blocks, or what two processes differ by
    /// where this is more.
    pub fn stated_spread(&self) -> Option<[f64; 2]> {
        let (ratio, [low, high]) = self.ratio.zip(self.spread)?;
        let least = ratio * SPREAD_LEAST;
        Some([low.min(ratio - least), high.max(ratio + least)])
    }
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

#[cfg(test)]
mod tests {
    use super::Ratio;

    #[test]
    fn a_spread_is_no_narrower_than_two_processes_differ() {
        let stated = |spread: [f64; 2]| {
            let [low, high] = spread;
            let text = format!(
                r#"{{"ours": 1, "unit": "us", "floor": 1, "ratio": 2, "spread": [{low}, {high}]}}"#
            );
            let ratio: Ratio = serde_json::from_str(&text).expect("a ratio");
            ratio.stated_spread().expect("a spread")
        };
        assert_eq!(stated([1.0, 3.0]), [1.0, 3.0]);
        assert_eq!(stated([1.99, 2.01]), [1.94, 2.06]);
        assert_eq!(stated([1.0, 2.01]), [1.0, 2.06]);
    }
}
