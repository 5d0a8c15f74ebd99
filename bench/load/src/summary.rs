//! All workers' results as one.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::latency::{Latencies, Percentiles};
use crate::measure::Findings;
use crate::reach::Reach;
use crate::schedule::{Schedule, SchedulePlan};
use crate::send_result::{SendProgress, Verdicts};
use crate::tally::Totals;

/// What a run has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// From the first intended point until the senders were done, seconds.
    pub seconds: f64,
    /// Points sent, and those that could not be.
    pub sending: SendProgress,
    /// What became of them, where the server says.
    pub verdicts: Option<Verdicts>,
    /// Viewers that watched at the end.
    pub viewers: u32,
    /// Viewers and senders that were lost, for each reason.
    pub lost: BTreeMap<String, u64>,
    /// Points that viewers are owed and did not get.
    pub missing: u64,
    /// Sums of all viewers.
    pub totals: Totals,
    /// What the protocol forbids and yet came, and how often.
    pub strange: BTreeMap<String, u64>,
    /// Viewers that left and came back.
    pub churned_viewers: u64,
    /// Sessions that ended and began anew.
    pub churned_sessions: u64,
    /// Points delivered per second, all viewers together.
    pub delivered_per_s: f64,
    /// Messages delivered per second, all viewers together.
    pub batches_per_s: f64,
    /// From the intended time of a point until a viewer has it or a newer one: every viewer that
    /// reads, every point.
    pub all: Percentiles,
    /// The same, at the first viewer of each point.
    pub first: Percentiles,
    /// The same, at the last one.
    pub last: Percentiles,
    /// From dialling until the server has confirmed the watch.
    pub joins: Percentiles,
    /// How late the loader itself handed points to the system.
    pub lateness: Percentiles,
    /// The share of a core that the busiest worker used.
    pub worker_cores_max: f64,
    /// Cores that all workers used together.
    pub worker_cores: f64,
    /// Second by second.
    pub timeline: Vec<SecondSummary>,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SecondSummary {
    /// Points delivered.
    pub delivered: u64,
    /// Messages delivered.
    pub batches: u64,
    /// Their latencies.
    pub latency: Percentiles,
}

impl Summary {
    /// Adds up; `viewers_of` says how many steady viewers a sender's chat has.
    pub fn new(
        findings: &Findings,
        schedule: &SchedulePlan,
        viewers_of: impl Fn(u32) -> u32,
    ) -> Self {
        let mut all = Latencies::fine();
        let mut joins = Latencies::fine();
        let reach = merged_reach(findings, schedule);
        let mut totals = Totals::default();
        let mut lost = findings.sent.lost.clone();
        let mut strange = BTreeMap::new();
        for viewed in &findings.viewed {
            all.add(&viewed.tally.latency);
            joins.add(&viewed.joins);
            totals.add(&viewed.tally.totals);
            add_counts(&mut lost, &viewed.progress.lost);
            add_counts(&mut strange, &viewed.tally.strange);
        }
        let (first, last) = reach.first_and_last(viewers_of);
        let mut lateness = Latencies::fine();
        lateness.add(&findings.sent.lateness);
        let viewed = &findings.viewed;
        let per_second = |count: u64| count as f64 / findings.seconds.max(f64::MIN_POSITIVE);
        Self {
            seconds: findings.seconds,
            sending: findings.sent.progress,
            verdicts: findings.sent.verdicts.clone(),
            viewers: viewed.iter().map(|part| part.progress.watching).sum(),
            lost,
            missing: viewed.iter().map(|part| part.missing).sum(),
            strange,
            churned_viewers: viewed.iter().map(|part| part.churned).sum(),
            churned_sessions: findings.sent.churned,
            delivered_per_s: per_second(totals.delivered),
            batches_per_s: per_second(totals.batches),
            totals,
            all: all.percentiles(),
            first: first.percentiles(),
            last: last.percentiles(),
            joins: joins.percentiles(),
            lateness: lateness.percentiles(),
            worker_cores_max: findings.worker_cores_max,
            worker_cores: findings.worker_cores,
            timeline: timeline(findings),
        }
    }

    /// What must not be: each breach in words. Empty = the run is good.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                breaches.push(format!("{count} {what}"));
            }
        };
        note(self.missing, "points are missing at viewers");
        note(self.totals.duplicates, "points came twice");
        note(self.totals.out_of_order, "points came out of order");
        for (what, count) in &self.strange {
            note(*count, &format!("times {what}"));
        }
        for (reason, count) in &self.lost {
            note(*count, &format!("connections were lost: {reason}"));
        }
        breaches
    }
}

/// The points that are followed, as all viewers saw them.
pub fn merged_reach(findings: &Findings, schedule: &SchedulePlan) -> Reach {
    let mut reach = Reach::new(&Schedule::new(schedule, findings.start_ns));
    for viewed in &findings.viewed {
        reach.add(&viewed.tally.reach);
    }
    reach
}

fn add_counts(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (what, count) in more {
        *sums.entry(what.clone()).or_default() += count;
    }
}

fn timeline(findings: &Findings) -> Vec<SecondSummary> {
    let seconds = findings.viewed.iter().map(|part| part.tally.seconds.len());
    let second = |index: usize| {
        let mut latency = Latencies::coarse();
        let (mut delivered, mut batches) = (0, 0);
        for part in findings
            .viewed
            .iter()
            .filter_map(|part| part.tally.seconds.get(index))
        {
            latency.add(&part.latency);
            delivered += part.delivered;
            batches += part.batches;
        }
        SecondSummary {
            delivered,
            batches,
            latency: latency.percentiles(),
        }
    };
    (0..seconds.max().unwrap_or(0)).map(second).collect()
}
