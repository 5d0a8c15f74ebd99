//! The command line: one subcommand per file.
//!
//! Results go to stdout, everything else to stderr. Exit code 1 is an error that says what to do
//! next, 2 a wrong usage. Whoever closes stdout has read enough: the command ends with 0.

pub mod api;
pub mod private_file;
pub mod trace;

pub mod connect_args;
pub mod gpx;
pub mod json_line;
pub mod log_open;

pub mod log_erase;
pub mod log_export;
pub mod log_scrub;

pub mod listen_args;
pub mod map_json;
pub mod max_rate;
pub mod newest;
pub mod offline;
pub mod pace;
pub mod print_limits;
pub mod report;
pub mod sealing;
pub mod shape_args;
pub mod trail_arg;
pub mod view_arg;

pub mod alert;
pub mod demo;
pub mod erase;
pub mod geofence;
pub mod grid_arg;
pub mod guest;
pub mod history;
pub mod log;
pub mod member;
pub mod relay;
pub mod seal;
pub mod serve;
pub mod session;
pub mod share;
pub mod token;
pub mod watch;

pub mod bad_inputs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::terminal::out;

/// Live location for very large groups: members of a chat share where they are, everybody else in
/// the chat watches them move.
#[derive(Debug, Parser)]
#[command(
    name = "skein",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything once in one process: a server, walkers that share, a viewer's table.
    Demo(demo::DemoArgs),
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Serve viewers from another server's chats, nearer to them.
    Relay(relay::RelayArgs),
    /// Share a recorded track as one live session.
    Share(share::ShareArgs),
    /// Watch a chat.
    Watch(watch::WatchArgs),
    /// Print a token for a user.
    Token(token::TokenArgs),
    /// Add, import, remove and list the members of a chat.
    Member(member::MemberArgs),
    /// Make, list and revoke links for guests.
    Guest(guest::GuestArgs),
    /// Put, list and remove geofences of a chat.
    Geofence(geofence::GeofenceArgs),
    /// Put, list and remove alerts: who is told when somebody comes near.
    Alert(alert::AlertArgs),
    /// Make keys for end-to-end encryption, and chats that take nothing else.
    Seal(seal::SealArgs),
    /// Start, stop, extend and list the sessions of a chat.
    Session(session::SessionArgs),
    /// Read the history of a chat, or erase it, on a server that keeps one.
    History(history::HistoryArgs),
    /// Make a running server forget a user or a chat: points, names, history.
    Erase(erase::EraseArgs),
    /// Look into a data directory's logs, while a server runs on it or not.
    Log(log::LogArgs),
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if out::has_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, each thing said once: many errors tell their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause;
    }
    text
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Relay(args) => relay::run(args),
        Command::Share(args) => share::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Token(args) => token::run(args),
        Command::Member(args) => member::run(args),
        Command::Guest(args) => guest::run(args),
        Command::Geofence(args) => geofence::run(args),
        Command::Alert(args) => alert::run(args),
        Command::Seal(args) => seal::run(args),
        Command::Session(args) => session::run(args),
        Command::History(args) => history::run(args),
        Command::Erase(args) => erase::run(args),
        Command::Log(args) => log::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::with_causes;

    #[test]
    fn the_command_line_is_well_formed() {
        crate::cli::Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("the disk is gone");
        let error = anyhow::Error::new(skein_client::error::ClientError::Io(cause));
        assert_eq!(
            with_causes(&error.context("cannot watch hike")),
            "cannot watch hike: no connection to the server: the disk is gone"
        );
        let plain = anyhow::anyhow!("no such file").context("cannot open it");
        assert_eq!(with_causes(&plain), "cannot open it: no such file");
    }
}
