//! `skein guest`: links for guests, to one chat or one session.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use skein_wire::ids::{ChatName, SessionId};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::terminal::out;
use crate::text::duration;
use crate::text::time_text::date_text;

/// Arguments of `skein guest`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein guest create --chat hike --ttl 8h --label 'for the parents'
  skein guest create --chat hike --session 00000000000000a1 --last-only --viewers-max 5
  skein guest create --chat hike --grid 1000
  skein guest list --chat hike
  skein guest revoke --chat hike --guest 7f3a09c1d2e4b568")]
pub struct GuestArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with links.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a link; its token goes to stdout, once: the server does not keep it.
    Create {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Show only this session.
        #[arg(long)]
        session: Option<SessionId>,
        /// How long the link is good, at most 31 days.
        #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = duration::parse_some)]
        ttl: Duration,
        /// Show where people are, nothing of where they were.
        #[arg(long)]
        last_only: bool,
        /// Show places on a grid with cells of so many metres.
        #[arg(long, value_name = "METRES")]
        grid: Option<u32>,
        /// How many may watch at a time.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        viewers_max: Option<u32>,
        /// A note, shown in lists.
        #[arg(long, default_value = "")]
        label: String,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the links, one a line: id, viewers now, end, what it shows, note.
    List {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// End a link: whoever looks through it is cut off at once.
    Revoke {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The link's id.
        #[arg(long, value_parser = guest_id)]
        guest: String,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

fn guest_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_id {
        true => Ok(text.to_owned()),
        false => Err("a link's id is 16 hexadecimal digits; see `skein guest list`".to_owned()),
    }
}

/// Runs `skein guest`.
///
/// # Errors
/// What the server says, or that it cannot be reached.
pub fn run(args: GuestArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Create {
            chat,
            session,
            ttl,
            last_only,
            grid,
            viewers_max,
            label,
            control,
        } => {
            let body = json!({
                "duration_s": ttl.as_secs(),
                "session": session.map(|session| session.to_string()),
                "last_only": last_only,
                "grid_m": grid,
                "viewers_max": viewers_max,
                "label": label,
            });
            create(&chat, body, &control)
        }
        Verb::List { chat, control } => list(&chat, &control),
        Verb::Revoke {
            chat,
            guest,
            control,
        } => revoke(&chat, &guest, &control),
    }
}

fn path(chat: &ChatName) -> String {
    format!("/v1/chats/{}/guests", segment(chat.as_str()))
}

fn create(chat: &ChatName, body: Value, control: &ControlArgs) -> anyhow::Result<()> {
    let made = ControlApi::new(control)?.call(Method::POST, &path(chat), Some(body))?;
    eprintln!(
        "link {} to {chat}, good until {}",
        text(&made["guest"]),
        time(&made["expires_at"])
    );
    Ok(out::say(text(&made["token"]))?)
}

fn list(chat: &ChatName, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::GET, &path(chat), None)?;
    for guest in answer["guests"].as_array().into_iter().flatten() {
        out::say(format_args!(
            "{}\t{}\t{}\t{}\t{}",
            text(&guest["guest"]),
            guest["viewers"],
            time(&guest["expires_at"]),
            shown(guest),
            text(&guest["label"]),
        ))?;
    }
    Ok(())
}

fn revoke(chat: &ChatName, guest: &str, control: &ControlArgs) -> anyhow::Result<()> {
    let path = format!("{}/{}", path(chat), segment(guest));
    ControlApi::new(control)?.call(Method::DELETE, &path, None)?;
    Ok(out::say(format_args!(
        "link {guest} to {chat} is no longer good"
    ))?)
}

/// What a link shows, in words.
fn shown(guest: &Value) -> String {
    let mut words = Vec::new();
    match guest["session"].as_str() {
        Some(session) => words.push(format!("session {session}")),
        None => words.push("chat".to_owned()),
    }
    if guest["last_only"] == true {
        words.push("newest only".to_owned());
    }
    if let Some(metres) = guest["grid_m"].as_u64() {
        words.push(format!("grid of {metres} m"));
    }
    if let Some(max) = guest["viewers_max"].as_u64() {
        words.push(format!("at most {max} viewers"));
    }
    words.join(", ")
}

fn time(value: &Value) -> String {
    date_text(value.as_i64().unwrap_or_default())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
