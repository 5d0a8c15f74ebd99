//! `skein alert`: alerts of members, set by the operator on their behalf.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use skein_wire::ids::{ChatName, GeofenceName, SessionId, UserName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::cli::shape_args::{ShapeArgs, shown};
use crate::terminal::out;
use crate::text::duration;
use crate::text::time_text::date_text;

/// Arguments of `skein alert`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein alert put --chat hike --owner ana --name ben --user ben --near 500
  skein alert put --chat hike --owner ana --name home --circle 45.2735,13.7192 --radius 100 --repeat
  skein alert list --chat hike
  skein alert remove --chat hike --owner ana --name home

A member's own device sets them over HTTP, `PUT /v1/chats/CHAT/alerts/NAME` with its token. They are told
to their owner alone: by `skein watch` and every other client, and by the chat service, which learns of
them from `GET /v1/events` and webhooks.")]
pub struct AlertArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Put an alert, in place of the owner's one of this name.
    Put {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Who is told. Needs the right to watch, and for --near a session of their own.
        #[arg(long)]
        owner: UserName,
        /// Its name.
        #[arg(long)]
        name: GeofenceName,
        /// What it is about.
        #[command(flatten)]
        shape: ShapeArgs,
        /// The owner's session in the middle of --near; without it, the one that began last.
        #[arg(long, requires = "near")]
        around: Option<SessionId>,
        /// How long one has to stay until it counts, at most an hour.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        dwell: Option<Duration>,
        /// Tell each time, not only the first, and the other way as well.
        #[arg(long)]
        repeat: bool,
        /// How long it lasts, at most a day.
        #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = duration::parse_some)]
        ttl: Duration,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the alerts of all members, one a line: owner, name, end, what it is about.
    List {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Remove an alert.
    Remove {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Whose it is.
        #[arg(long)]
        owner: UserName,
        /// Its name.
        #[arg(long)]
        name: GeofenceName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// Runs `skein alert`.
///
/// # Errors
/// What the server says, or that it cannot be reached.
pub fn run(args: AlertArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Put {
            chat,
            owner,
            name,
            shape,
            around,
            dwell,
            repeat,
            ttl,
            control,
        } => {
            let mut body = shape.body();
            body["owner"] = json!(owner.as_str());
            body["around"] = json!(around.map(|session| session.to_string()));
            body["dwell_s"] = json!(dwell.map_or(0, |dwell| dwell.as_secs()));
            body["once"] = json!(!repeat);
            body["duration_s"] = json!(ttl.as_secs());
            let path = format!("{}/{}", path(&chat), segment(name.as_str()));
            ControlApi::new(&control)?.call(Method::PUT, &path, Some(body))?;
            Ok(out::say(format_args!(
                "alert {name} of {owner} is in {chat}"
            ))?)
        }
        Verb::List { chat, control } => list(&chat, &control),
        Verb::Remove {
            chat,
            owner,
            name,
            control,
        } => {
            let (name_part, owner_part) = (segment(name.as_str()), segment(owner.as_str()));
            let path = format!("{}/{name_part}?owner={owner_part}", path(&chat));
            ControlApi::new(&control)?.call(Method::DELETE, &path, None)?;
            Ok(out::say(format_args!(
                "alert {name} of {owner} is no longer in {chat}"
            ))?)
        }
    }
}

fn path(chat: &ChatName) -> String {
    format!("/v1/chats/{}/alerts", segment(chat.as_str()))
}

fn list(chat: &ChatName, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::GET, &path(chat), None)?;
    for alert in answer["alerts"].as_array().into_iter().flatten() {
        let text = |key: &str| alert[key].as_str().unwrap_or_default();
        out::say(format_args!(
            "{}\t{}\t{}\t{}",
            text("owner"),
            text("name"),
            date_text(alert["expires_at"].as_i64().unwrap_or_default()),
            shown(alert),
        ))?;
    }
    Ok(())
}
