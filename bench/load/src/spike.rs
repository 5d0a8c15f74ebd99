//! Twice the sustainable rate for some seconds: does the server stay in command?
//!
//! What it must do: answer control commands, move every session's newest point, account for every
//! point it was sent, and be as it was before within two seconds.

use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::{Rates, SpikeArgs};
use crate::clock::{SECOND_NS, nanos};
use crate::command_probe::{CommandFigures, CommandProbe};
use crate::control::Control;
use crate::deployment::Deployment;
use crate::interrupt_flag::InterruptFlag;
use crate::output::write;
use crate::plot;
use crate::report::{Report, is_busy};
use crate::run::{Run, RunResult, Spec, check_tracks};
use crate::schedule::{Phase, Schedule};
use crate::summary::{Summary, merged_reach};

/// Seconds at the sustainable rate before the spike.
const BEFORE_S: f64 = 6.0;

/// The first second of a run is not looked at: connections are cold.
const WARM_UP_S: f64 = 1.0;

/// Shards tell their figures at intervals that are shorter than this.
const METRICS_SETTLE: Duration = Duration::from_millis(1_200);

/// Seconds that the server has to become normal again.
const RECOVERY_S: f64 = 2.0;

/// Seconds at the sustainable rate after that.
const AFTER_S: f64 = 5.0;

/// Longest 99th percentile of control commands, milliseconds.
const COMMAND_P99_MS_MAX: f64 = 100.0;

/// Longest time in which the newest point of a session, as all viewers see it, may stand still
/// beyond the time between two of its points, seconds.
const STANDSTILL_S_MAX: f64 = 1.0;

/// Above this 99th percentile a rate is not sustained, milliseconds.
const SUSTAINED_P99_MS_MAX: f64 = 500.0;

/// Beyond this the loader itself is too late to say anything, milliseconds.
const LOADER_P99_MS_MAX: f64 = 50.0;

/// Seconds of each step of the search.
const STEP_S: f64 = 4.0;

/// Points per second of one session that the search does not go beyond: the server's limit is 100.
const SESSION_HZ_MAX: f64 = 90.0;

/// From one rate of the search to the next, until one is not sustained.
const STEP_FACTOR: f64 = 4.0;

/// The rate that is found lies so near below one that is not sustained.
const PRECISION: f64 = 1.5;

/// Afterwards the 99th percentile may be so many times that of before ...
const NORMAL_FACTOR: f64 = 2.0;

/// ... or longer by so many milliseconds, whichever is more.
const NORMAL_MS: f64 = 50.0;

/// One thing that must hold.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What must hold.
    pub what: &'static str,
    /// The figures.
    pub found: String,
    /// Whether it does.
    pub holds: bool,
}

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

/// Points that the server says it has appended.
#[derive(Clone, Copy, Debug)]
struct Appended {
    accepted: u64,
    superseded: u64,
}

impl Appended {
    fn read(control: &Control) -> anyhow::Result<Self> {
        thread::sleep(METRICS_SETTLE);
        let mut connection = control.connect()?;
        Ok(Self {
            accepted: connection.metric("skein_points_accepted_total")?,
            superseded: connection.metric("skein_points_superseded_total")?,
        })
    }
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
        None => find_sustainable(args, &deployment, &interrupt)?,
    };
    let hz = sustainable / f64::from(args.load.senders.max(1));
    eprintln!(
        "sustainable: {sustainable:.0} points/s ({by}); spike: {:.0} points/s for {:?}",
        2.0 * sustainable,
        args.spike
    );
    let spec = spec(args, hz, spike_phases(args));
    let run = Run::prepare(&deployment, spec)?;
    let chat = run.chats().into_iter().next().context("a run has a chat")?;
    let before = Appended::read(&control)?;
    let probe = CommandProbe::start(&control, &chat)?;
    let result = run.perform(&interrupt, |_| {})?;
    let samples = probe.end()?;
    let after = Appended::read(&control)?;
    if interrupt.is_set() {
        bail!("ended early: a spike says nothing before its end");
    }
    let windows = Windows::new(args, result.findings.start_ns);
    let commands = |(from, to): (u64, u64)| samples.figures(from, to);
    let report = SpikeReport {
        sustainable,
        sustainable_by: by,
        verdicts: vec![
            commands_answered(&commands(windows.spike)),
            points_advance(&result, windows.spike),
            sums_agree(&result, before, after),
            normal_again(&result, &windows, &commands(windows.after)),
            loader_keeps_up(args, &result),
        ],
        commands_before: commands(windows.before),
        commands_in_spike: commands(windows.spike),
        commands_after: commands(windows.after),
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

fn spec(args: &SpikeArgs, hz: f64, phases: Vec<Phase>) -> Spec {
    let mut load = args.load.clone();
    load.rate = Rates { min: hz, max: hz };
    Spec { load, phases }
}

fn spike_phases(args: &SpikeArgs) -> Vec<Phase> {
    let phase = |seconds, factor| Phase { seconds, factor };
    vec![
        phase(BEFORE_S, 1.0),
        phase(args.spike.as_secs_f64(), 2.0),
        phase(RECOVERY_S + AFTER_S, 1.0),
    ]
}

/// Stretches of the run, from and to.
struct Windows {
    before: (u64, u64),
    spike: (u64, u64),
    after: (u64, u64),
    /// The seconds of `after` in the timeline.
    after_seconds: std::ops::Range<usize>,
    /// The seconds of `before` in the timeline.
    before_seconds: std::ops::Range<usize>,
}

impl Windows {
    fn new(args: &SpikeArgs, start_ns: u64) -> Self {
        let at = |seconds: f64| start_ns + nanos(seconds);
        let spike_end = BEFORE_S + args.spike.as_secs_f64();
        let (after, end) = (spike_end + RECOVERY_S, spike_end + RECOVERY_S + AFTER_S);
        Self {
            before: (at(WARM_UP_S), at(BEFORE_S)),
            spike: (at(BEFORE_S), at(spike_end)),
            after: (at(after), at(end)),
            before_seconds: WARM_UP_S as usize..BEFORE_S as usize,
            after_seconds: after as usize..end as usize,
        }
    }
}

fn commands_answered(figures: &CommandFigures) -> Verdict {
    let worst = figures
        .by_command
        .iter()
        .max_by(|a, b| a.1.p99.total_cmp(&b.1.p99));
    let (command, p99) = worst.map_or(("none given", f64::INFINITY), |(name, l)| (*name, l.p99));
    Verdict {
        what: "in the spike the 99th percentile of each control command is below 100 ms",
        found: format!("slowest: {command}, p99 {p99:.1} ms"),
        holds: p99 < COMMAND_P99_MS_MAX,
    }
}

fn points_advance(result: &RunResult, (from, to): (u64, u64)) -> Verdict {
    let schedule = Schedule::new(&result.schedule, result.findings.start_ns);
    let reach = merged_reach(&result.findings, &result.schedule);
    let mut longest = 0;
    for sender in 0..schedule.senders() {
        let viewers = result.steady_viewers[sender as usize];
        let arrivals = reach.complete(sender, viewers).map(|(counter, point)| {
            schedule.intended_ns(sender, counter) + u64::from(point.last_us) * 1_000
        });
        let mut last = from;
        for at in arrivals.chain([to]) {
            let at = at.clamp(from, to);
            longest = longest.max(at.saturating_sub(last));
            last = last.max(at);
        }
    }
    let step = 1.0 / (2.0 * result.schedule.hz_min);
    let longest = longest as f64 / SECOND_NS as f64;
    Verdict {
        what: "in the spike the newest point of every session advances at all its viewers",
        found: format!("longest standstill {longest:.2} s, one point each {step:.2} s"),
        holds: longest < STANDSTILL_S_MAX + step,
    }
}

fn sums_agree(result: &RunResult, before: Appended, after: Appended) -> Verdict {
    let sent = result.summary.sending.sent;
    let verdicts = result.summary.verdicts.clone().unwrap_or_default();
    let appended = after.accepted - before.accepted;
    let superseded = verdicts.superseded;
    let refused = verdicts.refused_total();
    let counted = after.superseded - before.superseded;
    Verdict {
        what: "sent = accepted + superseded + refused",
        found: format!(
            "{sent} sent; {appended} appended by the server's metrics ({} by its acknowledgements), {superseded} superseded ({counted} by its metrics), {refused} refused, nothing said about {}",
            verdicts.accepted, verdicts.unknown
        ),
        holds: sent == appended + superseded + refused && verdicts.unknown == 0,
    }
}

fn normal_again(result: &RunResult, windows: &Windows, commands: &CommandFigures) -> Verdict {
    let worst = |seconds: &std::ops::Range<usize>| {
        let timeline = result
            .summary
            .timeline
            .get(seconds.clone())
            .unwrap_or_default();
        timeline
            .iter()
            .map(|second| second.latency.p99)
            .fold(0.0, f64::max)
    };
    let (before, after) = (
        worst(&windows.before_seconds),
        worst(&windows.after_seconds),
    );
    let allowed = (before * NORMAL_FACTOR).max(before + NORMAL_MS);
    let command = commands
        .by_command
        .values()
        .map(|l| l.p99)
        .fold(0.0, f64::max);
    Verdict {
        what: "two seconds after the spike all is normal",
        found: format!(
            "p99 of deliveries in the worst second {after:.1} ms (before the spike {before:.1} ms), of control commands {command:.1} ms"
        ),
        holds: after <= allowed && command < COMMAND_P99_MS_MAX,
    }
}

/// The 99th percentile of a run's seconds, the median of them: one in which the machine was busy
/// with something else is no limit.
fn usual_p99(summary: &Summary) -> f64 {
    let seconds = WARM_UP_S as usize..(WARM_UP_S + STEP_S) as usize;
    let seconds = summary.timeline.get(seconds).unwrap_or_default();
    let mut p99: Vec<f64> = seconds.iter().map(|second| second.latency.p99).collect();
    p99.sort_by(f64::total_cmp);
    p99.get(p99.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// Without it the other figures are the loader's and not the server's.
fn loader_keeps_up(args: &SpikeArgs, result: &RunResult) -> Verdict {
    let late = result.summary.lateness.p99;
    Verdict {
        what: "the loader itself keeps up",
        found: format!(
            "late by p99 {late:.1} ms, {:.2} of {} cores used; if it fails use a lower --sustainable, or more cores",
            result.summary.worker_cores,
            args.load.cores()
        ),
        holds: late < LOADER_P99_MS_MAX && !is_busy(&args.load, &result.summary),
    }
}

/// What stands in the way of a higher rate.
enum Limit {
    /// The server.
    Server(String),
    /// This program, or what a session may send.
    Loader(String),
}

/// The greatest rate that is sustained, per sender, and what stands in the way of a higher one.
struct Search<'a> {
    args: &'a SpikeArgs,
    deployment: &'a Deployment,
    interrupt: &'a InterruptFlag,
    /// What the first rate took: with very many viewers batches are far between by design.
    first_p99_ms: Option<f64>,
}

/// Finds the sustainable rate of all senders together, and says how.
fn find_sustainable(
    args: &SpikeArgs,
    deployment: &Deployment,
    interrupt: &InterruptFlag,
) -> anyhow::Result<(f64, String)> {
    let mut search = Search {
        args,
        deployment,
        interrupt,
        first_p99_ms: None,
    };
    let senders = f64::from(args.load.senders.max(1));
    let (hz, limit) = search.run()?;
    Ok(match limit {
        Limit::Server(reason) => (hz * senders, format!("found; above it {reason}")),
        // Half of it, so that twice as much can be driven.
        Limit::Loader(reason) => (
            hz * senders / 2.0,
            format!(
                "half of what this loader can drive: the server's limit was not reached, as {reason}"
            ),
        ),
    })
}

impl Search<'_> {
    fn run(&mut self) -> anyhow::Result<(f64, Limit)> {
        let mut hz = self.args.load.rate.mean().min(SESSION_HZ_MAX);
        let senders = f64::from(self.args.load.senders.max(1));
        let mut good = None;
        let mut limit = loop {
            match self.try_rate(hz)? {
                None if hz >= SESSION_HZ_MAX => {
                    let text = "a session may not send more; use more --senders".to_owned();
                    return Ok((hz, Limit::Loader(text)));
                }
                None => good = Some(hz),
                Some(limit) => break limit,
            }
            hz = (hz * STEP_FACTOR).min(SESSION_HZ_MAX);
        };
        let Some(mut good) = good else {
            let (Limit::Server(reason) | Limit::Loader(reason)) = limit;
            bail!(
                "already {:.0} points/s are not sustained: {reason}; begin with a lower --rate, or with fewer viewers",
                hz * senders
            );
        };
        while hz / good > PRECISION {
            let middle = (good * hz).sqrt();
            match self.try_rate(middle)? {
                None => good = middle,
                Some(lower) => (hz, limit) = (middle, lower),
            }
        }
        Ok((good, limit))
    }

    /// What stands in the way of a rate; `None` = it is sustained.
    fn try_rate(&mut self, hz: f64) -> anyhow::Result<Option<Limit>> {
        let phase = Phase {
            seconds: WARM_UP_S + STEP_S,
            factor: 1.0,
        };
        let run = Run::prepare(self.deployment, spec(self.args, hz, vec![phase]))?;
        let result = run.perform(self.interrupt, |_| {})?;
        if self.interrupt.is_set() {
            bail!("ended early: no sustainable rate is known");
        }
        let limit = self.judge(&result);
        let found = match &limit {
            None => "sustained",
            Some(Limit::Server(reason) | Limit::Loader(reason)) => reason,
        };
        eprintln!(
            "{:.0} points/s: {found}",
            hz * f64::from(self.args.load.senders)
        );
        Ok(limit)
    }

    fn judge(&mut self, result: &RunResult) -> Option<Limit> {
        let summary = &result.summary;
        let p99 = usual_p99(summary);
        let allowed = *self.first_p99_ms.get_or_insert(p99) * NORMAL_FACTOR;
        let verdicts = summary.verdicts.clone().unwrap_or_default();
        let away = verdicts.refused_total() + verdicts.unknown + summary.sending.unsent;
        let late = summary.lateness.p99;
        if late > LOADER_P99_MS_MAX {
            return Some(Limit::Loader(format!(
                "the loader is late, p99 {late:.0} ms"
            )));
        }
        if is_busy(&self.args.load, summary) {
            let used = summary.worker_cores;
            return Some(Limit::Loader(format!(
                "the loader is busy, {used:.2} cores"
            )));
        }
        if p99 > allowed.max(SUSTAINED_P99_MS_MAX) {
            return Some(Limit::Server(format!(
                "deliveries are late, p99 {p99:.0} ms"
            )));
        }
        (away > 0).then(|| Limit::Server(format!("{away} points were not taken")))
    }
}
