//! `skein history`: where people were, for an audit, and making it be forgotten.

use std::io::{self, Write};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::Value;
use skein_wire::ids::{ChatName, SessionId, UserName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::gpx_writer::{TrackPoint, Tracks};
use crate::terminal::out;
use crate::text::time_text;

/// Points that are held for GPX, where they are put in order by session: about 200 MB.
const GPX_POINTS_MAX: usize = 1_000_000;

/// Arguments of `skein history`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein history query --chat hike --from 2026-05-01T00:00:00Z --user ana
  skein history query --chat hike --format gpx > hike.gpx
  skein history erase --chat hike
  skein history erase --user ana

A history is kept when the server is started with --history (or history.enabled). It holds
coordinates: whoever may call the control API may read it.")]
pub struct HistoryArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, one row a line.
    Jsonl,
    /// GPX 1.1, a track for each session; without sealed points.
    Gpx,
}

/// What to do with the history.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the rows of a chat in the order of time, coordinates included.
    Query(QueryArgs),
    /// Remove all rows of a chat or of a user from the history, for ever; prints what was removed. Points
    /// in the log are not covered: skein erase (of a stopped server: skein log erase) erases from both.
    Erase(EraseArgs),
}

/// Arguments of `skein history query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The chat.
    #[arg(long)]
    pub chat: ChatName,
    /// Only rows of this time or later: 2026-05-01T00:00:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", visible_alias = "since", value_parser = time_text::parse_time)]
    pub from: Option<u64>,
    /// Only rows before this time.
    #[arg(long, value_name = "TIME", visible_alias = "until", value_parser = time_text::parse_time)]
    pub to: Option<u64>,
    /// Only this user's.
    #[arg(long)]
    pub user: Option<UserName>,
    /// Only this session's.
    #[arg(long)]
    pub session: Option<SessionId>,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// The server.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// Arguments of `skein history erase`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["chat", "user"])))]
pub struct EraseArgs {
    /// All of this chat.
    #[arg(long)]
    pub chat: Option<ChatName>,
    /// All of this user, in every chat.
    #[arg(long)]
    pub user: Option<UserName>,
    /// The server.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// Runs `skein history`.
///
/// # Errors
/// What the server says, that it cannot be reached, or that the output cannot be written.
pub fn run(args: HistoryArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Query(args) => query(&args, io::stdout().lock()),
        Verb::Erase(args) => erase(&args),
    }
}

fn query(args: &QueryArgs, mut out: impl Write) -> anyhow::Result<()> {
    let api = ControlApi::new(&args.control)?;
    let mut tracks = Tracks::default();
    let mut after: Option<String> = None;
    let (mut sealed, mut gaps) = (0_u64, 0_u64);
    loop {
        let page = api.call(Method::GET, &path(args, after.as_deref()), None)?;
        let count = |list: &Value| list.as_array().map_or(0, |list| list.len() as u64);
        gaps += count(&page["gaps"]);
        for row in page["points"].as_array().into_iter().flatten() {
            match args.format {
                Format::Jsonl => writeln!(out, "{row}")?,
                Format::Gpx => sealed += u64::from(add(&mut tracks, row).is_none()),
            }
        }
        anyhow::ensure!(
            tracks.points() <= GPX_POINTS_MAX,
            "more than {GPX_POINTS_MAX} points; ask for less with --from, --to, --user or --session"
        );
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if args.format == Format::Gpx {
        out = tracks.write(out)?;
    }
    out.flush()?;
    if sealed > 0 {
        eprintln!("{sealed} points are sealed; only their members can read them");
    }
    if gaps > 0 {
        eprintln!(
            "warning: {gaps} times records were gone before the history had read them; points may be missing"
        );
    }
    Ok(())
}

fn path(args: &QueryArgs, after: Option<&str>) -> String {
    let session = args.session.map(|session| session.to_string());
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let parameters = [
        ("from", number(args.from)),
        ("to", number(args.to)),
        (
            "user",
            args.user.as_ref().map(|user| segment(user.as_str())),
        ),
        ("session", session),
        ("after", after.map(segment)),
    ];
    let mut path = format!("/v1/chats/{}/history", segment(args.chat.as_str()));
    let mut separator = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            path += &format!("{separator}{name}={value}");
            separator = '&';
        }
    }
    path
}

/// Adds the point of a row; `None` for a sealed one.
fn add(tracks: &mut Tracks, row: &Value) -> Option<()> {
    let point = TrackPoint {
        time_ms: row["at"].as_i64()?,
        lat: row["point"]["lat"].as_f64()?,
        lon: row["point"]["lon"].as_f64()?,
    };
    let session = row["session"].as_str()?.parse().ok()?;
    tracks.add(session, row["user"].as_str()?, point);
    Some(())
}

fn erase(args: &EraseArgs) -> anyhow::Result<()> {
    let path = match (&args.chat, &args.user) {
        (Some(chat), _) => format!("/v1/chats/{}/history", segment(chat.as_str())),
        (None, user) => {
            let user = user.as_ref().map_or("", UserName::as_str);
            format!("/v1/users/{}/history", segment(user))
        }
    };
    let report = ControlApi::new(&args.control)?.call(Method::DELETE, &path, None)?;
    out::say(&report)?;
    if report["scrubbed"] == false {
        eprintln!(
            "the rows are gone; the server goes on until nothing of them is left in the file \
             (skein_history_scrub_due is 0 then)"
        );
    }
    Ok(())
}
