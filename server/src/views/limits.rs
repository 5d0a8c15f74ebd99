//! Every bound of the record of views, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the record of views, in the order of this file.
    pub fn views_limits;

    VIEWS_WAITING_MAX: usize = 262_144, "beginnings and ends",
        "of views on their way to the record: a crowd that comes back at once; more are counted as lost";
    VIEWS_TICK_MS: u64 = 500, "milliseconds",
        "between two transactions of the record";
    VIEWS_RETRY_MS_MAX: u64 = 30_000, "milliseconds",
        "longest pause after a failure; the first one is a second, each next one double";
    VIEWS_ALIVE_EVERY_MS: u64 = 5_000, "milliseconds",
        "between two notes that present viewers are still there, while there are any: so much too early may a view end that a crash has cut off";
    VIEWS_RETENTION_EVERY_MS: u64 = 60_000, "milliseconds",
        "between two looks for views that are too old";
    VIEWS_PER_PAGE: usize = 1_000, "views",
        "of an answer";
}
