//! What the program does with its command line.

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, RunArgs};
use crate::deployment::Deployment;
use crate::interrupt_flag::InterruptFlag;
use crate::output::write;
use crate::plot;
use crate::report::Report;
use crate::run::{Run, Spec, check_tracks};
use crate::schedule::Phase;
use crate::skein_worker;
use crate::spike;

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Worker) => return skein_worker::main(),
        Some(Command::Spike(args)) => spike::run(&args),
        None => run(&cli.run),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything arrived.
fn run(args: &RunArgs) -> anyhow::Result<bool> {
    check_tracks(args.load.tracks.as_ref())?;
    let interrupt = InterruptFlag::listen()?;
    let deployment = Deployment::new(&args.target)?;
    let steady = Phase {
        seconds: args.duration.as_secs_f64(),
        factor: 1.0,
    };
    let spec = Spec {
        load: args.load.clone(),
        phases: vec![steady],
    };
    let result = Run::prepare(&deployment, spec)?.perform(&interrupt, |_| {})?;
    let report = Report::new(&args.load, &result);
    print!("{}", report.text());
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &args.svg {
        write(path, &plot::draw(&report.summary)?)?;
    }
    Ok(report.breaches.is_empty())
}
