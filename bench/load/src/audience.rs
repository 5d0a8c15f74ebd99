//! What a worker needs of its viewers, over whatever transport they watch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checks::Sent;
use crate::fault::Fault;
use crate::latency::Counts;
use crate::tally::{TallyCounts, Totals};

/// The viewers of one worker.
pub trait Audience {
    /// Lets time pass and takes what comes.
    ///
    /// # Errors
    /// When the system does not let it go on. A viewer that is lost is no error.
    fn turn(&mut self, at_most: Duration) -> Result<(), Fault>;

    /// Where it stands.
    fn progress(&self) -> Progress;

    /// The run begins at this moment of [`crate::clock::now_ns`].
    fn start(&mut self, start_ns: u64);

    /// The senders are done: nobody leaves any more, and everybody reads.
    fn finish(&mut self);

    /// Points that viewers are owed and do not have, given what all senders have sent.
    fn missing(&self, sent: &[Sent]) -> u64;

    /// What there is to report, given what all senders have sent.
    fn result(&self, sent: &[Sent]) -> AudienceResult;
}

/// Where a worker's viewers stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Viewers that watch.
    pub watching: u32,
    /// Viewers that were lost, for each reason.
    pub lost: BTreeMap<String, u64>,
    /// Sums so far.
    pub totals: Totals,
}

/// What a worker's viewers got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AudienceResult {
    /// How it ended.
    pub progress: Progress,
    /// Points that are owed and not here.
    pub missing: u64,
    /// Viewers that left and came back as new ones.
    pub churned: u64,
    /// From the wish to connect until the server has confirmed the watch.
    pub joins: Counts,
    /// Everything else.
    pub tally: TallyCounts,
}
