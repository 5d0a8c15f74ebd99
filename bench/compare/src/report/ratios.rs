//! `target/ratios.json`, as `cargo bench` leaves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use skein_bench::doubt::Doubt;

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
    /// How sure their middle is, and below how sure our value is.
    pub interval: Option<[f64; 2]>,
    /// Of the middle of our blocks; of several values the least and the largest.
    pub ours_interval: Option<[f64; 2]>,
    /// Blocks of each side.
    pub blocks: Option<usize>,
    /// Blocks that were measured and do not count.
    #[serde(default)]
    pub dropped: usize,
    /// What else stands against it.
    #[serde(default)]
    pub doubts: Vec<Doubt>,
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
        let (ratio, spread) = self.ratio.zip(self.spread)?;
        Some(widened(ratio, spread))
    }

    /// Where the ratio of another run is to be expected.
    pub fn stated_interval(&self) -> Option<[f64; 2]> {
        let (ratio, interval) = self.ratio.zip(self.interval)?;
        Some(widened(ratio, interval))
    }

    /// Whether its blocks can be believed.
    pub fn is_sound(&self) -> bool {
        !self.flagged && self.doubts.is_empty()
    }
}

/// At least as wide as two processes differ.
fn widened(middle: f64, [low, high]: [f64; 2]) -> [f64; 2] {
    let least = middle * SPREAD_LEAST;
    [low.min(middle - least), high.max(middle + least)]
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
                r#"{{"ours": 1, "unit": "us", "floor": 1, "ratio": 2, "spread": [{low}, {high}],
                "interval": [{low}, {high}]}}"#
            );
            let ratio: Ratio = serde_json::from_str(&text).expect("a ratio");
            assert_eq!(ratio.stated_interval(), ratio.stated_spread());
            ratio.stated_spread().expect("a spread")
        };
        assert_eq!(stated([1.0, 3.0]), [1.0, 3.0]);
        assert_eq!(stated([1.99, 2.01]), [1.94, 2.06]);
        assert_eq!(stated([1.0, 2.01]), [1.0, 2.06]);
    }
}
