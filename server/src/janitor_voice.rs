//! What the janitor of the event log or of the control log could not do, for people: lines in the server's
//! log and counters.
//!
//! A disk that refuses does so again and again, in many partitions: so much is counted, and said once in
//! a while with the number of those that were not said.

use std::fmt;
use std::sync::{Arc, Mutex};

use skein_log::WorkReport;

use crate::metrics::{Metric, MetricRow};

/// Time between two lines of one kind, milliseconds.
const SAY_EVERY_MS: u64 = 10_000;

/// What is counted of the event log, in the order of [`JanitorVoice::hear`].
pub static JANITOR_METRICS: &[Metric] = &[
    Metric::counter(
        "log_sync_failures",
        "Syncs of a partition that failed or had no file to sync, each at each try",
    ),
    Metric::counter(
        "log_refusals",
        "What the disk refused the event log beside that, each at each try",
    ),
];

/// The same of the control log.
pub static CONTROL_JANITOR_METRICS: &[Metric] = &[
    Metric::counter(
        "control_sync_failures",
        "Syncs of the control log's janitor that failed or had no file to sync, each at each try",
    ),
    Metric::counter(
        "control_refusals",
        "What the disk refused the control log beside that, each at each try",
    ),
];

/// When something was last said, and how much was not said since.
#[derive(Debug, Default)]
struct Pace {
    said_at_ms: Option<u64>,
    unsaid: u64,
}

impl Pace {
    /// `count` of it happened: whether to say so, and of how many others nothing was said.
    fn say(&mut self, now_ms: u64, count: u64) -> Option<u64> {
        let is_time = self
            .said_at_ms
            .is_none_or(|said| now_ms.abs_diff(said) >= SAY_EVERY_MS);
        if count == 0 || !is_time {
            self.unsaid += count;
            return None;
        }
        self.said_at_ms = Some(now_ms);
        Some(std::mem::take(&mut self.unsaid) + count - 1)
    }
}

/// Says what is in the reports of one janitor.
#[derive(Debug)]
pub struct JanitorVoice {
    /// Whose janitor it is.
    log: &'static str,
    metrics: Arc<MetricRow>,
    paces: Mutex<[Pace; 2]>,
}

impl JanitorVoice {
    /// Of the event log; `metrics` is a row of [`JANITOR_METRICS`].
    pub fn of_events(metrics: Arc<MetricRow>) -> Self {
        Self::of("the event log", metrics)
    }

    /// Of the control log; `metrics` is a row of [`CONTROL_JANITOR_METRICS`].
    pub fn of_control(metrics: Arc<MetricRow>) -> Self {
        Self::of("the control log", metrics)
    }

    fn of(log: &'static str, metrics: Arc<MetricRow>) -> Self {
        Self {
            log,
            metrics,
            paces: Mutex::default(),
        }
    }

    /// Hears of a step of the janitor. Any of its threads calls it.
    pub fn hear(&self, now_ms: u64, report: &WorkReport) {
        self.metrics.add(0, report.failures.len() as u64);
        self.metrics.add(1, report.refusals.len() as u64);
        if report.failures.is_empty() && report.refusals.is_empty() {
            return;
        }
        let mut paces = self.paces.lock().expect("paces");
        let [failures, refusals] = &mut *paces;
        if let Some((failure, others)) = newest(failures, now_ms, &report.failures) {
            tracing::error!(%failure, others, "{} cannot be made durable", self.log);
        }
        if let Some((refusal, others)) = newest(refusals, now_ms, &report.refusals) {
            tracing::warn!(%refusal, others, "the disk refuses {} something", self.log);
        }
    }
}

fn newest<'a, T: fmt::Display>(pace: &mut Pace, now_ms: u64, all: &'a [T]) -> Option<(&'a T, u64)> {
    let others = pace.say(now_ms, all.len() as u64)?;
    all.last().map(|newest| (newest, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsBoard;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_once_in_a_while_with_their_number() {
        let mut pace = Pace::default();
        assert_eq!(pace.say(5, 0), None);
        assert_eq!(pace.say(5, 3), Some(2));
        assert_eq!(pace.say(6, 1), None);
        assert_eq!(pace.say(SAY_EVERY_MS, 4), None);
        assert_eq!(pace.say(5 + SAY_EVERY_MS, 0), None, "nothing happens");
        assert_eq!(pace.say(6 + SAY_EVERY_MS, 1), Some(5));
        assert_eq!(pace.say(1, 1), Some(0), "a clock that was set back");
    }

    #[test]
    fn what_is_not_said_is_counted_all_the_same() {
        let metrics = MetricsBoard::default().once(JANITOR_METRICS);
        let voice = JanitorVoice::of_events(metrics.clone());
        let mut report = WorkReport::default();
        report.refusals = vec!["one".to_owned(), "two".to_owned()];
        voice.hear(1, &report);
        voice.hear(2, &report);
        voice.hear(3, &WorkReport::default());
        assert_eq!((metrics.get(0), metrics.get(1)), (0, 4));
    }
}
