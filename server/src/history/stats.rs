//! What the history counts, for `GET /metrics`.

use crate::metrics::metrics;

metrics! {
    /// The metrics of the history.
    pub static HISTORY_METRICS;
    /// Copies the numbers out.
    pub fn publish(it: &HistoryStats);

    counter "history_records_followed", "Records that the history read" => it.followed;
    counter "history_rows_kept", "Points that the history kept" => it.kept;
    counter "history_points_unknown", "Points of sessions whose start is not in the log any more; not kept"
        => it.unknown;
    counter "history_gaps", "Ranges of records that were gone before the history read them"
        => it.gaps;
    counter "history_failures", "Transactions that failed; tried again" => it.failures;
    counter "history_rows_erased", "Rows removed on request" => it.erased;
    counter "history_rows_expired", "Rows removed because of their age" => it.expired;
    gauge "history_lag_records", "Records in the log that the history has not read" => it.lag;
    gauge "history_bytes", "Bytes of the database and its journal" => it.bytes;
    gauge "history_scrub_due", "1 while erased rows may still be found in the file"
        => u64::from(it.scrub_due);
}

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
