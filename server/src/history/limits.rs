//! Every bound of the history, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the history, in the order of this file.
    pub fn history_limits;

    TICK_MS: u64 = 1_000, "milliseconds",
        "between two transactions: one sync of the database a second, whatever the load";
    RECORDS_PER_TRANSACTION_MAX: usize = 65_536, "records",
        "followed before a commit while catching up, so that requests and the end are not kept waiting";
    RETENTION_EVERY_MS: u64 = 60_000, "milliseconds",
        "between two looks for rows that are too old";
    RETRY_MS_MAX: u64 = 30_000, "milliseconds",
        "longest pause after a failure; the first one is a second, each next one double";
    SCRUB_RETRY_MS_MAX: u64 = 300_000, "milliseconds",
        "longest pause after a rewriting of the file that failed, as on a disk without room for a copy; the first one is a second, each next one double";
    CONSUMER_SYNC_EVERY_MS: u64 = 5_000, "milliseconds",
        "between two notes of the place for `skein log stat`; the place that counts is in the database";
    PAGE_ROWS_DEFAULT: usize = 1_000, "rows",
        "of an answer when nothing is asked for";
    PAGE_ROWS_MAX: usize = 10_000, "rows",
        "of an answer: about 2 MiB of JSON";
    GAPS_PER_PAGE_MAX: usize = 100, "gaps",
        "told in one answer";
    CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024, "bytes",
        "of a database that is checked as a whole at the start, in a fraction of a second";
    SCRUB_INLINE_BYTES_MAX: u64 = 64 * 1024 * 1024, "bytes",
        "of a database that is rewritten before an erase is answered; a larger one is answered first";
    SCRUB_EXPIRED_EVERY_MS: u64 = 86_400_000, "milliseconds",
        "between two rewritings of a database no larger than that, so that copies of rows that grew too old go as well";
    SHRINK_BYTES_PER_ROUND: u64 = 4 * 1024 * 1024, "bytes",
        "given back to the file system each second while more of the database is free than the next two bounds: pages move for it";
    SHRINK_FREE_PART_MIN: u64 = 4, "parts",
        "one of so many of the database may be free: in a steady state new rows take the place of those that grew too old";
    SHRINK_FREE_BYTES_MIN: u64 = 1024 * 1024, "bytes",
        "that may be free in any case";
    ERASE_DEADLINE_MS: u64 = 25_000, "milliseconds",
        "for the answer to an erase; it goes on when the caller has left";
}
