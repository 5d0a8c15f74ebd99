//! Every ceiling of the HTTP APIs, with its unit and its reason, in one list.
//!
//! The list that `serve --print-limits` prints is made from the same lines as the constants.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the HTTP APIs, in the order of this file.
    pub fn http_limits;

    BODY_BYTES_MAX: usize = 64 * 1024, "bytes",
        "of a request's body; the largest is an upload of 128 points, about 20 KiB of JSON";
    BODY_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "for the whole body; a slower peer pins its buffer for nothing";
    REPLY_DEADLINE_MS: u64 = 10_000, "milliseconds",
        "for a shard's reply: longer than a group commit on a slow disk and the second in which a revocation is applied everywhere";
    IMPORT_LINE_BYTES_MAX: usize = 1_024, "bytes",
        "of a line of an import; a name at its longest and its rights are a quarter";
    IMPORT_BATCH_LINES: u64 = 1_000, "lines",
        "of an import that become members together";
    IMPORT_BATCH_BYTES: usize = 24 * 1024, "bytes",
        "of a batch of an import, which is one record of the control log";
    IMPORT_PAUSE_MS_MAX: u64 = 10_000, "milliseconds",
        "that an import may send nothing";
    IMPORT_REPORT_MAX: usize = 1_000, "lines",
        "named in the report of an import; the others are counted";
    MEMBERS_PER_PAGE: usize = 1_000, "members",
        "of a page where `limit` is not given; 10,000 at most";
    LABEL_BYTES_MAX: usize = 128, "bytes",
        "of the note on a link";
    ALERT_DURATION_S: u32 = 8 * 60 * 60, "seconds",
        "that an alert lasts which does not say: as long as a share";
    REQUESTS_MAX: usize = 1_024, "requests",
        "worked on at once; each holds a body and a place in a shard's inbox";
    CONTROL_CONNECTIONS_MAX: usize = 256, "connections",
        "of the control listener, whose callers are a few services and operators";
    CONTROL_HEADER_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "for the header of a control request; between two requests the connection waits no longer either";
    CONTROL_HEADER_BYTES_MAX: usize = 16 * 1024, "bytes",
        "of a control request's header and its buffer";
    CONTROL_STALLED_MS: u64 = 30_000, "milliseconds",
        "that a caller of the control API may leave bytes untaken, so that a stalled event stream gives its place back";
    EVENT_STREAMS_MAX: usize = 64, "streams",
        "of events open at once, each a reader of the control log";
    EVENT_KEEP_ALIVE_S: u64 = 15, "seconds",
        "after which a quiet event stream sends a comment, so that proxies keep it open";
    CROSSING_READS_MAX: usize = 4, "requests",
        "that read the control log for crossings at once; each may look through all of it";
    CROSSINGS_PER_PAGE: usize = 1_000, "crossings",
        "after which an answer ends; the caller goes on from there";
    CROSSINGS_AGE_MS_MAX: u64 = 60 * 60 * 1_000, "milliseconds",
        "for which a crossing is told to who was away: as long as an end usually is; a new member must not learn of last week";
    DEAD_LETTERS_PER_PAGE: usize = 100, "batches",
        "of an answer that lists what webhooks gave up";
    LOG_READS_MAX: usize = 8, "requests",
        "that read the log at once; each holds a thread that may wait for the disk or for records";
    LOG_LISTS_MAX: usize = 2, "requests",
        "that list the log's partitions at once; beside the reads, whose followers may hold all places for long";
    LOG_ERASES_MAX: usize = 1, "requests",
        "that erase points at once; each reads a partition and rewrites its segments";
    LOG_PAGE_BYTES_MAX: usize = 1024 * 1024, "bytes",
        "of an answer with records, beyond which it ends after the record; the caller goes on from there";
    LOG_PAGE_RECORDS: usize = 1_000, "records",
        "of an answer where `limit` is not given";
    LOG_PAGE_RECORDS_MAX: usize = 10_000, "records",
        "of an answer, whatever is asked for";
    LOG_WAIT_MS_MAX: u64 = 30_000, "milliseconds",
        "that a request waits for records at the end of the log, below the idle limit of most proxies";
    SHUTDOWN_GRACE_MS: u64 = 2_000, "milliseconds",
        "given to open requests when the server stops";
}
