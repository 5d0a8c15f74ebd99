//! That the figures notice: builds that are sabotaged on purpose, and what that did to a ratio.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Least change that counts as noticed.
pub const CHANGE_MIN: f64 = 1.5;

/// Name of the results in the folder of builds.
pub const FILE: &str = "sabotage.json";

/// What is done to the code, and the ratio that has to show it.
#[derive(Clone, Copy, Debug)]
pub struct Sabotage {
    /// The feature that does it.
    pub feature: &'static str,
    /// What it does.
    pub does: &'static str,
    /// The ratio.
    pub ratio: &'static str,
}

/// All of them.
pub const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        feature: "sabotage-pass-sleep",
        does: "a shard sleeps 1 ms in each pass",
        ratio: "first_viewer_p50",
    },
    Sabotage {
        feature: "sabotage-pass-sleep",
        does: "a shard sleeps 1 ms in each pass",
        ratio: "last_of_100_p50",
    },
    Sabotage {
        feature: "sabotage-pass-ticker",
        does: "a shard's passes begin at a tick of 5 ms",
        ratio: "first_viewer_p50",
    },
    Sabotage {
        feature: "sabotage-crc-per-record",
        does: "the log has a checksum for each record",
        ratio: "log_append_64B_batched",
    },
];

/// What one of them did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The feature.
    pub feature: String,
    /// What it does.
    pub does: String,
    /// The ratio.
    pub ratio: String,
    /// As it is; `None`: it was not measured, as below.
    pub honest: Option<f64>,
    /// With the feature.
    pub sabotaged: Option<f64>,
}

/// What all of them did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// When, as `2024-05-01T08:00:00Z`.
    pub at: String,
    /// What.
    pub commit: String,
    /// One for each sabotage.
    pub effects: Vec<Effect>,
}

impl Effect {
    /// By how much the ratio changed, up or down.
    pub fn change(&self) -> Option<f64> {
        let (honest, sabotaged) = self.honest.zip(self.sabotaged)?;
        Some((honest / sabotaged).max(sabotaged / honest))
    }

    /// Whether it changed by enough.
    pub fn is_noticed(&self) -> bool {
        self.change().is_some_and(|change| change >= CHANGE_MIN)
    }
}

impl Effects {
    /// Whether all were noticed, and there was one.
    pub fn all_noticed(&self) -> bool {
        !self.effects.is_empty() && self.effects.iter().all(Effect::is_noticed)
    }

    /// Reads a file; one that is not there has nothing.
    ///
    /// # Errors
    /// If the file is something else.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{} is not what `sabotage` writes", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// A table in Markdown.
impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| what is done | feature | ratio | as it is | sabotaged | changed by | |\n")?;
        f.write_str("|---|---|---|---|---|---|---|\n")?;
        for effect in &self.effects {
            writeln!(f, "{effect}")?;
        }
        Ok(())
    }
}

/// Its row.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            feature,
            does,
            ratio,
            ..
        } = self;
        write!(f, "| {does} | `{feature}` | `{ratio}` |")?;
        for value in [self.honest, self.sabotaged] {
            match value {
                Some(value) => write!(f, " {value:.3} |")?,
                None => f.write_str("  |")?,
            }
        }
        match self.change() {
            Some(change) if self.is_noticed() => write!(f, " {change:.2}x | noticed |"),
            Some(change) => write!(f, " {change:.2}x | **not noticed** |"),
            None => f.write_str("  | **not measured** |"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Effects};

    fn effect(honest: Option<f64>, sabotaged: Option<f64>) -> Effect {
        Effect {
            feature: "sabotage-sleep".to_owned(),
            does: "it sleeps".to_owned(),
            ratio: "first".to_owned(),
            honest,
            sabotaged,
        }
    }

    #[test]
    fn a_change_up_or_down_is_noticed_and_what_was_not_measured_is_not() {
        for (honest, sabotaged, row) in [
            (Some(1.2), Some(1.8), "| 1.200 | 1.800 | 1.50x | noticed |"),
            (Some(0.3), Some(0.1), "| 0.300 | 0.100 | 3.00x | noticed |"),
            (
                Some(1.2),
                Some(1.7),
                "| 1.200 | 1.700 | 1.42x | **not noticed** |",
            ),
            (Some(1.2), None, "| 1.200 |  |  | **not measured** |"),
        ] {
            let effect = effect(honest, sabotaged);
            assert!(effect.to_string().ends_with(row), "{effect}");
            let noticed = row.ends_with("| noticed |");
            assert_eq!(effect.is_noticed(), noticed, "{effect}");
            let effects = vec![self::effect(Some(1.0), Some(2.0)), effect];
            let effects = Effects {
                effects,
                ..Effects::default()
            };
            assert_eq!(effects.all_noticed(), noticed, "{effects}");
        }
        assert!(!Effects::default().all_noticed(), "nothing was tried");
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sabotage.json");
        assert_eq!(Effects::read(&path).expect("no file"), None);
        let effects = Effects {
            effects: vec![effect(Some(1.0), None)],
            ..Effects::default()
        };
        effects.write(&path).expect("written");
        assert_eq!(Effects::read(&path).expect("a file"), Some(effects));
    }
}
