//! Twice the sustainable rate for some seconds: does the server stay in command?
//!
//! What it must do: answer control commands, move every session's newest point, account for every
//! point it was sent, and be as it was before within two seconds.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::SpikeArgs;
use crate::command_probe::{CommandFigures, CommandProbe};
use crate::control::Control;
use crate::deployment::Deployment;
use crate::interrupt_flag::InterruptFlag;
use crate::output::write;
use crate::plot;
use crate::report::Report;
use crate::run::{Run, check_tracks};
use crate::spike_verdicts::{
    Arrivals, Counted, Verdict, Windows, commands_answered, loader_keeps_up, normal_again, phases,
    points_advance, sums_agree,
};
use crate::sustainable::{at_pace, find_sustainable};

/// Shards tell their figures at intervals that are shorter than this.
const METRICS_SETTLE: Duration = Duration::from_millis(1_200);

/// The report of a spike.
#[derive(Clone, Debug, Serialize)]
struct SpikeReport {
    /// Points per second of all senders together.
    sustainable: f64,
    /// How it became known.
    sustainable_by: String,
    verdicts: Vec<Verdict>,
    commands_before: CommandFigures,
    commands_in_spike: CommandFigures,
    commands_after: CommandFigures,
    run: Report,
}

/// What the server has counted so far.
fn counted(control: &Control) -> anyhow::Result<Counted> {
    thread::sleep(METRICS_SETTLE);
    let mut connection = control.connect()?;
    Ok(Counted {
        accepted: connection.metric("skein_points_accepted_total")?,
        superseded: connection.metric("skein_points_superseded_total")?,
    })
}

/// Whether all of it holds.
///
/// # Errors
/// When a run is not possible.
pub fn run(args: &SpikeArgs) -> anyhow::Result<bool> {
    check_tracks(args.load.tracks.as_ref())?;
    let interrupt = InterruptFlag::listen()?;
    let deployment = Deployment::new(&args.target)?;
    let control = deployment.control.clone().context(
        "a spike gives control commands; say where the control API is with --control HOST:PORT",
    )?;
    let (sustainable, by) = match args.sustainable {
        Some(rate) => (rate, "as stated".to_owned()),
        None => find_sustainable(&args.load, &deployment, &interrupt)?,
    };
    let hz = sustainable / f64::from(args.load.senders.max(1));
    eprintln!(
        "sustainable: {sustainable:.0} points/s ({by}); spike: {:.0} points/s for {:?}",
        2.0 * sustainable,
        args.spike
    );
    let spike_s = args.spike.as_secs_f64();
    let spec = at_pace(&args.load, hz, phases(spike_s));
    let run = Run::prepare(&deployment, spec)?;
    let chat = run.chats().into_iter().next().context("a run has a chat")?;
    let before = counted(&control)?;
    let probe = CommandProbe::start(&control, &chat)?;
    let result = run.perform(&interrupt, |_| {})?;
    let samples = probe.end()?;
    let counted = counted(&control)?.since(before)?;
    if interrupt.is_set() {
        bail!("ended early: a spike says nothing before its end");
    }
    let windows = Windows::new(spike_s, result.findings.start_ns);
    let commands = |window: &Range<u64>| samples.figures(window.start, window.end);
    let arrivals = Arrivals::new(&result);
    let report = SpikeReport {
        sustainable,
        sustainable_by: by,
        verdicts: vec![
            commands_answered(&commands(&windows.spike)),
            points_advance(&result, &arrivals, &windows.spike),
            sums_agree(&result, counted),
            normal_again(&arrivals, &windows, &commands(&windows.after)),
            loader_keeps_up(&args.load, &result),
        ],
        commands_before: commands(&windows.before),
        commands_in_spike: commands(&windows.spike),
        commands_after: commands(&windows.after),
        run: Report::new(&args.load, &result),
    };
    print!("{}", text(&report));
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &args.svg {
        write(path, &plot::draw(&report.run.summary)?)?;
    }
    let holds = report.verdicts.iter().all(|verdict| verdict.holds);
    Ok(holds && report.run.breaches.is_empty())
}

fn text(report: &SpikeReport) -> String {
    let mut text = report.run.text();
    text.push('\n');
    let windows = [
        ("before", &report.commands_before),
        ("in the spike", &report.commands_in_spike),
        ("after", &report.commands_after),
    ];
    for (name, figures) in windows {
        for (command, latency) in &figures.by_command {
            text += &format!(
                "{name:<13}{command:<18}p50 {:>8.2} ms  p99 {:>8.2} ms  max {:>8.2} ms\n",
                latency.p50, latency.p99, latency.max
            );
        }
    }
    for verdict in &report.verdicts {
        let holds = if verdict.holds { "holds" } else { "FAILS" };
        text += &format!("{holds}: {}: {}\n", verdict.what, verdict.found);
    }
    text
}
