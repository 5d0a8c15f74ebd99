//! What a peer with a log is: appended to, filled, opened again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::figure::Measure;
use crate::peer::Info;

/// Bytes of a record when appending is measured.
pub const RECORD_BYTES: usize = 64;

/// Records of a batch.
pub const BATCH_RECORDS: usize = 64;

/// Bytes of a record of a log that is opened again: fewer and larger, so that filling does not take
/// longer than all the rest.
pub const RESTART_RECORD_BYTES: usize = 1_024;

/// What an append means when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is in the page cache.
    PageCache,
    /// It is in the page cache; a sync follows each second.
    EachSecond,
    /// It is on the disk.
    Disk,
}

impl Durability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PageCache, Self::EachSecond, Self::Disk];

    /// The measure of appending like this.
    pub fn measure(self) -> Measure {
        match self {
            Self::PageCache => Measure::Append,
            Self::EachSecond => Measure::AppendEachSecond,
            Self::Disk => Measure::AppendDurable,
        }
    }
}

/// How fast a log took records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appended {
    /// Records acknowledged per second.
    pub per_second: f64,
    /// Its share of the pace of a plain file that was written and synced in turn with it, where
    /// that was measured.
    pub of_raw: Option<f64>,
}

impl From<f64> for Appended {
    fn from(per_second: f64) -> Self {
        Self {
            per_second,
            of_raw: None,
        }
    }
}

/// Opens a full log until it is of use again: milliseconds. It ends as in a crash.
pub type Reopen<'a> = Box<dyn Fn() -> Result<f64> + 'a>;

/// A peer with a log.
pub trait LogPeer {
    /// Who it is.
    fn info(&self) -> Info;

    /// What it lacks on this machine; `None`: it can be started.
    fn missing(&self) -> Option<String>;

    /// What it offers.
    fn durabilities(&self) -> &'static [Durability];

    /// Appends batches to a new log for a while.
    ///
    /// # Errors
    /// If it does not start or refuses.
    fn append(&self, durability: Durability, time: Duration, folder: &Path) -> Result<Appended>;

    /// Fills a new log with so many bytes and ends it as a crash does. What it gives opens the log
    /// in that very folder, whose contents may be others by then: a copy of what the crash left.
    ///
    /// # Errors
    /// If it does not start or refuses.
    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>>;
}
