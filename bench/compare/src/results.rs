//! What a run leaves behind: a file for the report and for whoever wants to look closer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Measure};
use crate::machine::Machine;

/// A peer, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerResult {
    /// Its name on the command line.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// How it was set up.
    pub settings: String,
    /// Why it has no figures, or not all of them; empty: it has.
    pub trouble: String,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// When, as `2024-05-01T08:00:00Z`.
    pub at: String,
    /// What.
    pub commit: String,
    /// Where.
    pub machine: Machine,
    /// How much: `full` or `quick`.
    pub effort: String,
    /// Bytes of payload of a log that is opened again.
    pub restart_bytes: u64,
    /// Who.
    pub peers: Vec<PeerResult>,
    /// How fast.
    pub figures: Vec<Figure>,
}

impl Results {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not there or not one of ours.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{}; `compare` writes it", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no results", path.display()))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// A figure, if it was measured.
    pub fn figure(&self, peer: &str, measure: Measure) -> Option<&Figure> {
        let mut all = self.figures.iter();
        all.find(|figure| figure.peer == peer && figure.measure == measure)
    }

    /// The peers that have this measure, in order.
    pub fn peers_with(&self, measure: Measure) -> impl Iterator<Item = (&PeerResult, &Figure)> {
        let figure = move |peer: &PeerResult| self.figure(&peer.name, measure);
        self.peers
            .iter()
            .filter_map(move |peer| Some((peer, figure(peer)?)))
    }
}

/// Results of one measure, for tests.
#[cfg(test)]
pub(crate) fn of_values(values: &[(&str, [f64; 2])], measure: Measure) -> Results {
    let mut figures = crate::figure::Figures::default();
    for (peer, values) in values {
        for value in values {
            figures.add(peer, measure, *value);
        }
    }
    let peer = |(name, _): &(&str, [f64; 2])| PeerResult {
        name: (*name).to_owned(),
        title: name.to_uppercase(),
        settings: String::new(),
        trouble: String::new(),
    };
    Results {
        at: String::new(),
        commit: String::new(),
        machine: Machine::default(),
        effort: "full".to_owned(),
        restart_bytes: 0,
        peers: values.iter().map(peer).collect(),
        figures: figures.into_vec(),
    }
}
