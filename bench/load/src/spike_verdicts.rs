//! What must hold of a spike, each by what was counted or measured in it.
//!
//! Points are told by when they should have been sent, not by when they came: one that has not come is late,
//! and a second in which nothing came is no quick one.

use std::ops::Range;

use anyhow::Context;
use serde::Serialize;

use crate::args::LoadArgs;
use crate::clock::{SECOND_NS, nanos};
use crate::command_probe::CommandFigures;
use crate::latency::Latencies;
use crate::reach::{Reach, Reached};
use crate::report::is_busy;
use crate::run::RunResult;
use crate::schedule::{Phase, Schedule};
use crate::summary::merged_reach;
use crate::sustainable::{LOADER_P99_MS_MAX, WARM_UP_S};

/// Seconds at the sustainable rate before the spike.
const BEFORE_S: f64 = 6.0;

/// Seconds that the server has to become normal again.
const RECOVERY_S: f64 = 2.0;

/// Seconds at the sustainable rate after that.
const AFTER_S: f64 = 5.0;

/// Longest 99th percentile of control commands, milliseconds.
const COMMAND_P99_MS_MAX: f64 = 100.0;

/// Longest time in which the newest point of a session, as all viewers see it, may stand still
/// beyond the time between two of its points, seconds.
const STANDSTILL_S_MAX: f64 = 1.0;

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

/// Points that the server has counted while the spike's run went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Appended.
    pub accepted: u64,
    /// Not appended, as a newer one was there.
    pub superseded: u64,
}

impl Counted {
    /// What was counted since an earlier moment.
    ///
    /// # Errors
    /// If it is less than it was: the server has begun anew.
    pub fn since(self, before: Self) -> anyhow::Result<Self> {
        let accepted = self.accepted.checked_sub(before.accepted);
        let superseded = self.superseded.checked_sub(before.superseded);
        let (accepted, superseded) = accepted
            .zip(superseded)
            .context("the server was started anew meanwhile: a spike says nothing then")?;
        Ok(Self {
            accepted,
            superseded,
        })
    }
}

/// The pace of the run: as before, twice that, as before.
pub fn phases(spike_s: f64) -> Vec<Phase> {
    let phase = |seconds, factor| Phase { seconds, factor };
    vec![
        phase(BEFORE_S, 1.0),
        phase(spike_s, 2.0),
        phase(RECOVERY_S + AFTER_S, 1.0),
    ]
}

/// Stretches of the run, nanoseconds of the machine's clock.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Before the spike, warm.
    pub before: Range<u64>,
    /// The spike.
    pub spike: Range<u64>,
    /// When all has to be normal again.
    pub after: Range<u64>,
}

impl Windows {
    /// Of a run that began then.
    pub fn new(spike_s: f64, start_ns: u64) -> Self {
        let at = |seconds: f64| start_ns + nanos(seconds);
        let spike_end = BEFORE_S + spike_s;
        let after = spike_end + RECOVERY_S;
        Self {
            before: at(WARM_UP_S)..at(BEFORE_S),
            spike: at(BEFORE_S)..at(spike_end),
            after: at(after)..at(after + AFTER_S),
        }
    }
}

/// When the points of a run had reached their last viewers.
pub struct Arrivals<'a> {
    schedule: Schedule,
    reach: Reach,
    steady_viewers: &'a [u32],
}

/// How late the points of a window were at their last viewers.
struct Lateness {
    p99_ms: f64,
    /// Points that are not at all of their viewers.
    incomplete: u64,
    /// When the last one was there.
    last_ns: u64,
}

impl<'a> Arrivals<'a> {
    /// Of a run.
    pub fn new(result: &'a RunResult) -> Self {
        Self {
            schedule: Schedule::new(&result.schedule, result.findings.start_ns),
            reach: merged_reach(&result.findings, &result.schedule),
            steady_viewers: &result.steady_viewers,
        }
    }

    /// Senders whose points somebody is to get.
    fn watched(&self) -> impl Iterator<Item = u32> {
        (0..self.schedule.senders()).filter(|sender| self.viewers(*sender) > 0)
    }

    fn viewers(&self, sender: u32) -> u32 {
        self.steady_viewers[sender as usize]
    }

    fn intended_ns(&self, sender: u32, counter: u64) -> u64 {
        self.schedule.intended_ns(sender, counter)
    }

    fn lateness(&self, window: &Range<u64>) -> Lateness {
        let mut latencies = Latencies::fine();
        let (mut incomplete, mut last_ns) = (0, 0);
        for sender in self.watched() {
            for (counter, point) in self.reach.followed(sender) {
                let intended_ns = self.intended_ns(sender, counter);
                if !window.contains(&intended_ns) {
                    continue;
                }
                if point.viewers < self.viewers(sender) {
                    incomplete += 1;
                    continue;
                }
                latencies.record_ns(last_late_ns(point));
                last_ns = last_ns.max(intended_ns + last_late_ns(point));
            }
        }
        Lateness {
            p99_ms: match latencies.is_empty() {
                // Nothing has come, which is not quick.
                true => f64::INFINITY,
                false => latencies.quantile_ms(0.99),
            },
            incomplete,
            last_ns,
        }
    }

    /// The longest time in which a session's newest point, as all its viewers see it, was the same.
    fn standstill_ns(&self, window: &Range<u64>) -> u64 {
        let longest = |sender: u32| {
            let arrivals = self.reach.complete(sender, self.viewers(sender));
            let arrivals = arrivals
                .map(|(counter, point)| self.intended_ns(sender, counter) + last_late_ns(point));
            let (mut longest, mut last) = (0, window.start);
            for at in arrivals.chain([window.end]) {
                let at = at.clamp(window.start, window.end);
                longest = longest.max(at.saturating_sub(last));
                last = last.max(at);
            }
            longest
        };
        self.watched().map(longest).max().unwrap_or(0)
    }
}

fn last_late_ns(point: Reached) -> u64 {
    u64::from(point.last_us) * 1_000
}

/// Whether the server answers its operator.
pub fn commands_answered(figures: &CommandFigures) -> Verdict {
    let (command, p99) = slowest(figures);
    Verdict {
        what: "in the spike the 99th percentile of each control command is below 100 ms",
        found: format!("slowest: {command}, p99 {p99:.1} ms"),
        holds: p99 < COMMAND_P99_MS_MAX,
    }
}

/// The slowest command and its 99th percentile. None given is none answered.
fn slowest(figures: &CommandFigures) -> (&'static str, f64) {
    let commands = figures.by_command.iter();
    let worst = commands.max_by(|a, b| a.1.p99.total_cmp(&b.1.p99));
    worst.map_or(("none given", f64::INFINITY), |(name, it)| (*name, it.p99))
}

/// Whether everybody is seen to move.
pub fn points_advance(result: &RunResult, arrivals: &Arrivals<'_>, window: &Range<u64>) -> Verdict {
    // Of long runs not every point is followed.
    let stride = arrivals.reach.stride() as f64;
    let step = stride / (2.0 * result.schedule.hz_min);
    let longest = arrivals.standstill_ns(window) as f64 / SECOND_NS as f64;
    Verdict {
        what: "in the spike the newest point of every session advances at all its viewers",
        found: format!("longest standstill {longest:.2} s, one point each {step:.2} s"),
        holds: longest < STANDSTILL_S_MAX + step,
    }
}

/// Whether every point is accounted for, by what the senders were told and by what the server has counted.
pub fn sums_agree(result: &RunResult, counted: Counted) -> Verdict {
    let sent = result.summary.sending.sent;
    let verdicts = result.summary.verdicts.clone().unwrap_or_default();
    let (accepted, superseded) = (verdicts.accepted, verdicts.superseded);
    let refused = verdicts.refused_total();
    let told = Counted {
        accepted,
        superseded,
    };
    Verdict {
        what: "sent = accepted + superseded + refused",
        found: format!(
            "{sent} sent; {accepted} accepted by the acknowledgements ({} by the server's metrics), {superseded} superseded ({} by its metrics), {refused} refused, nothing said about {}",
            counted.accepted, counted.superseded, verdicts.unknown
        ),
        holds: sent == accepted + superseded + refused && verdicts.unknown == 0 && counted == told,
    }
}

/// Whether the spike has left nothing behind: its own points are all there, those that follow are no later than
/// those before it, and commands are answered.
pub fn normal_again(
    arrivals: &Arrivals<'_>,
    windows: &Windows,
    commands: &CommandFigures,
) -> Verdict {
    let [before, spike, after] =
        [&windows.before, &windows.spike, &windows.after].map(|window| arrivals.lateness(window));
    let allowed = (before.p99_ms * NORMAL_FACTOR).max(before.p99_ms + NORMAL_MS);
    let behind_s = spike.last_ns.saturating_sub(windows.spike.end) as f64 / SECOND_NS as f64;
    let incomplete = spike.incomplete + after.incomplete;
    let (_, command) = slowest(commands);
    Verdict {
        what: "two seconds after the spike all is normal",
        found: format!(
            "p99 at the last viewer {:.1} ms (before the spike {:.1} ms), of control commands {command:.1} ms; the last point of the spike was there {behind_s:.2} s after its end, {incomplete} are not at all viewers",
            after.p99_ms, before.p99_ms
        ),
        holds: before.p99_ms.is_finite()
            && after.p99_ms <= allowed
            && behind_s <= RECOVERY_S
            && incomplete == 0
            && command < COMMAND_P99_MS_MAX,
    }
}

/// Without it the other figures are the loader's and not the server's.
pub fn loader_keeps_up(load: &LoadArgs, result: &RunResult) -> Verdict {
    let late = result.summary.lateness.p99;
    Verdict {
        what: "the loader itself keeps up",
        found: format!(
            "late by p99 {late:.1} ms, {:.2} of {} cores used; if it fails use a lower --sustainable, or more cores",
            result.summary.worker_cores,
            load.cores()
        ),
        holds: late < LOADER_P99_MS_MAX && !is_busy(load, &result.summary),
    }
}

#[cfg(test)]
#[path = "spike_verdicts_tests.rs"]
mod tests;
