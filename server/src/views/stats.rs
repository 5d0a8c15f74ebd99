//! What the record of views counts, for `GET /metrics`.

use crate::metrics::metrics;

metrics! {
    /// The metrics of the record of views.
    pub static VIEWS_METRICS;
    /// Copies the numbers out.
    pub fn publish(it: &ViewsStats);

    counter "views_recorded", "Views that were recorded" => it.recorded;
    counter "views_lost", "Beginnings and ends of views that the record could not take" => it.lost;
    counter "views_failures", "Transactions of the record of views that failed; tried again"
        => it.failures;
    gauge "views_open", "Views that go on" => it.open;
}

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
