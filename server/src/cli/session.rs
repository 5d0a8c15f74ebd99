//! `skein session`: sessions of a chat, seen and changed by the operator.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use skein_wire::ids::{ChatName, SessionId, UserName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::terminal::out;
use crate::text::duration;
use crate::text::time_text::date_text;

/// Arguments of `skein session`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein session start --chat hike --user ana --duration 15m
  skein session list --chat hike
  skein session extend --chat hike --session 00000000000000a1 --duration 1h
  skein session stop --chat hike --session 00000000000000a1")]
pub struct SessionArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start a session for a member; prints its id.
    Start {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The member who will share.
        #[arg(long)]
        user: UserName,
        /// For how long, from now: 900, 900s, 15m, 1h30m.
        #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = duration::parse_some)]
        duration: Duration,
        /// The same key gives the same session.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Its points will be end-to-end encrypted.
        #[arg(long)]
        sealed: bool,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// End a session at once.
    Stop {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The session's id.
        #[arg(long)]
        session: SessionId,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Move the end of a session.
    Extend {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The session's id.
        #[arg(long)]
        session: SessionId,
        /// Its new length, from now: 900, 900s, 15m, 1h30m.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse_some)]
        duration: Duration,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Print the sessions, one a line: id, user, state, end (UTC).
    List {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// Only this member's.
        #[arg(long)]
        user: Option<UserName>,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// Runs `skein session`.
///
/// # Errors
/// What the server says, or that it cannot be reached.
pub fn run(args: SessionArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::Start {
            chat,
            user,
            duration,
            idempotency_key,
            sealed,
            control,
        } => {
            let body = json!({
                "user": user.as_str(),
                "duration_s": duration.as_secs(),
                "idempotency_key": idempotency_key,
                "sealed": sealed,
            });
            start(&chat, body, &control)
        }
        Verb::Stop {
            chat,
            session,
            control,
        } => stop(&chat, session, &control),
        Verb::Extend {
            chat,
            session,
            duration,
            control,
        } => extend(&chat, session, duration, &control),
        Verb::List {
            chat,
            user,
            control,
        } => list(&chat, user.as_ref(), &control),
    }
}

fn path(chat: &ChatName) -> String {
    format!("/v1/chats/{}/sessions", segment(chat.as_str()))
}

fn start(chat: &ChatName, body: Value, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::POST, &path(chat), Some(body))?;
    let id = answer["session"].as_str();
    let id = id.context("the answer names no session; is it the control address?")?;
    Ok(out::say(id)?)
}

fn stop(chat: &ChatName, session: SessionId, control: &ControlArgs) -> anyhow::Result<()> {
    let path = format!("{}/{session}", path(chat));
    let answer = ControlApi::new(control)?.call(Method::DELETE, &path, None)?;
    let durable = match answer["durable"] == false {
        true => ", not yet durable; the server goes on trying",
        false => "",
    };
    Ok(out::say(format_args!("{session} is stopped{durable}"))?)
}

fn extend(
    chat: &ChatName,
    session: SessionId,
    duration: Duration,
    control: &ControlArgs,
) -> anyhow::Result<()> {
    let path = format!("{}/{session}/extend", path(chat));
    let body = json!({ "duration_s": duration.as_secs() });
    let answer = ControlApi::new(control)?.call(Method::POST, &path, Some(body))?;
    Ok(out::say(format_args!(
        "{session} ends at {}",
        end_text(&answer)
    ))?)
}

fn end_text(session: &Value) -> String {
    date_text(session["expires_at"].as_i64().unwrap_or_default())
}

fn list(chat: &ChatName, user: Option<&UserName>, control: &ControlArgs) -> anyhow::Result<()> {
    let answer = ControlApi::new(control)?.call(Method::GET, &path(chat), None)?;
    for session in answer["sessions"].as_array().into_iter().flatten() {
        if user.is_none_or(|user| session["user"] == user.as_str()) {
            let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
            out::say(format_args!(
                "{}\t{}\t{}\t{}",
                text("session"),
                text("user"),
                text("state"),
                end_text(session)
            ))?;
        }
    }
    Ok(())
}
