//! What is written at the end: text for a person, JSON for a program.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{DeliveryArg, LoadArgs};
use crate::latency::Percentiles;
use crate::progress::count;
use crate::run::{RunResult, ServerFigures};
use crate::summary::Summary;

/// The share of a core above which workers are themselves what is measured.
const WORKER_BUSY: f64 = 0.9;

/// The share of points that were handed over late above which the loader says so.
const LATE_MS: f64 = 50.0;

/// A run's report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub settings: Value,
    /// What viewers and senders saw.
    pub summary: Summary,
    /// What the server used, if it is on this machine.
    pub server: Option<ServerFigures>,
    /// What must not be; empty = the run is good.
    pub breaches: Vec<String>,
    /// What makes the figures worse than the server is.
    pub warnings: Vec<String>,
}

impl Report {
    /// Of a run.
    pub fn new(load: &LoadArgs, result: &RunResult) -> Self {
        let summary = result.summary.clone();
        Self {
            settings: settings(load, result.schedule.seconds()),
            breaches: summary.breaches(),
            warnings: warnings(load, &summary),
            summary,
            server: result.server,
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a text takes everything");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let summary = &self.summary;
        let totals = &summary.totals;
        writeln!(
            out,
            "{} viewers, {:.1} s: {} points sent, {} delivered ({}/s) in {} batches ({}/s)",
            summary.viewers,
            summary.seconds,
            count(summary.sending.sent),
            count(totals.delivered),
            count(summary.delivered_per_s as u64),
            count(totals.batches),
            count(summary.batches_per_s as u64),
        )?;
        writeln!(
            out,
            "checked: {} missing, {} duplicate, {} out of order, {} connections lost; {} skipped as announced, {} not sent",
            summary.missing,
            totals.duplicates,
            totals.out_of_order,
            summary.lost.values().sum::<u64>(),
            totals.skipped,
            summary.sending.unsent,
        )?;
        if let Some(verdicts) = &summary.verdicts {
            writeln!(
                out,
                "the server said: {} accepted, {} superseded, {} refused, nothing about {}",
                verdicts.accepted,
                verdicts.superseded,
                verdicts.refused_total(),
                verdicts.unknown,
            )?;
        }
        if summary.churned_viewers + summary.churned_sessions > 0 {
            writeln!(
                out,
                "left and came back: {} viewers, {} sessions",
                summary.churned_viewers, summary.churned_sessions
            )?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "latency, ms           {:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "mean", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let mut line = |name: &str, figures: &Percentiles| {
            writeln!(
                out,
                "{name:<22}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}",
                figures.mean, figures.p50, figures.p90, figures.p99, figures.p999, figures.max
            )
        };
        line("every delivery", &summary.all)?;
        line("first viewer", &summary.first)?;
        line("last viewer", &summary.last)?;
        line("joining", &summary.joins)?;
        line("sent late by loader", &summary.lateness)?;
        if let Some(server) = &self.server {
            writeln!(out)?;
            write_server(out, server, summary)?;
        }
        for warning in &self.warnings {
            writeln!(out, "note: {warning}")?;
        }
        for breach in &self.breaches {
            writeln!(out, "WRONG: {breach}")?;
        }
        Ok(())
    }
}

fn write_server(out: &mut String, server: &ServerFigures, summary: &Summary) -> std::fmt::Result {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    writeln!(
        out,
        "server: {:.2} s processor time ({:.2} user, {:.2} system) = {:.2} cores; {} positions per second of it",
        server.cpu.total(),
        server.cpu.user,
        server.cpu.system,
        server.cpu.total() / summary.seconds.max(f64::MIN_POSITIVE),
        count(server.delivered_per_cpu_s as u64),
    )?;
    write!(
        out,
        "memory: {:.1} MB before the viewers, {:.1} MB with them ({:.0} bytes each)",
        megabytes(server.memory_before_viewers),
        megabytes(server.memory_with_viewers),
        server.memory_per_viewer,
    )?;
    match server.memory_at_end {
        Some(bytes) => writeln!(out, ", {:.1} MB at the end", megabytes(bytes)),
        None => writeln!(out, "; the server is gone"),
    }
}

/// Whether the loader itself has no more to give.
pub fn is_busy(load: &LoadArgs, summary: &Summary) -> bool {
    let all = summary.worker_cores / load.cores() as f64;
    summary.worker_cores_max.max(all) > WORKER_BUSY
}

fn warnings(load: &LoadArgs, summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_busy(load, summary) {
        warnings.push(format!(
            "the workers used {:.2} of {} cores, the busiest one {:.2}: the latencies are the loader's, too; use more --workers and more cores",
            summary.worker_cores,
            load.cores(),
            summary.worker_cores_max
        ));
    }
    if summary.lateness.p99 > LATE_MS {
        warnings.push(format!(
            "the loader sent late (p99 {:.0} ms), which the latencies contain; use a less busy machine or a lower --rate",
            summary.lateness.p99
        ));
    }
    if summary.sending.unsent > 0 {
        warnings.push(format!(
            "{} points could not be handed to a connection; nobody is owed them",
            summary.sending.unsent
        ));
    }
    warnings
}

fn settings(load: &LoadArgs, seconds: f64) -> Value {
    let viewers = load.viewers();
    let viewers = viewers
        .iter()
        .map(|(transport, count)| (transport.name().to_owned(), *count));
    json!({
        "senders": load.senders,
        "hz_min": load.rate.min,
        "hz_max": load.rate.max,
        "seconds": seconds,
        "tracks": load.tracks.is_some(),
        "viewers": viewers.collect::<std::collections::BTreeMap<_, _>>(),
        "chats": load.chats.0.len(),
        "every": load.delivery == DeliveryArg::Every,
        "churn_per_s": load.churn,
        "churn_sessions_per_s": load.churn_sessions,
        "slow": load.slow,
        "version": env!("CARGO_PKG_VERSION"),
    })
}
