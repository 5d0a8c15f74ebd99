//! `skein watch`: shows what happens in a chat.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use skein_client::change::{Change, Event};
use skein_client::viewer::{Viewer, ViewerEvent};
use skein_client::viewer_state::{WatchId, WatchOptions};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, Cursor};
use skein_wire::limits::VIEW_ROWS_MAX;
use skein_wire::request::Delivery;
use tokio::time::Instant;

use crate::cli::connect_args::ConnectArgs;
use crate::cli::json_line::JsonLine;
use crate::cli::max_rate::MaxRate;
use crate::cli::newest::Newest;
use crate::cli::trail_arg::TrailArg;
use crate::cli::view_arg::ViewArg;
use crate::cli::{offline, trace};
use crate::interrupt::Interrupt;
use crate::terminal::unsealing::Unsealing;
use crate::terminal::{out, watch_table};
use crate::text::duration;

/// Between two drawings of the table: people do not read faster.
const REDRAW: Duration = Duration::from_millis(200);

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table on a terminal, a line for each change elsewhere.
    Table,
    /// A JSON object per line and change.
    Jsonl,
    /// A GeoJSON feature per line and change; changes without a place have no geometry.
    Geojson,
}

/// Which points are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeliveryArg {
    /// All, as far as the server still holds them; the others are counted as skipped.
    Every,
    /// The newest of each session; what it overtakes before it can be shown is left out.
    Latest,
}

/// Arguments of `skein watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  skein watch --chat hike --token \"$TOKEN\" --server quic://127.0.0.1:4433 --insecure
  skein watch --chat hike --token \"$TOKEN\" --server ws://127.0.0.1:8080 --format jsonl --for 60

jsonl: one object per change with `type` (started, point, heartbeat, stale, ended, skipped, enter,
exit, near, far, resync), `chat`, `session`, `user` and `cursor`. Points have `lat`, `lon`, `captured_at` (ms), `counter` and,
where the sender knows them, `accuracy` (m), `heading` (degrees) and `speed` (m/s); `ended` has
`why`, `skipped` has `count`; a `started` with `extended` says a new end. A point that is end-to-end
encrypted has `sealed` (hexadecimal) in place of `lat` and `lon`, and with --seal `unopened`, the
reason (unknown_key, not_authentic, replayed, …), unless it could be opened. `enter`, `exit`, `near`
and `far` name the `geofence` or your `alert`, the last two also `other_session` and `other_user`;
they are told as they happen, and not again with --cursor.

Start again with --cursor and the cursor of the last line, and nothing is missed: what changed since
is told, as one batch. A batch is shared with other viewers and may begin before the cursor, so some
points may be told again (know them by `session` and `counter`); `skipped` then counts the points of
a session that are not told, whether an earlier watch has shown them or not.

With --view there are three more: `view` (the `area` that is served, as [south, west, north, east], the
`rows` that are counted with, and the `cells` of the map that come as rows), `left` (a session that is
no row any more, because it went elsewhere or ended there; one that comes in is `started` again), and
`clusters`: how many sessions are elsewhere (`count`), and for each of some cells the `cell`, the
`count` and the `lat` and `lon` of the middle of those in it.

geojson: one Feature per line and change, with the same fields as `properties`.

Being offline is said on stderr, and so is a relay that is cut off from its server; neither says anything
about those who share.")]
pub struct WatchArgs {
    /// The chat.
    #[arg(long)]
    pub chat: ChatName,
    /// The server.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// How changes are shown.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Which points are wanted: every, unless there is a --view, which has the latest.
    #[arg(long, value_enum)]
    pub delivery: Option<DeliveryArg>,
    /// Open sealed points with the keys of this file; see `skein seal`. Points that stay sealed are
    /// shown as such, with the reason.
    #[arg(long, value_name = "FILE")]
    pub seal: Option<PathBuf>,
    /// Go on from here, as an earlier watch has told.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<Cursor>,
    /// Begin with so many earlier points of each session (at most 32), or with those among them
    /// that were captured within this time (90s, 10m).
    #[arg(long, value_name = "N|TIME", default_value = "0")]
    pub trail: TrailArg,
    /// News at most so many times a second (2; 0.1 = every ten seconds). What happens in between
    /// comes together: all of it, or with `--delivery latest` the newest of each session.
    #[arg(long, value_name = "PER_SECOND")]
    pub max_rate: Option<MaxRate>,
    /// Only a part of the map, by its south-west and north-east corners in degrees (45.6,13.7,45.7,13.9): those in it
    /// as rows, as many as --rows allows, all others counted. Always the newest points; there is no
    /// cursor to go on from.
    #[arg(
        long,
        value_name = "LAT,LON,LAT,LON",
        allow_hyphen_values = true,
        conflicts_with_all = ["cursor", "trail"]
    )]
    pub view: Option<ViewArg>,
    /// Rows that a view shows at most.
    #[arg(
        long,
        value_name = "N",
        requires = "view",
        default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(VIEW_ROWS_MAX))
    )]
    pub rows: u32,
    /// End after this long (90, 90s, 15m, 1h30m); without it, on Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse_some)]
    pub limit: Option<Duration>,
}

impl WatchArgs {
    /// Which points are wanted: of a view, the newest.
    fn delivery(&self) -> DeliveryArg {
        match (self.delivery, self.view) {
            (Some(asked), _) => asked,
            (None, Some(_)) => DeliveryArg::Latest,
            (None, None) => DeliveryArg::Every,
        }
    }

    /// Refuses what no view can have.
    fn check(&self) -> anyhow::Result<()> {
        if self.view.is_some() && self.delivery == Some(DeliveryArg::Every) {
            bail!(
                "a --view shows the newest point of each session only: sessions come and go in it, so what was \
                 missed in between cannot be counted; leave --delivery out, or watch the whole chat without --view"
            );
        }
        Ok(())
    }
}

/// Runs `skein watch`.
///
/// # Errors
/// When the server refuses, or the watch ends against the user's will.
pub fn run(args: WatchArgs) -> anyhow::Result<()> {
    args.check()?;
    trace::init("warn")?;
    let unsealing = args
        .seal
        .as_deref()
        .map(|path| Unsealing::open(path, &args.chat));
    let unsealing = unsealing.transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(watch(&args, unsealing))
}

async fn watch(args: &WatchArgs, unsealing: Option<Unsealing>) -> anyhow::Result<()> {
    let end = args.limit.map(|limit| Instant::now() + limit);
    let mut interrupt = Interrupt::listen().context("cannot listen to signals")?;
    let connecting = Viewer::connect(args.connect.options()?);
    let viewer = tokio::select! {
        viewer = args.connect.first(connecting) => viewer,
        () = interrupt.wait() => return Ok(()),
        // Silence would look like a chat in which nothing happens.
        () = sleep_until(end) => bail!(
            "cannot watch {}: no connection to {} within the time given; check the address, or give more --for",
            args.chat, args.connect.server
        ),
    };
    let mut viewer = viewer.with_context(|| format!("cannot watch {}", args.chat))?;
    if viewer.views_recorded() {
        eprintln!("this server records who watches; those who share can read it");
    }
    let id = viewer.watch(options(args));
    let screen = Screen::new(args, id, unsealing);
    let shown = show(screen, &mut viewer, &mut interrupt, end).await;
    // However it ended: without a farewell the server would keep the connection until it is idle
    // for too long.
    viewer.close().await;
    shown
}

/// Shows what happens until an end is wanted, or nothing more can happen.
async fn show(
    mut screen: Screen<'_>,
    viewer: &mut Viewer,
    interrupt: &mut Interrupt,
    end: Option<Instant>,
) -> anyhow::Result<()> {
    let args = screen.args;
    let mut newest = Newest::new(args.trail.points > 0);
    loop {
        let event = tokio::select! {
            biased;
            () = interrupt.wait() => break,
            () = sleep_until(end) => break,
            event = viewer.next() => event?,
            () = newest.settled() => {
                screen.show_all(newest.take())?;
                continue;
            }
            () = sleep_until(screen.redraw_at) => {
                screen.redraw(viewer)?;
                continue;
            }
        };
        match event {
            Some(ViewerEvent::Change(change)) if args.delivery() == DeliveryArg::Latest => {
                newest.hold(change);
            }
            Some(ViewerEvent::Change(change)) => screen.show(&change)?,
            Some(ViewerEvent::Offline { why, retry_ms }) => {
                screen.has_begun = true;
                eprintln!("{}", offline::text(why.reason(), retry_ms));
            }
            Some(ViewerEvent::Online) => eprintln!("online again"),
            Some(ViewerEvent::Doubtful) => eprintln!("{}", offline::DOUBTFUL),
            Some(ViewerEvent::Answered) => eprintln!("the server answers again"),
            Some(ViewerEvent::UpstreamLost { since_ms }) => {
                eprintln!("{}", offline::upstream_text(since_ms));
            }
            Some(ViewerEvent::UpstreamBack) => eprintln!("the relay hears its server again"),
            None => break,
        }
    }
    screen.show_all(newest.take())?;
    if screen.redraw_at.is_some() {
        screen.redraw(viewer)?;
    }
    Ok(())
}

fn options(args: &WatchArgs) -> WatchOptions {
    let mut options = WatchOptions::new(args.chat.clone());
    options.cursor = args.cursor;
    options.trail = args.trail.points;
    options.trail_age_ms = args.trail.age.map(|age| age.as_millis() as u64);
    options.interval_ms = args.max_rate.map_or(0, MaxRate::interval_ms);
    options.view = args.view.map(|view| view.view(args.rows));
    options.delivery = match args.delivery() {
        DeliveryArg::Every => Delivery::Every,
        DeliveryArg::Latest => Delivery::Latest,
    };
    options
}

/// Where changes are shown.
struct Screen<'a> {
    args: &'a WatchArgs,
    id: WatchId,
    is_terminal: bool,
    /// When the table is drawn again; `None` where nothing is drawn.
    redraw_at: Option<Instant>,
    /// Something was seen, or may have been: a refusal then is the end of a watch.
    has_begun: bool,
    unsealing: Option<Unsealing>,
}

impl<'a> Screen<'a> {
    fn new(args: &'a WatchArgs, id: WatchId, unsealing: Option<Unsealing>) -> Self {
        let is_terminal = args.format == Format::Table && io::stdout().is_terminal();
        Self {
            args,
            id,
            is_terminal,
            redraw_at: is_terminal.then(Instant::now),
            has_begun: false,
            unsealing,
        }
    }

    fn show_all(&mut self, changes: Vec<Change>) -> anyhow::Result<()> {
        changes.iter().try_for_each(|change| self.show(change))
    }

    fn show(&mut self, change: &Change) -> anyhow::Result<()> {
        if let Event::WatchEnded { code, text } = &change.event {
            let chat = &change.chat;
            if *code == Code::NotFound && !self.has_begun {
                bail!("cannot watch {chat}: {text}; check its name, or ask for membership");
            }
            bail!("the watch of {chat} is over ({code}): {text}");
        }
        self.has_begun = true;
        let opened = self.unsealing.as_mut().map(|it| it.show(change));
        let (change, unopened) = match &opened {
            Some(shown) => (&shown.change, shown.unopened),
            None => (change, None),
        };
        let json = |write: fn(&JsonLine) -> serde_json::Result<String>| {
            let line = JsonLine::of(change, unopened);
            line.as_ref().map(write).transpose()
        };
        let line = match self.args.format {
            Format::Table if self.is_terminal => return Ok(()),
            Format::Table => watch_table::describe(change, unopened),
            Format::Jsonl => json(serde_json::to_string)?,
            Format::Geojson => json(|line| serde_json::to_string(&line.to_feature()))?,
        };
        match line {
            Some(line) => Ok(out::say(line)?),
            None => Ok(()),
        }
    }

    fn redraw(&mut self, viewer: &Viewer) -> anyhow::Result<()> {
        /// Home, and clear to the end.
        const CLEAR: &str = "\x1b[H\x1b[J";
        let (chat, unsealing) = (self.args.chat.as_str(), self.unsealing.as_mut());
        let table = watch_table::draw(viewer, self.id, chat, unsealing);
        self.redraw_at = Some(Instant::now() + REDRAW);
        Ok(out::print(format_args!("{CLEAR}{table}"))?)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use skein_wire::request::Delivery;

    use crate::cli::watch::{DeliveryArg, Format, WatchArgs, options};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: WatchArgs,
    }

    #[test]
    fn arguments_are_as_documented() {
        let cursor = "0000000000000abc-3-77";
        let cli = Cli::try_parse_from([
            "watch",
            "--chat",
            "c",
            "--token",
            "t",
            "--server",
            "wss://h",
            "--format",
            "geojson",
            "--delivery",
            "latest",
            "--cursor",
            cursor,
            "--trail",
            "10m",
            "--max-rate",
            "0.5",
            "--for",
            "5",
        ]);
        let args = cli.expect("the stable interface").args;
        assert_eq!(
            (args.format, args.delivery()),
            (Format::Geojson, DeliveryArg::Latest)
        );
        assert_eq!(args.cursor.expect("a cursor").to_string(), cursor);
        let wish = options(&args);
        assert_eq!((wish.trail, wish.trail_age_ms), (32, Some(600_000)));
        assert_eq!(wish.interval_ms, 2_000);
        let base = ["watch", "--chat", "c", "--token", "t", "--server", "ws://h"];
        let args = Cli::try_parse_from(base).expect("defaults").args;
        assert_eq!(
            (args.format, args.delivery()),
            (Format::Table, DeliveryArg::Every)
        );
        let view = ["--view", "-1.5,13.7,45.7,13.9", "--rows", "80"];
        let args = Cli::try_parse_from(base.iter().chain(&view))
            .expect("a view")
            .args;
        let wish = options(&args);
        assert_eq!(wish.delivery, Delivery::Latest);
        let view = wish.view.expect("a view");
        assert_eq!((view.south_e6, view.rows), (-1_500_000, 80));
        for (delivery, may_be) in [("latest", true), ("every", false)] {
            let asked = ["--view", "1,1,2,2", "--delivery", delivery];
            let args = Cli::try_parse_from(base.iter().chain(&asked)).expect("both are known");
            let checked = args.args.check();
            assert_eq!(checked.is_ok(), may_be, "{delivery}: {checked:?}");
            assert!(
                checked
                    .err()
                    .is_none_or(|error| error.to_string().contains("leave --delivery out"))
            );
        }
        let clash = ["--view", "1,1,2,2", "--cursor", cursor];
        assert!(Cli::try_parse_from(base.iter().chain(&clash)).is_err());
        for wrong in [
            ["--trail", "33"],
            ["--rows", "80"],
            ["--view", "1,2,3"],
            ["--max-rate", "0"],
            ["--cursor", "7"],
            ["--for", "soon"],
            ["--ca", ""],
        ] {
            let given = base.iter().chain(&wrong);
            let insecure = ["--insecure"];
            assert!(
                Cli::try_parse_from(given.chain(&insecure)).is_err(),
                "{wrong:?}"
            );
        }
    }
}
