//! Every bound of webhooks, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of webhooks, in the order of this file.
    pub fn webhook_limits;

    WEBHOOK_BATCH_EVENTS_MAX: usize = 100, "events",
        "of a request, apart from one group of commands that came together";
    WEBHOOK_BATCH_BYTES_MAX: usize = 256 * 1024, "bytes",
        "of a request's body, apart from one event that is larger by itself";
    WEBHOOK_ANSWER_MS_MAX: u64 = 10_000, "milliseconds",
        "from the look-up of an address's name to the end of its answer";
    WEBHOOK_ANSWER_BYTES_MAX: usize = 64 * 1024, "bytes",
        "of an answer, of which only the status counts";
    WEBHOOK_RETRY_MS_MIN: u64 = 1_000, "milliseconds",
        "until a request that failed is tried again; each next pause is twice as long";
    WEBHOOK_RETRY_MS_MAX: u64 = 300_000, "milliseconds",
        "between two tries at most, so that an address which comes back is served soon";
    WEBHOOK_DEAD_LETTERS_MAX: u64 = 1_000, "batches",
        "given up per address; while the list is full nothing more is given up, so that nothing is lost unseen";
    WEBHOOK_SECRET_BYTES_MIN: usize = 24, "bytes",
        "of a secret, as Standard Webhooks asks for";
    WEBHOOK_SECRETS_MAX: usize = 4, "secrets",
        "that sign each request: the old and the new one while they are changed";
    WEBHOOK_ERROR_BYTES_MAX: usize = 200, "bytes",
        "of the last error that lists show";
}
