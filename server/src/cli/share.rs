//! `skein share`: replays a GPX file as one live session.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use skein_client::sender::{Sender, ShareEnd};
use skein_client::sender_state::{PointVerdict, SenderEvent, SenderOptions};
use skein_wire::error::Code;
use skein_wire::ids::ChatName;
use skein_wire::update::SessionState;
use tokio::time::Instant;

use crate::cli::connect_args::ConnectArgs;
use crate::cli::gpx::{self, TrackPoint};
use crate::cli::pace::Pace;
use crate::cli::report::Report;
use crate::cli::sealing::Sealing;
use crate::cli::{offline, trace};
use crate::interrupt::Interrupt;
use crate::terminal::out;
use crate::text::duration;

/// How long the last points may wait for their verdicts before the session is stopped.
const VERDICTS_TIMEOUT: Duration = Duration::from_secs(10);

/// A track whose points are older than this is old: whoever watches sees no age of seconds.
const OLD: Duration = Duration::from_secs(3_600);

/// Arguments of `skein share`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  skein share --chat hike --token \"$TOKEN\" --server quic://127.0.0.1:4433 --insecure --gpx track.gpx
  skein share --chat hike --token \"$TOKEN\" --server wss://skein.example --ca ca.pem \\
      --gpx track.gpx --speed 50 --retime --duration 15m --loop

Points go out at the track's own pace, --speed times faster, with the track's own times. Where its
time does not advance, or is missing, points go out one second (divided by --speed) apart; a
point without a time gets the time at which it is sent. The session is stopped at the end of the
track, after --duration, or on Ctrl-C (a second one gives up waiting for the server). The last line on stdout counts what the server accepted,
superseded and refused. Being offline is said on stderr; points wait until the server is back.

With --seal a key that is added to the file is used within a second.")]
pub struct ShareArgs {
    /// The chat.
    #[arg(long)]
    pub chat: ChatName,
    /// The server.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// The track to replay.
    #[arg(long, value_name = "FILE")]
    pub gpx: PathBuf,
    /// How many times faster than the track itself.
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed, allow_negative_numbers = true)]
    pub speed: f64,
    /// Give points the time at which they are sent instead of the track's.
    #[arg(long)]
    pub retime: bool,
    /// End after this long, even within the track; the session itself ends then, too.
    #[arg(long, default_value = "8h", value_parser = duration::parse_some)]
    pub duration: Duration,
    /// Begin anew at the end of the track, until --duration.
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Seal points with the newest key of this file, so that only who has it can read them; see
    /// `skein seal`.
    #[arg(long, value_name = "FILE")]
    pub seal: Option<PathBuf>,
    /// Write a JSON line for each point with what became of it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok();
    let usable = |speed: &f64| speed.is_finite() && *speed > 0.0;
    speed
        .filter(usable)
        .ok_or_else(|| format!("`{text}` is no speed; write a number above 0, as 1, 50 or 0.5"))
}

/// Runs `skein share`.
///
/// # Errors
/// When the track cannot be read, the server refuses, or the session ends against the user's will.
pub fn run(args: ShareArgs) -> anyhow::Result<()> {
    trace::init("warn")?;
    let track = gpx::read(&args.gpx)?;
    let sealing = args
        .seal
        .as_deref()
        .map(|path| Sealing::open(path, &args.chat));
    let sealing = sealing.transpose()?;
    let report = args.report.as_deref().map(Report::create).transpose()?;
    if let Some(age) = age_of(&track).filter(|age| !args.retime && *age > OLD) {
        eprintln!(
            "the track is {} old, and that is the age that viewers see; --retime gives its points the time of now",
            duration::approximate(age)
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(share(&args, &track, report, sealing))
}

/// One replay.
struct Replay<'a> {
    args: &'a ShareArgs,
    sender: Sender,
    report: Option<Report>,
    sealing: Option<Sealing>,
    refusals: BTreeMap<&'static str, u64>,
    progress: ProgressBar,
    settled: u64,
    over: Option<Option<SessionState>>,
}

async fn share(
    args: &ShareArgs,
    track: &[TrackPoint],
    mut report: Option<Report>,
    sealing: Option<Sealing>,
) -> anyhow::Result<()> {
    let duration_s = u32::try_from(args.duration.as_secs()).context("--duration is too long")?;
    // Ends here before it ends at the server, which starts to count later.
    let deadline = Instant::now() + args.duration;
    let mut options = SenderOptions::new(args.chat.clone(), duration_s, &Sender::new_key());
    options.sealed = sealing.is_some();
    let starting = Sender::start(args.connect.options()?, options);
    let sender = args
        .connect
        .first(starting)
        .await
        .with_context(|| format!("cannot share in {}", args.chat))?;
    // From here on a signal stops the session before it ends the program.
    let mut interrupt = Interrupt::listen().context("cannot listen to signals")?;
    eprintln!("sharing as session {} in {}", sender.session(), args.chat);
    if let Some(report) = &mut report {
        report.begin(sender.session());
    }
    let mut replay = Replay {
        args,
        sender,
        report,
        sealing,
        refusals: BTreeMap::new(),
        progress: progress(track.len(), args.repeat),
        settled: 0,
        over: None,
    };
    let unpaced = tokio::select! {
        unpaced = replay.play(track) => unpaced?,
        () = tokio::time::sleep_until(deadline) => replay.unpaced(track),
        () = interrupt.wait() => {
            replay.progress.suspend(|| eprintln!("stopping the session; Ctrl-C again to give up"));
            replay.unpaced(track)
        }
    };
    tokio::select! {
        done = replay.finish(unpaced) => done,
        () = interrupt.wait() => bail!(
            "given up; the session ends by itself when its time is over, unless `skein session stop` ends it"
        ),
    }
}

/// How long ago the newest point was; `None` if no point has a time, or one is of the future.
fn age_of(track: &[TrackPoint]) -> Option<Duration> {
    let newest_ms = track.iter().filter_map(|point| point.time_ms).max()?;
    let age_ms = milliseconds(SystemTime::now()) - newest_ms;
    u64::try_from(age_ms).ok().map(Duration::from_millis)
}

impl Replay<'_> {
    /// Sends the track; gives how many points had no pace of their own. Safe to cancel.
    async fn play(&mut self, track: &[TrackPoint]) -> anyhow::Result<u64> {
        let mut pace = Pace::new(self.args.speed);
        let start = Instant::now();
        let wall = SystemTime::now();
        loop {
            for point in track {
                let offset = pace.next(point);
                if !self.wait(start + offset).await? {
                    return Ok(pace.unpaced);
                }
                let sent_at = milliseconds(wall + offset);
                let own = point.time_ms.filter(|_| !self.args.retime);
                self.send(point, own.unwrap_or(sent_at))?;
            }
            if !self.args.repeat {
                return Ok(pace.unpaced);
            }
        }
    }

    /// How many of the points sent so far had no pace of their own, for a replay that was cut.
    fn unpaced(&self, track: &[TrackPoint]) -> u64 {
        let mut pace = Pace::new(self.args.speed);
        for point in track.iter().cycle().take(self.progress.position() as usize) {
            pace.next(point);
        }
        pace.unpaced
    }

    fn send(&mut self, point: &TrackPoint, captured_at_ms: i64) -> anyhow::Result<()> {
        let counter = match &mut self.sealing {
            Some(sealing) => sealing.share(&self.sender, captured_at_ms, &point.fix)?,
            None => self.sender.share(captured_at_ms, point.fix),
        };
        self.progress.inc(1);
        if let Some(report) = &mut self.report {
            report.sent(counter.0, point.fix.position, captured_at_ms);
        }
        Ok(())
    }

    /// Waits for a moment and takes verdicts meanwhile; false when the session is over.
    async fn wait(&mut self, until: Instant) -> anyhow::Result<bool> {
        loop {
            tokio::select! {
                biased;
                event = self.sender.next_event() => match event {
                    Some(event) => self.take(event)?,
                    None => return Ok(false),
                },
                () = tokio::time::sleep_until(until) => return Ok(self.over.is_none()),
            }
            if self.over.is_some() {
                return Ok(false);
            }
        }
    }

    fn take(&mut self, event: SenderEvent) -> anyhow::Result<()> {
        match event {
            SenderEvent::Verdict { counter, verdict } => {
                self.settled += 1;
                if let PointVerdict::Refused(code) = verdict {
                    *self.refusals.entry(code.name()).or_default() += 1;
                }
                if let Some(report) = &mut self.report {
                    report.settled(counter.0, verdict)?;
                }
            }
            SenderEvent::Started { resumed: true, .. } => {
                self.progress.suspend(|| eprintln!("online again"));
            }
            SenderEvent::Offline { why, retry_ms } => {
                let text = offline::text(why, retry_ms);
                self.progress.suspend(|| eprintln!("{text}"));
            }
            SenderEvent::Ended { why, .. } => self.over = Some(why),
            SenderEvent::Refused { code, text, .. } => bail!("the server refuses ({code}): {text}"),
            SenderEvent::Started { .. }
            | SenderEvent::Extended { .. }
            | SenderEvent::Durable { .. }
            | SenderEvent::Demand { .. } => {}
        }
        Ok(())
    }

    /// Waits for the last verdicts, stops the session and says what became of everything.
    async fn finish(mut self, unpaced: u64) -> anyhow::Result<()> {
        let sent = self.progress.position();
        let limit = Instant::now() + VERDICTS_TIMEOUT;
        while self.over.is_none() && self.sender.pending() > 0 && Instant::now() < limit {
            self.wait(Instant::now() + Duration::from_millis(50))
                .await?;
        }
        self.progress.finish_and_clear();
        let session = self.sender.session();
        let ended = self.stop().await;
        let Self {
            report, refusals, ..
        } = self;
        if let Some(report) = report {
            report.finish()?;
        }
        let end = ended?;
        let mut text = format!(
            "session {session}: {sent} points sent, {}\n",
            how_it_ended(&end)
        );
        if unpaced > 0 {
            text += &format!(
                "{unpaced} points paced one second of the track apart: their time does not advance\n"
            );
        }
        let said = out::say(text + &summary(&end, &refusals));
        if refusals.contains_key(Code::RateLimited.name()) {
            eprintln!(
                "the server takes fewer points a second from one sender than came; share them more slowly (--speed)"
            );
        }
        match end.why {
            Some(SessionState::Revoked) => {
                bail!("the membership of {} was revoked", self.args.chat)
            }
            _ => Ok(said?),
        }
    }

    /// Stops the session and takes what is said until its end.
    async fn stop(&mut self) -> anyhow::Result<ShareEnd> {
        self.sender.request_stop();
        let limit = Instant::now() + VERDICTS_TIMEOUT;
        let mut end = None;
        loop {
            let event = tokio::time::timeout_at(limit, self.sender.next_event()).await;
            match event {
                Ok(Some(SenderEvent::Ended { why, durable })) => end = Some((why, durable)),
                Ok(Some(event)) => self.take(event)?,
                Ok(None) => break,
                Err(_) => bail!(
                    "the server does not confirm the end of the session; it ends by itself when its time is over"
                ),
            }
        }
        let known = self.over.flatten();
        let (why, durable) = end.unwrap_or((known, known.is_some()));
        if let Some(error) = self.sender.take_failure() {
            return Err(error).context("the share was interrupted");
        }
        Ok(ShareEnd {
            why,
            durable,
            tally: self.sender.tally(),
        })
    }
}

fn how_it_ended(end: &ShareEnd) -> String {
    match end.why {
        Some(why) if end.durable => why.name().to_owned(),
        Some(why) => format!("{}, not yet durable", why.name()),
        None => "ended".to_owned(),
    }
}

/// `accepted 104, superseded 0, refused 2 (rate_limited 2)`.
fn summary(end: &ShareEnd, refusals: &BTreeMap<&'static str, u64>) -> String {
    let tally = end.tally;
    let mut text = format!(
        "accepted {}, superseded {}, refused {}",
        tally.accepted, tally.superseded, tally.refused
    );
    if !refusals.is_empty() {
        let each = refusals
            .iter()
            .map(|(code, count)| format!("{code} {count}"));
        text += &format!(" ({})", each.collect::<Vec<_>>().join(", "));
    }
    if tally.unknown > 0 {
        text += &format!(", unknown {}", tally.unknown);
    }
    text
}

/// A bar on stderr where that is a terminal.
fn progress(points: usize, repeat: bool) -> ProgressBar {
    let progress = match repeat {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::new(points as u64),
    };
    let template = match repeat {
        true => "{spinner} {pos} points, {elapsed}",
        false => "{bar:40} {pos}/{len} points, {elapsed}, {eta} left",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;
    use skein_client::sender::ShareEnd;
    use skein_client::sender_state::Tally;
    use skein_wire::update::SessionState;

    use crate::cli::share::{ShareArgs, how_it_ended, summary};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ShareArgs,
    }

    #[test]
    fn arguments_are_as_documented() {
        let cli = Cli::try_parse_from([
            "share",
            "--chat",
            "c",
            "--token",
            "t",
            "--server",
            "quic://h:1",
            "--gpx",
            "f",
            "--speed",
            "50",
            "--retime",
            "--duration",
            "15m",
            "--loop",
            "--insecure",
        ]);
        let args = cli.expect("the stable interface").args;
        assert_eq!((args.speed, args.duration.as_secs()), (50.0, 900));
        for speed in ["0", "-1", "NaN", "inf", "fast"] {
            let cli = Cli::try_parse_from([
                "share", "--chat", "c", "--token", "t", "--server", "ws://h", "--gpx", "f",
                "--speed", speed,
            ]);
            assert!(cli.is_err(), "{speed}");
        }
    }

    #[test]
    fn the_last_line_counts_every_verdict() {
        let end = ShareEnd {
            why: Some(SessionState::Stopped),
            durable: true,
            tally: Tally {
                accepted: 104,
                superseded: 1,
                refused: 2,
                unknown: 0,
            },
        };
        let refusals = BTreeMap::from([("rate_limited", 2)]);
        assert_eq!(
            summary(&end, &refusals),
            "accepted 104, superseded 1, refused 2 (rate_limited 2)"
        );
        assert_eq!(how_it_ended(&end), "stopped");
    }
}
