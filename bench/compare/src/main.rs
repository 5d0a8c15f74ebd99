//! `compare`: see the library. This file only says which part of it runs.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use skein_bench::{child, folders, quinn_stage, server};
use skein_compare::broadcast::{tokio_websockets, tungstenite};
use skein_compare::options::{Command, Options, RepeatsOptions};
use skein_compare::peers::{consumer, skein};
use skein_compare::repeats::Repeats;
use skein_compare::report::{ratios, write};
use skein_compare::{process, run, scale};

fn main() -> ExitCode {
    if let Some(role) = process::role() {
        return play(&role);
    }
    // The stages over QUIC start their children their own way.
    match child::role().as_deref() {
        Some(server::ROLE) => return server::main(),
        Some(quinn_stage::ROLE) => {
            quinn_stage::main();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    match work(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(role: &str) -> ExitCode {
    match role {
        process::EXEC_ROLE => return process::exec(),
        skein::ROLE => return skein::main(),
        consumer::ROLE => return consumer::main(),
        tungstenite::ROLE => tungstenite::main(),
        tokio_websockets::ROLE => tokio_websockets::main(),
        other => {
            eprintln!("there is no role `{other}`");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn work(options: Options) -> Result<ExitCode> {
    match &options.command {
        Some(Command::Report(report)) => {
            for path in write::write(report)? {
                eprintln!("written: {}", path.display());
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Repeats(runs)) => return repeats(runs),
        Some(Command::Scale(options)) => {
            let path = options.json.clone();
            let path = path.unwrap_or_else(|| folders::target().join(write::SCALE));
            scale::run(options).write(&path)?;
            eprintln!("written to {}", path.display());
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    if options.run.list {
        run::list()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = run::unknown(&options.run) {
        eprintln!("error: no peer is called `{name}`; `compare --list` names them");
        return Ok(ExitCode::from(2));
    }
    let results = run::run(&options.run)?;
    let path = options.run.json.clone();
    let path = path.unwrap_or_else(|| folders::target().join(write::RESULTS));
    results.write(&path)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{results}").context("writing to stdout")?;
    eprintln!("written to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Compares two runs; 1 if they differ by more than the first one says, or too little of them can be compared.
fn repeats(runs: &RepeatsOptions) -> Result<ExitCode> {
    let [first, second] = [&runs.first, &runs.second].map(|path| ratios::read(path));
    let repeats = Repeats::of(&first?, &second?);
    write!(std::io::stdout().lock(), "{repeats}").context("writing to stdout")?;
    Ok(match repeats.all() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
