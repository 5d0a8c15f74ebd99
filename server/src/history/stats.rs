//! What the history counts, for `GET /metrics`.

use crate::metrics::{Metric, MetricRow};

/// The metrics, in the order of [`HistoryStats::publish`].
pub static HISTORY_METRICS: &[Metric] = &[
    Metric::counter("history_records_followed", "Records that the history read"),
    Metric::counter("history_rows_kept", "Points that the history kept"),
    Metric::counter(
        "history_points_unknown",
        "Points of sessions whose start is not in the log any more; not kept",
    ),
    Metric::counter(
        "history_gaps",
        "Ranges of records that were gone before the history read them",
    ),
    Metric::counter("history_failures", "Transactions that failed; tried again"),
    Metric::counter("history_rows_erased", "Rows removed on request"),
    Metric::counter("history_rows_expired", "Rows removed because of their age"),
    Metric::gauge(
        "history_lag_records",
        "Records in the log that the history has not read",
    ),
    Metric::gauge("history_bytes", "Bytes of the database and its journal"),
    Metric::gauge(
        "history_scrub_due",
        "1 while erased rows may still be found in the file",
    ),
];

/// The numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryStats {
    /// Records read.
    pub followed: u64,
    /// Rows kept.
    pub kept: u64,
    /// Points without a known session.
    pub unknown: u64,
    /// Gaps.
    pub gaps: u64,
    /// Failed transactions.
    pub failures: u64,
    /// Rows erased.
    pub erased: u64,
    /// Rows too old.
    pub expired: u64,
    /// Records to read.
    pub lag: u64,
    /// Size on disk.
    pub bytes: u64,
    /// The file is to be rewritten.
    pub scrub_due: bool,
}

impl HistoryStats {
    /// Copies the numbers out.
    pub fn publish(&self, row: &MetricRow) {
        row.publish([
            self.followed,
            self.kept,
            self.unknown,
            self.gaps,
            self.failures,
            self.erased,
            self.expired,
            self.lag,
            self.bytes,
            u64::from(self.scrub_due),
        ]);
    }
}
