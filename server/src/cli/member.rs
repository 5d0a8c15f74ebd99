//! `skein member`: who may share and watch in a chat.

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use crate::cli::api::{ControlApi, ControlArgs, segment};

/// Arguments of `skein member`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein member add --chat hike --user ana --rights share,watch
  skein member add --chat hike --user ben --rights watch
  skein member list --chat hike
  skein member remove --chat hike --user ben")]
pub struct MemberArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a user a member, or change the rights of one.
    Add {
        /// The chat; made when it does not exist.
        #[arg(long)]
        chat: String,
        /// The user, as the token's subject says it.
        #[arg(long)]
        user: String,
        /// What the member may do.
        #[arg(long, value_delimiter = ',', default_value = "share,watch")]
        rights: Vec<Right>,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// End a membership: sessions end and watches are cut off at once, on every connection.
    Remove {
        /// The chat.
        #[arg(long)]
        chat: String,
        /// The member.
        #[arg(long)]
        user: String,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the members, one a line: user, rights.
    List {
        /// The chat.
        #[arg(long)]
        chat: String,
        /// Print only this member.
        #[arg(long)]
        user: Option<String>,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// A right of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Right {
    /// May start sessions.
    Share,
    /// May watch.
    Watch,
}

impl Right {
    fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Watch => "watch",
        }
    }
}

/// Runs `skein member`.
///
/// # Errors
/// What the server says, or that it cannot be reached.
pub fn run(args: MemberArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Add {
            chat,
            user,
            rights,
            control,
        } => add(&chat, &user, &rights, &control),
        Verb::Remove {
            chat,
            user,
            control,
        } => remove(&chat, &user, &control),
        Verb::List {
            chat,
            user,
            control,
        } => list(&chat, user.as_deref(), &control),
    }
}

fn path(chat: &str, user: &str) -> String {
    format!("/v1/chats/{}/members/{}", segment(chat), segment(user))
}

fn add(chat: &str, user: &str, rights: &[Right], control: &ControlArgs) -> anyhow::Result<()> {
    let names: Vec<&str> = rights.iter().map(|right| right.name()).collect();
    let body = json!({ "rights": names });
    ControlApi::new(control)?.call(Method::PUT, &path(chat, user), Some(body))?;
    println!("{user} is a member of {chat}: {}", names.join(","));
    Ok(())
}

fn remove(chat: &str, user: &str, control: &ControlArgs) -> anyhow::Result<()> {
    ControlApi::new(control)?.call(Method::DELETE, &path(chat, user), None)?;
    println!("{user} is no longer a member of {chat}");
    Ok(())
}

fn list(chat: &str, user: Option<&str>, control: &ControlArgs) -> anyhow::Result<()> {
    let path = format!("/v1/chats/{}/members", segment(chat));
    let answer = ControlApi::new(control)?.call(Method::GET, &path, None)?;
    let mut found = false;
    for member in answer["members"].as_array().into_iter().flatten() {
        if user.is_none_or(|user| member["user"] == user) {
            found = true;
            println!("{}\t{}", text(&member["user"]), rights(&member["rights"]));
        }
    }
    match user {
        Some(user) if !found => {
            bail!("{user} is not a member of {chat}; add one with `skein member add`")
        }
        _ => Ok(()),
    }
}

fn rights(value: &Value) -> String {
    let names: Vec<&str> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    names.join(",")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
