//! `skein log`: looks into a data directory's logs, while a server runs on it or not.
//!
//! Nothing is locked and nothing is changed, except by `erase`. Coordinates stay out of the output unless asked for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use skein_log::{
    InspectError, Inspector, OFFSET_FIRST, Offset, PartitionId, PartitionStat, ReadError, Tail,
};

use crate::cli::log_erase::{self, EraseArgs};
use crate::cli::log_export::{self, ExportArgs};
use crate::cli::log_open::{self, Progress};
use crate::cli::log_scrub::{self, ScrubArgs};
use crate::interrupt::Interrupt;
use crate::log_json;

/// Time between two looks for new records while following.
const TAIL_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `skein log`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein log stat --data-dir skein-data
  skein log verify --data-dir skein-data
  skein log dump --data-dir skein-data --partition 3
  skein log tail --data-dir skein-data --control
  skein log scrub --data-dir skein-data --rate-mib 16
  skein log export --data-dir skein-data --format gpx --out tracks.gpx
  skein log erase --data-dir skein-data --chat hike --user ana

A server may be running on the directory, except for erase. dump and tail print one JSON object a line.")]
pub struct LogArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print what the event log and the control log hold.
    Stat {
        /// The server's data directory.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Check every byte of both logs as fast as it goes; exit code 1 when something is wrong.
    Verify {
        /// The server's data directory.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Read everything at a bounded rate, beside a running server; exit code 1 when something is
    /// wrong.
    Scrub(ScrubArgs),
    /// Write records as JSON lines or points as GPX, coordinates included.
    Export(ExportArgs),
    /// Take the points of a chat, or of one of its members, out of the log and the history of a stopped
    /// server (of a running one: DELETE /v1/log/chats/CHAT/points); exit code 1 when something is left.
    Erase(EraseArgs),
    /// Print the records that are there; exit code 1 when something is damaged.
    Dump(ReadArgs),
    /// Print records as they come, until interrupted; then exit code 1 when something was damaged.
    Tail(ReadArgs),
}

/// Which records to print, and how.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The control log instead of the event log.
    #[arg(long)]
    pub control: bool,
    /// Only this partition.
    #[arg(long, value_name = "P")]
    pub partition: Option<u16>,
    /// Begin at this offset; the first one for dump, the next one for tail.
    #[arg(long, value_name = "OFFSET")]
    pub from: Option<Offset>,
    /// Print coordinates; whoever sees the output then sees where people were.
    #[arg(long)]
    pub show_positions: bool,
}

/// Runs `skein log`.
///
/// # Errors
/// When there is no log, or it is damaged.
pub fn run(args: LogArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Stat { data_dir } => stat(&data_dir),
        Verb::Verify { data_dir } => log_scrub::run(&ScrubArgs::unbounded(data_dir)),
        Verb::Scrub(args) => log_scrub::run(&args),
        Verb::Export(args) => log_export::run(&args),
        Verb::Erase(args) => log_erase::run(&args),
        Verb::Dump(args) => read(&args, false),
        Verb::Tail(args) => read(&args, true),
    }
}

fn stat(data_dir: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for (name, inspector) in log_open::both(data_dir)? {
        let stat = inspector.stat()?;
        let clean = if stat.clean {
            "closed cleanly"
        } else {
            "in use, or not closed cleanly"
        };
        writeln!(
            out,
            "{name} {}: {} partitions, {clean}",
            stat.log_id,
            stat.partitions.len()
        )?;
        for partition in stat.partitions.iter().filter(|p| !p.segments.is_empty()) {
            writeln!(out, "  {}", partition_line(partition))?;
        }
        for consumer in inspector.consumers()? {
            let end =
                |partition: &PartitionStat| partition.segments.last().map_or(1, |s| s.end_offset);
            let behind = stat.partitions.iter().zip(&consumer.next);
            let lag: u64 = behind.map(|(it, next)| end(it).saturating_sub(*next)).sum();
            writeln!(out, "  consumer {}: {lag} records behind", consumer.name)?;
        }
        if stat.spare_bytes > 0 {
            writeln!(out, "  prepared for later: {} bytes", stat.spare_bytes)?;
        }
        for file in &stat.quarantined {
            writeln!(out, "  put aside because it is damaged: {file}")?;
        }
    }
    Ok(())
}

fn partition_line(stat: &PartitionStat) -> String {
    let first = stat
        .segments
        .first()
        .map_or(OFFSET_FIRST, |s| s.base_offset)
        .max(stat.floor);
    let next = stat
        .segments
        .last()
        .map_or(first, |segment| segment.end_offset);
    let used: u64 = stat.segments.iter().map(|segment| segment.used_bytes).sum();
    let files: u64 = stat.segments.iter().map(|segment| segment.bytes).sum();
    let epoch = stat.epochs.last().map_or(0, |epoch| epoch.epoch);
    let checkpoint = stat.checkpoint.map_or("none".to_owned(), |(begin, end)| {
        format!("{begin} to {end}")
    });
    format!(
        "partition {}: offsets {first} to {}, {} segments, {used} of {files} bytes used, epoch \
         {epoch}, checkpoint {checkpoint}",
        stat.partition.0,
        next.saturating_sub(1),
        stat.segments.len(),
    )
}

fn read(args: &ReadArgs, follow: bool) -> anyhow::Result<()> {
    let inspector = log_open::one(&args.data_dir, args.control)?;
    let partitions: Vec<PartitionId> = match args.partition {
        Some(partition) => vec![PartitionId(partition)],
        None => (0..inspector.partitions()).map(PartitionId).collect(),
    };
    let ends = if follow {
        ends(&inspector)?
    } else {
        Vec::new()
    };
    let mut tails = Vec::new();
    for partition in partitions {
        let end = ends
            .get(usize::from(partition.0))
            .copied()
            .unwrap_or(OFFSET_FIRST);
        tails.push((
            partition,
            inspector.tail(partition, args.from.unwrap_or(end))?,
        ));
    }
    let end = follow.then(listen).transpose()?;
    let mut printer = Printer {
        args,
        out: io::stdout().lock(),
        progress: (!follow).then(Progress::begin),
        partitions: inspector.partitions(),
        records: 0,
        damaged: 0,
    };
    'looks: loop {
        for (partition, tail) in &mut tails {
            while printer.next(*partition, tail)? {
                if end.as_ref().is_some_and(|end| is_over(end, Duration::ZERO)) {
                    break 'looks;
                }
            }
        }
        printer.out.flush()?;
        match &end {
            Some(end) if !is_over(end, TAIL_INTERVAL) => {}
            _ => break,
        }
    }
    printer.finish(follow)
}

/// Prints records, and counts what could not be printed.
struct Printer<'a, W> {
    args: &'a ReadArgs,
    out: W,
    /// None where nobody knows how long it will take.
    progress: Option<Progress>,
    partitions: u16,
    records: u64,
    damaged: u64,
}

impl<W: Write> Printer<'_, W> {
    /// Prints the next batch of a partition. Whether there may be more now.
    fn next(&mut self, partition: PartitionId, tail: &mut Tail) -> anyhow::Result<bool> {
        let batch = match tail.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(false),
            Err(InspectError::Read(problem)) => {
                self.damaged += u64::from(matches!(problem, ReadError::Damaged { .. }));
                eprintln!("warning: {problem}");
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        for (offset, record) in batch.records() {
            let place = log_json::Place {
                partition: partition.0,
                offset,
                time_ms: batch.append_time(),
            };
            let line = if self.args.control {
                log_json::control(place, &record)
            } else {
                log_json::event(place, &record, self.args.show_positions)
            };
            writeln!(self.out, "{line}")?;
            self.records += 1;
        }
        let (records, number, partitions) = (self.records, partition.0 + 1, self.partitions);
        if let Some(progress) = &mut self.progress {
            progress.say(|| format!("partition {number} of {partitions}, {records} records"));
        }
        Ok(true)
    }

    fn finish(mut self, follow: bool) -> anyhow::Result<()> {
        self.out.flush()?;
        if self.damaged > 0 {
            bail!(
                "{} places are damaged, the rest is printed; see `skein log verify`",
                self.damaged
            );
        }
        if self.records == 0 && !follow {
            eprintln!("no record is there; `skein log stat` says which offsets are");
        }
        Ok(())
    }
}

/// Listens to signals; the channel closes when an end is wanted. So the loop ends in good order, with
/// whole lines and with 0, and never waits for anything but its own pauses.
fn listen() -> anyhow::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let interrupt = runtime.block_on(async { Interrupt::listen() });
    let mut interrupt = interrupt.context("cannot listen to signals")?;
    let (wanted, end) = mpsc::channel();
    thread::spawn(move || {
        runtime.block_on(interrupt.wait());
        drop(wanted);
    });
    Ok(end)
}

/// Whether an end is wanted, within `limit`.
fn is_over(end: &Receiver<()>, limit: Duration) -> bool {
    end.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
}

/// The next offset of every partition.
fn ends(inspector: &Inspector) -> anyhow::Result<Vec<Offset>> {
    let end = |stat: &PartitionStat| stat.segments.last().map_or(stat.floor, |s| s.end_offset);
    Ok(inspector.stat()?.partitions.iter().map(end).collect())
}
