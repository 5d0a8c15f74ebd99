//! The greatest rate that a server sustains, found by runs of a few seconds each.
//!
//! The rate grows in large steps until one is not sustained, and then comes near from both sides. A rate is
//! sustained when deliveries are not late, nothing is turned away, and the loader itself keeps up.

use anyhow::bail;

use crate::args::{LoadArgs, Rates};
use crate::deployment::Deployment;
use crate::interrupt_flag::InterruptFlag;
use crate::report::is_busy;
use crate::run::{Run, RunResult, Spec};
use crate::schedule::Phase;
use crate::summary::Summary;

/// The first second of a run is not looked at: connections are cold.
pub const WARM_UP_S: f64 = 1.0;

/// Beyond this the loader itself is too late to say anything, milliseconds.
pub const LOADER_P99_MS_MAX: f64 = 50.0;

/// Up to this 99th percentile a rate is sustained, milliseconds ...
const SUSTAINED_P99_MS_MAX: f64 = 500.0;

/// ... or up to so many times that of the first rate, as with very many viewers batches are far between by
/// design ...
const SUSTAINED_FACTOR: f64 = 2.0;

/// ... and never beyond this: batches are a second apart at most, a late one follows the next.
const PACED_P99_MS_MAX: f64 = 2_500.0;

/// Seconds of each step of the search.
const STEP_S: f64 = 4.0;

/// Points per second of one session that the search does not go beyond: the server's limit is 100.
const SESSION_HZ_MAX: f64 = 90.0;

/// From one rate of the search to the next, until one is not sustained.
const STEP_FACTOR: f64 = 4.0;

/// The rate that is found lies so near below one that is not sustained.
const PRECISION: f64 = 1.5;

/// A run in which each sender has this pace.
pub fn at_pace(load: &LoadArgs, hz: f64, phases: Vec<Phase>) -> Spec {
    let mut load = load.clone();
    load.rate = Rates { min: hz, max: hz };
    Spec { load, phases }
}

/// Finds the sustainable rate of all senders together, and says how.
///
/// # Errors
/// When a run is not possible, or already the first rate is not sustained.
pub fn find_sustainable(
    load: &LoadArgs,
    deployment: &Deployment,
    interrupt: &InterruptFlag,
) -> anyhow::Result<(f64, String)> {
    let mut search = Search {
        load,
        deployment,
        interrupt,
        first_p99_ms: None,
    };
    let senders = f64::from(load.senders.max(1));
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

/// What stands in the way of a higher rate.
enum Limit {
    /// The server.
    Server(String),
    /// This program, or what a session may send.
    Loader(String),
}

/// The greatest rate that is sustained, per sender, and what stands in the way of a higher one.
struct Search<'a> {
    load: &'a LoadArgs,
    deployment: &'a Deployment,
    interrupt: &'a InterruptFlag,
    /// What the first rate took: with very many viewers batches are far between by design.
    first_p99_ms: Option<f64>,
}

impl Search<'_> {
    fn run(&mut self) -> anyhow::Result<(f64, Limit)> {
        let mut hz = self.load.rate.mean().min(SESSION_HZ_MAX);
        let senders = f64::from(self.load.senders.max(1));
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
        let run = Run::prepare(self.deployment, at_pace(self.load, hz, vec![phase]))?;
        let result = run.perform(self.interrupt, |_| {})?;
        if self.interrupt.is_set() {
            bail!("ended early: no sustainable rate is known");
        }
        let limit = self.judge(&result);
        let found = match &limit {
            None => "sustained",
            Some(Limit::Server(reason) | Limit::Loader(reason)) => reason,
        };
        eprintln!("{:.0} points/s: {found}", hz * f64::from(self.load.senders));
        Ok(limit)
    }

    fn judge(&mut self, result: &RunResult) -> Option<Limit> {
        let summary = &result.summary;
        let p99 = usual_p99(summary);
        let allowed = *self.first_p99_ms.get_or_insert(p99) * SUSTAINED_FACTOR;
        let verdicts = summary.verdicts.clone().unwrap_or_default();
        let away = verdicts.refused_total() + verdicts.unknown + summary.sending.unsent;
        let late = summary.lateness.p99;
        if late > LOADER_P99_MS_MAX {
            return Some(Limit::Loader(format!(
                "the loader is late, p99 {late:.0} ms"
            )));
        }
        if is_busy(self.load, summary) {
            let used = summary.worker_cores;
            return Some(Limit::Loader(format!(
                "the loader is busy, {used:.2} cores"
            )));
        }
        if p99 > allowed.clamp(SUSTAINED_P99_MS_MAX, PACED_P99_MS_MAX) {
            return Some(Limit::Server(format!(
                "deliveries are late, p99 {p99:.0} ms"
            )));
        }
        (away > 0).then(|| Limit::Server(format!("{away} points were not taken")))
    }
}

/// The 99th percentile of a run's seconds, the median of them: one in which the machine was busy
/// with something else is no limit. A second in which nothing came is a late one.
fn usual_p99(summary: &Summary) -> f64 {
    let seconds = WARM_UP_S as usize..(WARM_UP_S + STEP_S) as usize;
    let p99 = |second: usize| {
        let latency = summary.timeline.get(second).map(|second| second.latency);
        let latency = latency.filter(|latency| latency.count > 0);
        latency.map_or(f64::INFINITY, |latency| latency.p99)
    };
    let mut p99: Vec<f64> = seconds.map(p99).collect();
    p99.sort_by(f64::total_cmp);
    p99[p99.len() / 2]
}

#[cfg(test)]
mod tests {
    use crate::latency::Percentiles;
    use crate::summary::{SecondSummary, Summary};
    use crate::sustainable::usual_p99;

    fn usual(p99: &[Option<f64>]) -> f64 {
        let second = |p99: &Option<f64>| SecondSummary {
            delivered: 1,
            batches: 1,
            latency: Percentiles {
                count: u64::from(p99.is_some()),
                p99: p99.unwrap_or_default(),
                ..Percentiles::default()
            },
        };
        usual_p99(&Summary {
            timeline: p99.iter().map(second).collect(),
            ..Summary::default()
        })
    }

    #[test]
    fn one_slow_second_is_no_limit_and_silence_is_not_quick() {
        let quick = Some(3.0);
        assert_eq!(usual(&[quick, quick, Some(900.0), quick, quick]), 3.0);
        assert_eq!(usual(&[quick, None, None, None, quick]), f64::INFINITY);
        assert_eq!(usual(&[quick, quick]), f64::INFINITY);
    }
}
