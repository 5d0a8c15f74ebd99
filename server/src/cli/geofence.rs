//! `skein geofence`: geofences of a chat.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use skein_wire::ids::{ChatName, GeofenceName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::cli::shape_args::{ShapeArgs, shown};
use crate::terminal::out;
use crate::text::duration;
use crate::text::time_text::date_text;

/// Arguments of `skein geofence`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein geofence put --chat hike --name summit --circle 45.2735,13.7192 --radius 150
  skein geofence put --chat hike --name meadow --polygon '45.27,13.71 45.27,13.72 45.28,13.72'
  skein geofence put --chat hike --name together --near 100
  skein geofence list --chat hike
  skein geofence remove --chat hike --name summit

Who comes in or leaves is told by `GET /v1/events`, by webhooks, and to whoever watches.")]
pub struct GeofenceArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with geofences.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Put a geofence, in place of the one of this name.
    Put {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Its name, shown to those who watch.
        #[arg(long)]
        name: GeofenceName,
        /// What it encloses, and whom it is about.
        #[command(flatten)]
        shape: ShapeArgs,
        /// How long one has to stay until it counts, at most an hour.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        dwell: Option<Duration>,
        /// It is over when it has been entered once.
        #[arg(long)]
        once: bool,
        /// How long it lasts; without it, until it is removed.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse_some)]
        ttl: Option<Duration>,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the geofences, one a line: name, sessions inside, end, what it encloses.
    List {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Remove a geofence: it acts no more.
    Remove {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Its name.
        #[arg(long)]
        name: GeofenceName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// Runs `skein geofence`.
///
/// # Errors
/// What the server says, or that it cannot be reached.
pub fn run(args: GeofenceArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Put {
            chat,
            name,
            shape,
            dwell,
            once,
            ttl,
            control,
        } => {
            let mut body = shape.body();
            body["dwell_s"] = json!(dwell.map_or(0, |dwell| dwell.as_secs()));
            body["once"] = json!(once);
            body["duration_s"] = json!(ttl.map(|ttl| ttl.as_secs()));
            ControlApi::new(&control)?.call(Method::PUT, &path(&chat, Some(&name)), Some(body))?;
            Ok(out::say(format_args!("geofence {name} is in {chat}"))?)
        }
        Verb::List { chat, control } => list(&chat, &control),
        Verb::Remove {
            chat,
            name,
            control,
        } => {
            ControlApi::new(&control)?.call(Method::DELETE, &path(&chat, Some(&name)), None)?;
            Ok(out::say(format_args!(
                "geofence {name} is no longer in {chat}"
            ))?)
        }
    }
}

fn path(chat: &ChatName, name: Option<&GeofenceName>) -> String {
    let all = format!("/v1/chats/{}/geofences", segment(chat.as_str()));
    match name {
        Some(name) => format!("{all}/{}", segment(name.as_str())),
        None => all,
    }
}

fn list(chat: &ChatName, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::GET, &path(chat, None), None)?;
    for geofence in answer["geofences"].as_array().into_iter().flatten() {
        out::say(format_args!(
            "{}\t{}\t{}\t{}",
            geofence["name"].as_str().unwrap_or_default(),
            geofence["inside_total"],
            end(&geofence["expires_at"]),
            shown(geofence),
        ))?;
    }
    Ok(())
}

fn end(value: &Value) -> String {
    value.as_i64().map_or("-".to_owned(), date_text)
}
