//! Every bound of the engine, with its unit and its reason.
//!
//! What an operator may change is in [`Limits`]; the rest are constants. A bound that is reached
//! gives a documented refusal, never a wait and never a panic.

use skein_wire::limit_list;
use skein_wire::limits::TRAIL_POINTS_MAX;

limit_list! {
    /// The fixed bounds of chats, in the order of this file.
    pub fn engine_limits;

    DURATION_S_CEILING: u32 = 24 * 60 * 60, "seconds",
        "longest duration that can be configured: a day. Longer shares are started again";
    ACCEPTED_INTERVAL_MS: u64 = 2_000, "milliseconds",
        "between two cumulative acknowledgements of a session that goes well";
    HEARTBEAT_LOG_MS: u64 = 20_000, "milliseconds",
        "between two logged heartbeats of a session: a standing sender must not fill the log";
    DEMAND_INTERVAL_MS: u64 = 1_000, "milliseconds",
        "between two hints of demand for a chat: it is a hint, and changes in bursts";
    MIRROR_LINGER_MS: u64 = 30_000, "milliseconds",
        "after its last viewer that a mirror is kept: a viewer that reconnects finds it";
    FENCE_MS_MAX: u64 = 1_000, "milliseconds",
        "within which every shard must have applied a revocation";
    PROPOSAL_RETRY_MS_MIN: u64 = 1_000, "milliseconds",
        "at most until a restrictive command whose promise was refused is proposed again; twice as many after each further refusal";
    PROPOSAL_RETRY_MS_MAX: u64 = 8_000, "milliseconds",
        "between two tries at most: a control log that is out of order for an hour is not flooded, and the promise is made soon after it is mended";
    KEEP_ALIVE_MS: u32 = 10_000, "milliseconds",
        "without a byte after which a client should ask (`Ping`): a dead server shows in 15 s";
    HISTORY_WINDOW: u64 = 1_024, "counters",
        "below the last one in which a historical point may lie, and bits of its bitmap";
    BINDINGS_PER_SESSION_MAX: usize = 4, "connections",
        "that one session may be bound to: a phone and the connection it just lost. The oldest gives way";
    REQUESTS_WAITING_PER_CONNECTION_MAX: usize = 32, "requests",
        "of one connection that wait for an answer. More are refused (`limit_reached`)";
    DURABLE_LAST_MS_MAX: u64 = 2_000, "milliseconds",
        "that the end of a session waits for its last durable acknowledgement: some syncs of a slow disk, and far less than a client waits for its stop";
    VERDICTS_HELD_MAX: usize = 64, "verdicts",
        "kept for one connection and session until the next `Accepted`; one more sends it";
    DURABLE_WAITS_PER_SESSION_MAX: usize = 4_096, "points",
        "of one session that wait to become durable, and requests over HTTP whose points are on their way to the log. More are refused (`busy`)";
    OUTBOX_MESSAGES_SOFT: usize = 1_024, "messages",
        "to one other shard from which live points are kept newest-only. Its ring is full then";
    OUTBOX_MESSAGES_MAX: usize = 65_536, "messages",
        "to one other shard from which uploads are refused (`busy`)";
    CHECKPOINT_SLICE_BYTES: usize = 64 * 1024, "bytes",
        "of checkpoint records in one pass: what a pass may spend beside its duty";
    IMAGE_ROWS_PER_PASS: usize = 256, "rows",
        "and members copied in one pass for shards that begin to mirror chats: about a quarter of a millisecond where each row has a full trail, beside a pass's duty";
    TOKEN_LOOK_MS: u64 = 5 * 60 * 1_000, "milliseconds",
        "longest time that the timer of a token lies ahead. Timers are not taken back when their connection ends, and tokens are good for hours: those of connections that come and go would pile up. All look at the same moments, so that a shard full of quiet viewers wakes once";
    KEYS_SWEEP_MS: u64 = 60 * 60 * 1_000, "milliseconds",
        "between two sweeps of a chat's idempotency keys: they live for a day and more";
    TIMERS_PER_PASS_MAX: usize = 4_096, "timers",
        "fired in one pass: a few milliseconds of work, when a whole crowd's sessions end at once";
    REQUESTS_PER_SECOND_MAX: u32 = 50, "requests",
        "per second of one connection that are not points, sustained";
    REQUESTS_BURST_MAX: u32 = 200, "requests",
        "that may come at once: a client that watches many chats starts with all of them";
    VIEWS_PER_SECOND_MAX: u32 = 3, "watches",
        "of a part of the map per second of one connection, sustained: each is a full batch, and maps are moved more often than chats are chosen. A rate of its own, so that whoever moves a map can still stop sharing";
    VIEWS_BURST_MAX: u32 = 10, "watches",
        "of a part of the map that one connection asks for at once: a map that is zoomed by a wheel";
    NAMING_WAITS_PER_CHAT_MAX: usize = 1_024, "requests",
        "that wait until a chat that nobody has named before has its number. More are refused (`busy`)";
    GUESTS_PER_CHAT_MAX: usize = 1_000, "links",
        "for guests of one chat whose time is not over: what somebody can still keep an eye on";
    LINK_LINGER_MS: u64 = 5_000, "milliseconds",
        "how long a link stays after its time: those who look through it are told by then that their token has expired, and not that the link was revoked";
    GUEST_DURATION_S_MAX: u32 = 31 * 24 * 60 * 60, "seconds",
        "longest life of a link: a month. Who needs it longer is a member";
    GEOFENCES_PER_CHAT_MAX: usize = 64, "geofences",
        "of one chat: each of its points is judged by all of them";
    ALERTS_PER_USER_MAX: usize = 16, "alerts",
        "of one member in one chat: what somebody can still keep an eye on";
    ALERTS_PER_CHAT_MAX: usize = 1_024, "alerts",
        "of all members of one chat: those about everybody judge each of its points";
    ALERT_DURATION_S_MAX: u32 = 24 * 60 * 60, "seconds",
        "longest life of an alert: a day, as that of what it is about. Then its place is forgotten";
    GEOFENCE_DURATION_S_MAX: u32 = 366 * 24 * 60 * 60, "seconds",
        "longest stated life of a chat's geofence: a year";
    DWELL_S_MAX: u32 = 60 * 60, "seconds",
        "longest stay that a geofence may ask for: an hour";
    CROSSINGS_PER_SESSION_MAX: u32 = 2, "crossings",
        "of one session per second, sustained: each is a promise, synced, and a sender that jumps about must not fill the control log. What is beyond is judged again a second later";
    CROSSINGS_PER_SESSION_BURST_MAX: u32 = 32, "crossings",
        "of one session at once";
    CROSSINGS_PER_CHAT_MAX: u32 = 100, "crossings",
        "of one chat per second, sustained";
    CROSSINGS_PER_CHAT_BURST_MAX: u32 = 1_000, "crossings",
        "of one chat at once: a stadium fills within minutes";
    CROSSING_RETRY_MS: u64 = 1_000, "milliseconds",
        "until a session is judged again whose crossing was refused or beyond its bound";
    WAY_MS_MAX: u64 = 5 * 60 * 1_000, "milliseconds",
        "between two points of a session beyond which the way between them is not known";
    NEIGHBOURS_MAX: usize = 256, "sessions",
        "around a point that are looked at for who is near: in a denser crowd some pairs are found at a later point of either";
    PARTNERS_PER_SESSION_MAX: usize = 64, "sessions",
        "that one can be told to be near at a time, over all geofences. Beyond it no new ones are";
    CROSSINGS_WAITING_MAX: usize = 64, "crossings",
        "that wait to be told to the viewers of a shard. More are in the events only";
    CROSSINGS_TOLD_PER_PASS: usize = 256, "viewers",
        "told of a crossing in one pass: some tens of microseconds";
    INSIDE_LISTED_MAX: usize = 1_000, "sessions",
        "inside of a geofence that one answer names; all are counted";
    IMPORT_MEMBERS_MAX: usize = 1_000, "members",
        "of one batch of an import: it is one record, and acts as a whole";
    MEMBERS_PER_PAGE_MAX: usize = 10_000, "members",
        "of one page of a list";
    VIEWERS_LISTED_MAX: usize = 1_000, "viewers",
        "of a session that one shard names in one answer; all are counted. Each costs some look-ups within a pass";
    LOOKS_PER_CHAT_MAX: usize = 256, "looks",
        "at a chat over HTTP that its owner remembers, to show who saw a session";
    LOOK_SHOWN_MS: u64 = 60_000, "milliseconds",
        "how long a look is shown to those who were seen: who asks again within it is there all the while";
    SESSION_BYTES_ESTIMATE: usize = 640, "bytes",
        "that one session costs its owner beside its row: admission state, timers, indexes";
    RELAY_CHATS_MAX: usize = 65_536, "chats",
        "that a relay watches at its upstream, each with a table of its own";
    RELAY_LINGER_MS: u64 = 30_000, "milliseconds",
        "that a relay goes on watching a chat which nobody watches there any more";
    UPSTREAM_LOST_MS: u64 = 2_000, "milliseconds",
        "without its upstream before a relay says so to its viewers: a connection that moves or is made anew is nothing to worry about";
    RELAY_BATCHES_HELD_MAX: usize = 1_024, "batches",
        "of a chat that wait at a relay until it knows the members again. Beyond, it asks for everything anew";
    RELAY_OPENING_MS: u64 = 500, "milliseconds",
        "that the first viewers of a chat wait at a relay, once its members are known, for what the upstream has: a chat in which nothing has happened yet has nothing to send";
}

/// Milliseconds of a viewer's interval that senders are told: at most this often makes sense.
pub const DEMAND_STEPS_MS: [u32; 4] = [1_000, 5_000, 30_000, 60_000];

/// Metres per second beyond which two points are a jump of the receiver and no way: an airliner.
pub const WAY_SPEED_MAX: f64 = 350.0;

/// What an operator may change. [`Limits::default`] is what the documents describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest session, seconds.
    pub duration_s_max: u32,
    /// Live sessions of one user in one chat: several devices, not hundreds.
    pub sessions_per_user_max: usize,
    /// Live sessions of one chat: what one batch and one phone can still show.
    pub sessions_per_chat_max: usize,
    /// Chats that one connection watches.
    pub watches_per_connection_max: usize,
    /// Sessions that one connection feeds.
    pub shares_per_connection_max: usize,
    /// Silence after which a session is stale, milliseconds.
    pub stale_after_ms: u64,
    /// Points per second of one session, sustained.
    pub points_per_second_max: u32,
    /// Points that may come at once after a pause.
    pub points_burst_max: u32,
    /// Points of a session's trail ring.
    pub trail_points: usize,
    /// Ended rows kept per chat so that viewers that were away learn of the end.
    pub tombstones_per_chat_max: usize,
    /// Age at which an ended row is forgotten, milliseconds.
    pub tombstone_age_ms_max: u64,
    /// Shortest time between two passes of a chat as a share of its work, see `pacing`: the ceiling,
    /// milliseconds.
    pub floor_interval_ms_max: u64,
    /// Memory for rows, trails, mirrors, sessions and views of one shard, bytes. Beyond it things are given
    /// back, then new sessions refused.
    pub memory_bytes_max: usize,
    /// Rows and members copied in one pass for shards that begin to mirror chats. Not configured:
    /// tests make it small.
    pub image_rows_per_pass: usize,
    /// A record is kept of who watches whom, so that each watch is told to the caller of the engine.
    pub views_recorded: bool,
    /// Tokens bring rights, so that the end of a membership must be remembered.
    pub rights_from_tokens: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duration_s_max: 8 * 60 * 60,
            sessions_per_user_max: 4,
            sessions_per_chat_max: 20_000,
            watches_per_connection_max: 64,
            shares_per_connection_max: 64,
            stale_after_ms: 30_000,
            points_per_second_max: 100,
            points_burst_max: 200,
            trail_points: TRAIL_POINTS_MAX,
            tombstones_per_chat_max: 10_000,
            tombstone_age_ms_max: 60 * 60 * 1_000,
            floor_interval_ms_max: 1_000,
            memory_bytes_max: 1 << 30,
            image_rows_per_pass: IMAGE_ROWS_PER_PASS,
            views_recorded: false,
            rights_from_tokens: false,
        }
    }
}

const _: () = assert!(
    HEARTBEAT_LOG_MS < 30_000,
    "a logged heartbeat must come before stale"
);
const _: () = assert!(PROPOSAL_RETRY_MS_MIN <= PROPOSAL_RETRY_MS_MAX);
const _: () = assert!(OUTBOX_MESSAGES_SOFT < OUTBOX_MESSAGES_MAX);
const _: () = assert!(VERDICTS_HELD_MAX <= skein_wire::limits::VERDICTS_MAX);
