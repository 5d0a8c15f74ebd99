//! What webhooks count, for `GET /metrics`. All addresses together; lists tell of each.

use std::sync::Arc;

use crate::metrics::{Metric, MetricRow};

/// The metrics, in the order of the constants below.
pub static WEBHOOK_METRICS: &[Metric] = &[
    Metric::counter("webhook_requests", "Requests to webhooks"),
    Metric::counter(
        "webhook_failures",
        "Requests to webhooks that were not answered 2xx",
    ),
    Metric::counter("webhook_events", "Events that webhooks have acknowledged"),
    Metric::counter("webhook_given_up", "Batches that were given up"),
    Metric::gauge(
        "webhook_dead_letters",
        "Batches that were given up and are still in the list",
    ),
    Metric::gauge(
        "webhook_lag",
        "Records of the control log that the webhook furthest behind has not got",
    ),
];

const REQUESTS: usize = 0;
const FAILURES: usize = 1;
const EVENTS: usize = 2;
const GIVEN_UP: usize = 3;
const DEAD_LETTERS: usize = 4;
const LAG: usize = 5;

/// The numbers. Written by the thread of webhooks alone.
#[derive(Clone, Debug)]
pub struct WebhookStats(Arc<MetricRow>);

impl WebhookStats {
    /// In a row of [`WEBHOOK_METRICS`].
    pub fn new(row: Arc<MetricRow>) -> Self {
        Self(row)
    }

    fn add(&self, index: usize, number: u64) {
        self.0.set(index, self.0.get(index) + number);
    }

    /// A request was answered with 2xx and has brought so many events.
    pub fn delivered(&self, events: u64) {
        self.add(REQUESTS, 1);
        self.add(EVENTS, events);
    }

    /// A request was not.
    pub fn failed(&self) {
        self.add(REQUESTS, 1);
        self.add(FAILURES, 1);
    }

    /// A batch was given up.
    pub fn given_up(&self) {
        self.add(GIVEN_UP, 1);
    }

    /// How things stand.
    pub fn stand(&self, dead_letters: u64, lag: u64) {
        self.0.set(DEAD_LETTERS, dead_letters);
        self.0.set(LAG, lag);
    }
}
