//! Every bound of what can be configured, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the configuration, in the order of this file.
    pub fn config_limits;

    PARTITIONS_MAX: u16 = 1024, "partitions",
        "that a data directory can have: `demo` uses one; beyond this the files outweigh the data";
    WEBHOOK_URLS_MAX: usize = 8, "addresses",
        "that are told of events, each a reader of the control log";
}
