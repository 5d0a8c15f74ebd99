//! `skein log scrub`: reads everything slowly, so that damage is found while there is a backup, and
//! not when the records are needed.
//!
//! `skein log verify` is the same without a bound on the rate.

use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use skein_log::{Inspector, PartitionId, VerifyReport};

use crate::cli::log_open::{self, Progress};

/// Problems that are printed; a damaged disk has more than anybody reads.
const PROBLEMS_SHOWN_MAX: usize = 100;

/// Arguments of `skein log scrub`.
#[derive(Debug, Args)]
pub struct ScrubArgs {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Read at most so many MiB per second; 0 = as fast as it goes.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub rate_mib: u64,
}

impl ScrubArgs {
    /// As fast as it goes.
    pub fn unbounded(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            rate_mib: 0,
        }
    }
}

/// Runs it.
///
/// # Errors
/// There is no log, or something in it is not right.
pub fn run(args: &ScrubArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut pace = Pace::new(args.rate_mib << 20);
    let (began, mut progress) = (Instant::now(), Progress::begin());
    let mut problems: Vec<String> = Vec::new();
    for (name, inspector) in log_open::both(&args.data_dir)? {
        let (mut records, mut bytes) = (0, 0);
        problems.extend(small_files(name, &inspector)?);
        for partition in (0..inspector.partitions()).map(PartitionId) {
            let observe = |report: &VerifyReport| {
                pace.took(report.bytes);
                let (all, number) = (pace.bytes >> 20, partition.0 + 1);
                let of = inspector.partitions();
                progress.say(|| format!("{name}: partition {number} of {of}, {all} MiB read"));
                thread::sleep(pace.ahead(began.elapsed()));
            };
            let report = inspector.verify_with(partition, observe)?;
            pace.next_partition();
            records += report.records;
            bytes += report.bytes;
            problems.extend(
                report
                    .problems
                    .iter()
                    .map(|problem| format!("{name}: {problem}")),
            );
        }
        writeln!(out, "{name}: {records} records, {bytes} bytes read")?;
    }
    for problem in problems.iter().take(PROBLEMS_SHOWN_MAX) {
        writeln!(out, "{problem}")?;
    }
    if !problems.is_empty() {
        bail!(
            "{} problems; stop the server, keep a copy of {}, then start it again: what can be read \
             is kept, damaged files are put aside",
            problems.len(),
            args.data_dir.display()
        );
    }
    writeln!(out, "no problems")?;
    Ok(())
}

fn small_files(name: &str, inspector: &Inspector) -> anyhow::Result<Vec<String>> {
    let damaged = inspector.damaged_small_files()?;
    let line = |file| format!("{name}: {file} is damaged");
    Ok(damaged.into_iter().map(line).collect())
}

/// How far it is with all partitions of both logs, and how far it may be.
struct Pace {
    /// 0: no bound.
    bytes_per_second: u64,
    /// Of partitions that are done.
    bytes_before: u64,
    /// Of all, the one that is read included.
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            bytes_before: 0,
            bytes: 0,
        }
    }

    /// So many bytes of the partition were read by now.
    fn took(&mut self, of_partition: u64) {
        self.bytes = self.bytes_before + of_partition;
    }

    fn next_partition(&mut self) {
        self.bytes_before = self.bytes;
    }

    /// How long to wait, so long after the beginning, to keep to the rate.
    fn ahead(&self, elapsed: Duration) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let due = self.bytes as f64 / self.bytes_per_second as f64;
        Duration::from_secs_f64(due).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::cli::log_scrub::Pace;

    const MIB: u64 = 1 << 20;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_rate_is_that_of_all_partitions_together() {
        let mut pace = Pace::new(2 * MIB);
        assert_eq!(pace.ahead(seconds(0)), seconds(0), "nothing is read");
        pace.took(4 * MIB);
        assert_eq!(pace.ahead(seconds(0)), seconds(2));
        // Each word is about all of the partition so far.
        pace.took(6 * MIB);
        assert_eq!(pace.ahead(seconds(1)), seconds(2));
        pace.next_partition();
        pace.took(4 * MIB);
        assert_eq!(pace.ahead(seconds(1)), seconds(4));
        assert_eq!(
            pace.ahead(seconds(9)),
            seconds(0),
            "a slow disk needs no wait"
        );
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pace = Pace::new(0);
        pace.took(1 << 40);
        assert_eq!(pace.ahead(seconds(0)), seconds(0));
    }
}
