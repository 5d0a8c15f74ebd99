//! `skein log export`: records as JSON lines, or points as GPX tracks, for other programs.
//!
//! An export is for reading where people were: it holds coordinates. What is damaged is passed by,
//! said on stderr, and is an error in the end; what retention has dropped is not.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use skein_engine::journal::Entry;
use skein_log::{FileBatch, InspectError, Inspector, PartitionId, ReadError, RecordRef};
use skein_wire::ids::SessionId;
use skein_wire::point::Payload;

use crate::cli::log_open::{self, Progress};
use crate::cli::private_file;
use crate::gpx_writer::{GpxWriter, TrackPoint};
use crate::log_json;
use crate::raw_record::raw;
use crate::text::time_text;

/// Points that are held for GPX, where they are put in order by session: about 1 GB.
const POINTS_MAX: usize = 16_000_000;

/// Arguments of `skein log export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// `json`: every record, one object a line. `gpx`: the points, a track for each session.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only this partition.
    #[arg(long, value_name = "P")]
    pub partition: Option<u16>,
    /// Only records appended at this time or later: 2020-12-18T06:15:50Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", visible_alias = "from", value_parser = time_text::parse_time)]
    pub since: Option<u64>,
    /// Only records appended before this time.
    #[arg(long, value_name = "TIME", visible_alias = "to", value_parser = time_text::parse_time)]
    pub until: Option<u64>,
    /// Only this session, 16 hexadecimal digits.
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    pub session: Option<SessionId>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, one object a line.
    Json,
    /// GPX 1.1.
    Gpx,
}

fn parse_session(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Runs it.
///
/// # Errors
/// There is no log, it is damaged, or the output can't be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    match &args.out {
        Some(path) => {
            let file = private_file::create(path)
                .with_context(|| format!("cannot write the export to {}", path.display()))?;
            export(args, BufWriter::new(file))
        }
        None => export(args, BufWriter::new(io::stdout().lock())),
    }
}

fn export(args: &ExportArgs, mut out: impl Write) -> anyhow::Result<()> {
    let inspector = log_open::one(&args.data_dir, false)?;
    let mut tracks = Tracks::default();
    let mut walk = Walk::new(args, &inspector);
    match args.format {
        Format::Json => walk.each(|place, record| {
            let line = log_json::event(place, record, true);
            Ok(writeln!(out, "{line}")?)
        })?,
        Format::Gpx => {
            walk.each(|_, record| tracks.add(record))?;
            tracks.write(&mut out)?;
        }
    }
    out.flush()?;
    if tracks.sealed > 0 {
        eprintln!(
            "{} points are sealed; only their members can read them",
            tracks.sealed
        );
    }
    if walk.damaged > 0 {
        bail!(
            "{} places are damaged, the rest is exported; see `skein log verify`",
            walk.damaged
        );
    }
    Ok(())
}

/// Goes through the records that are wanted.
struct Walk<'a> {
    args: &'a ExportArgs,
    inspector: &'a Inspector,
    progress: Progress,
    records: u64,
    damaged: u64,
}

impl<'a> Walk<'a> {
    fn new(args: &'a ExportArgs, inspector: &'a Inspector) -> Self {
        Self {
            args,
            inspector,
            progress: Progress::begin(),
            records: 0,
            damaged: 0,
        }
    }

    fn each(
        &mut self,
        mut visit: impl FnMut(log_json::Place, &RecordRef<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let partitions = match self.args.partition {
            Some(partition) => partition..=partition,
            None => 0..=self.inspector.partitions() - 1,
        };
        for partition in partitions.map(PartitionId) {
            self.partition(partition, &mut visit)?;
        }
        Ok(())
    }

    fn partition(
        &mut self,
        partition: PartitionId,
        visit: &mut impl FnMut(log_json::Place, &RecordRef<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let since = self.args.since.unwrap_or(0);
        let mut tail = self.inspector.tail_from_time(partition, since)?;
        loop {
            let batch = match tail.next_batch() {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(InspectError::Read(problem)) => {
                    self.damaged += u64::from(matches!(problem, ReadError::Damaged { .. }));
                    eprintln!("warning: {problem}");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if self
                .args
                .until
                .is_some_and(|until| batch.append_time() >= until)
            {
                break;
            }
            self.batch(partition, &batch, visit)?;
        }
        Ok(())
    }

    fn batch(
        &mut self,
        partition: PartitionId,
        batch: &FileBatch,
        visit: &mut impl FnMut(log_json::Place, &RecordRef<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (offset, record) in batch.records() {
            let wanted = self.args.session.is_none_or(|id| id.0 == record.extension);
            if wanted {
                let place = log_json::Place {
                    partition: partition.0,
                    offset,
                    time_ms: batch.append_time(),
                };
                visit(place, &record)?;
                self.records += 1;
            }
        }
        let (records, number) = (self.records, partition.0 + 1);
        let partitions = self.inspector.partitions();
        self.progress
            .say(|| format!("partition {number} of {partitions}, {records} records"));
        Ok(())
    }
}

/// The points by session.
#[derive(Debug, Default)]
struct Tracks {
    /// Each point with its sender's count.
    sessions: BTreeMap<SessionId, Vec<(u64, TrackPoint)>>,
    points: usize,
    sealed: u64,
}

impl Tracks {
    fn add(&mut self, record: &RecordRef<'_>) -> anyhow::Result<()> {
        let Ok(Entry::Point { session, point } | Entry::HistoricalPoint { session, point }) =
            Entry::decode(&raw(record))
        else {
            return Ok(());
        };
        let Payload::Fix(fix) = &point.payload else {
            self.sealed += 1;
            return Ok(());
        };
        if self.points >= POINTS_MAX {
            bail!("more than {POINTS_MAX} points; export less with --since, --until or --session");
        }
        self.points += 1;
        let track_point = TrackPoint {
            time_ms: point.captured_at_ms,
            lat: fix.position.lat(),
            lon: fix.position.lon(),
        };
        let track = self.sessions.entry(session).or_default();
        track.push((point.counter.0, track_point));
        Ok(())
    }

    /// Historical points come late: the sender's count is the order.
    fn write(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut document = GpxWriter::new(out)?;
        for (session, points) in &mut self.sessions {
            points.sort_by_key(|(counter, _)| *counter);
            points.dedup_by_key(|(counter, _)| *counter);
            let points = points.iter().map(|(_, point)| *point);
            document.track(*session, None, points)?;
        }
        document.finish()?;
        Ok(())
    }
}
