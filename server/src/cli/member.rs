//! `skein member`: who may share and watch in a chat.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use skein_engine::grid::Grid;
use skein_wire::ids::{ChatName, UserName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::cli::grid_arg;
use crate::terminal::out;

/// Arguments of `skein member`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein member add --chat hike --user ana --rights share,watch
  skein member add --chat hike --user ben --rights watch --grid 1000
  skein member import --chat hike members.jsonl
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
        chat: ChatName,
        /// The user, as the token's subject says it.
        #[arg(long)]
        user: UserName,
        /// What the member may do.
        #[arg(long, value_delimiter = ',', default_value = "share,watch")]
        rights: Vec<Right>,
        /// Show places on a grid with cells of so many metres.
        #[arg(long, value_name = "METRES", value_parser = grid_arg::parse)]
        grid: Option<Grid>,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Make many users members: JSON lines {"user": "ana", "rights": ["share", "watch"]}, with "grid_m" for places on a grid.
    Import {
        /// The chat; made when it does not exist.
        #[arg(long)]
        chat: ChatName,
        /// A file of JSON lines; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// End a membership: sessions end and watches are cut off at once, on every connection.
    Remove {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The member.
        #[arg(long)]
        user: UserName,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the members, one a line: user, rights.
    List {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Print only this member.
        #[arg(long)]
        user: Option<UserName>,
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
            grid,
            control,
        } => add(&chat, &user, (&rights, grid), &control),
        Verb::Import {
            chat,
            file,
            control,
        } => import(&chat, &file, &control),
        Verb::Remove {
            chat,
            user,
            control,
        } => remove(&chat, &user, &control),
        Verb::List {
            chat,
            user,
            control,
        } => list(&chat, user.as_ref(), &control),
    }
}

fn path(chat: &ChatName, user: &UserName) -> String {
    let (chat, user) = (segment(chat.as_str()), segment(user.as_str()));
    format!("/v1/chats/{chat}/members/{user}")
}

fn add(
    chat: &ChatName,
    user: &UserName,
    (rights, grid): (&[Right], Option<Grid>),
    control: &ControlArgs,
) -> anyhow::Result<()> {
    let names: Vec<&str> = rights.iter().map(|right| right.name()).collect();
    let mut member = json!({ "rights": names });
    if let Some(grid) = grid {
        member["grid_m"] = json!(grid.metres());
    }
    ControlApi::new(control)?.call(Method::PUT, &path(chat, user), Some(member.clone()))?;
    let rights = self::rights(&member);
    Ok(out::say(format_args!(
        "{user} is a member of {chat}: {rights}"
    ))?)
}

/// Prints the report; lines that were not taken are an error.
fn import(chat: &ChatName, file: &Path, control: &ControlArgs) -> anyhow::Result<()> {
    let lines = read_lines(file)?;
    let path = format!("/v1/chats/{}/members", segment(chat.as_str()));
    let report = ControlApi::new(control)?.send_lines(Method::POST, &path, lines)?;
    for refused in report["refused"].as_array().into_iter().flatten() {
        eprintln!(
            "line {}: {}: {}",
            refused["line"],
            text(&refused["code"]),
            text(&refused["text"])
        );
    }
    for skipped in report["skipped"].as_array().into_iter().flatten() {
        eprintln!(
            "lines {} to {} were left out: what comes together is taken together or not at all",
            skipped["from"], skipped["to"]
        );
    }
    let said = out::say(format_args!(
        "{} members of {chat} were imported",
        report["accepted"]
    ));
    if let (Some(code), Some(text)) = (report["code"].as_str(), report["text"].as_str()) {
        bail!("{code}: {text}; import the rest again");
    }
    if report["refused_total"] != 0 {
        bail!("some lines were refused; correct them and import them again");
    }
    Ok(said?)
}

fn read_lines(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut lines = Vec::new();
    std::io::stdin().read_to_end(&mut lines)?;
    Ok(lines)
}

fn remove(chat: &ChatName, user: &UserName, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::DELETE, &path(chat, user), None)?;
    if answer["was_member"] == false {
        bail!(
            "{user} was not a member of {chat}, or was removed before; `skein member list` names those who are"
        );
    }
    Ok(out::say(format_args!(
        "{user} is no longer a member of {chat}"
    ))?)
}

fn list(chat: &ChatName, user: Option<&UserName>, control: &ControlArgs) -> anyhow::Result<()> {
    let api = ControlApi::new(control)?;
    let first = format!("/v1/chats/{}/members", segment(chat.as_str()));
    let mut path = first.clone();
    let mut found = false;
    loop {
        let page = api.call(Method::GET, &path, None)?;
        for member in page["members"].as_array().into_iter().flatten() {
            if user.is_none_or(|user| member["user"] == user.as_str()) {
                found = true;
                let (name, rights) = (text(&member["user"]), rights(member));
                out::say(format_args!("{name}\t{rights}"))?;
            }
        }
        match page["next"].as_str() {
            Some(next) => path = format!("{first}?after={}", segment(next)),
            None => break,
        }
    }
    match user {
        Some(user) if !found => {
            bail!("{user} is not a member of {chat}; add one with `skein member add`")
        }
        _ => Ok(()),
    }
}

fn rights(member: &Value) -> String {
    if member["revoked"] == true {
        return "revoked".to_owned();
    }
    let names: Vec<&str> = member["rights"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut words = names.join(",");
    if let Some(metres) = member["grid_m"].as_u64() {
        words.push_str(&format!(", grid of {metres} m"));
    }
    words
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
