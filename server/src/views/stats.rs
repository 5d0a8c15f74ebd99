//! What the record of views counts, for `GET /metrics`.

use crate::metrics::{Metric, MetricRow};

/// The metrics, in the order of [`ViewsStats::publish`].
pub static VIEWS_METRICS: &[Metric] = &[
    Metric::counter("views_recorded", "Views that were recorded"),
    Metric::counter(
        "views_lost",
        "Beginnings and ends of views that the record could not take",
    ),
    Metric::counter(
        "views_failures",
        "Transactions of the record of views that failed; tried again",
    ),
    Metric::gauge("views_open", "Views that go on"),
];

/// The numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewsStats {
    /// Views recorded.
    pub recorded: u64,
    /// Messages lost.
    pub lost: u64,
    /// Failed transactions.
    pub failures: u64,
    /// Views that go on.
    pub open: u64,
}

impl ViewsStats {
    /// Copies the numbers out.
    pub fn publish(&self, row: &MetricRow) {
        row.publish([self.recorded, self.lost, self.failures, self.open]);
    }
}
