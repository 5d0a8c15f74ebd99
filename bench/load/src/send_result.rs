//! What senders did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checks::Sent;
use crate::latency::Counts;

/// Where senders stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendProgress {
    /// Points that were handed to the system.
    pub sent: u64,
    /// Points that could not be: a connection took nothing more, or was gone.
    pub unsent: u64,
}

/// What became of the points, as the server told the senders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Appended.
    pub accepted: u64,
    /// A newer point was there already.
    pub superseded: u64,
    /// Refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Sent, and nothing was said about them.
    pub unknown: u64,
}

impl Verdicts {
    /// All refused ones.
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// The end of a worker with senders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SendResult {
    /// Sums.
    pub progress: SendProgress,
    /// What became of them; `None` where the server does not say.
    pub verdicts: Option<Verdicts>,
    /// Of each sender, by its number: what viewers are owed.
    pub sent: Vec<Sent>,
    /// How late points were handed to the system: the loader's own delay.
    pub lateness: Counts,
    /// Sessions that ended and began anew.
    pub churned: u64,
    /// Connections that were lost, for each reason.
    pub lost: BTreeMap<String, u64>,
}
