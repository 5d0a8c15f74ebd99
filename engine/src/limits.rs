//! Every bound of the engine, with its unit and its reason.
//!
//! What an operator may change is in [`Limits`]; the rest are constants. A bound that is reached
//! gives a documented refusal, never a wait and never a panic.

use skein_wire::limits::TRAIL_POINTS_MAX;

/// Longest duration that can be configured, seconds: a day. Longer shares are started again.
pub const DURATION_S_CEILING: u32 = 24 * 60 * 60;

/// Milliseconds between two cumulative acknowledgements of a session that goes well.
pub const ACCEPTED_INTERVAL_MS: u64 = 2_000;

/// Milliseconds between two logged heartbeats of a session: a standing sender must not fill the log.
pub const HEARTBEAT_LOG_MS: u64 = 20_000;

/// Milliseconds between two hints of demand for a chat: it is a hint, and changes in bursts.
pub const DEMAND_INTERVAL_MS: u64 = 1_000;

/// Milliseconds after its last viewer that a mirror is kept: a viewer that reconnects finds it.
pub const MIRROR_LINGER_MS: u64 = 30_000;

/// Milliseconds within which every shard must have applied a revocation.
pub const FENCE_MS_MAX: u64 = 1_000;

/// Milliseconds at most until a restrictive command whose promise was refused is proposed again; twice
/// as many after each further refusal.
pub const PROPOSAL_RETRY_MS_MIN: u64 = 1_000;

/// Milliseconds between two tries at most: a control log that is out of order for an hour is not
/// flooded, and the promise is made soon after it is mended.
pub const PROPOSAL_RETRY_MS_MAX: u64 = 8_000;

/// Milliseconds without a byte after which a client should ask (`Ping`): a dead server shows in 15 s.
pub const KEEP_ALIVE_MS: u32 = 10_000;

/// Counters below the last one in which a historical point may lie, and bits of its bitmap.
pub const HISTORY_WINDOW: u64 = 1_024;

/// Connections that one session may be bound to: a phone and the connection it just lost. The
/// oldest gives way.
pub const BINDINGS_PER_SESSION_MAX: usize = 4;

/// Requests of one connection that wait for an answer. More are refused (`limit_reached`).
pub const REQUESTS_WAITING_PER_CONNECTION_MAX: usize = 32;

/// Milliseconds that the end of a session waits for its last durable acknowledgement: some syncs of a
/// slow disk, and far less than a client waits for its stop.
pub const DURABLE_LAST_MS_MAX: u64 = 2_000;

/// Verdicts kept for one connection and session until the next `Accepted`; one more sends it.
pub const VERDICTS_HELD_MAX: usize = 64;

/// Points of one session that wait to become durable. More are refused (`busy`) when they ask for it.
pub const DURABLE_WAITS_PER_SESSION_MAX: usize = 4_096;

/// Messages to one other shard from which live points are kept newest-only. Its ring is full then.
pub const OUTBOX_MESSAGES_SOFT: usize = 1_024;

/// Messages to one other shard from which uploads are refused (`busy`).
pub const OUTBOX_MESSAGES_MAX: usize = 65_536;

/// Bytes of checkpoint records in one pass: what a pass may spend beside its duty.
pub const CHECKPOINT_SLICE_BYTES: usize = 64 * 1024;

/// Rows and members copied in one pass for shards that begin to mirror chats: about a quarter of a
/// millisecond where each row has a full trail, beside a pass's duty.
pub const IMAGE_ROWS_PER_PASS: usize = 256;

/// Longest time that the timer of a token lies ahead, milliseconds. Timers are not taken back when
/// their connection ends, and tokens are good for hours: those of connections that come and go would
/// pile up. All look at the same moments, so that a shard full of quiet viewers wakes once.
pub const TOKEN_LOOK_MS: u64 = 5 * 60 * 1_000;

/// Milliseconds between two sweeps of a chat's idempotency keys: they live for a day and more.
pub const KEYS_SWEEP_MS: u64 = 60 * 60 * 1_000;

/// Timers fired in one pass: a few milliseconds of work, when a whole crowd's sessions end at once.
pub const TIMERS_PER_PASS_MAX: usize = 4_096;

/// Requests per second of one connection that are not points, sustained.
pub const REQUESTS_PER_SECOND_MAX: u32 = 50;

/// Requests that may come at once: a client that watches many chats starts with all of them.
pub const REQUESTS_BURST_MAX: u32 = 200;

/// `Watch`es of a part of the map per second of one connection, sustained: each is a full batch, and maps are
/// moved more often than chats are chosen. A rate of its own, so that whoever moves a map can still stop sharing.
pub const VIEWS_PER_SECOND_MAX: u32 = 3;

/// Those that may come at once: a map that is zoomed by a wheel.
pub const VIEWS_BURST_MAX: u32 = 10;

/// Milliseconds of a viewer's interval that senders are told: at most this often makes sense.
pub const DEMAND_STEPS_MS: [u32; 4] = [1_000, 5_000, 30_000, 60_000];

/// Requests that wait until a chat that nobody has named before has its number. More are refused
/// (`busy`).
pub const NAMING_WAITS_PER_CHAT_MAX: usize = 1_024;

/// Links for guests of one chat whose time is not over: what somebody can still keep an eye on.
pub const GUESTS_PER_CHAT_MAX: usize = 1_000;

/// How long a link stays after its time, milliseconds: those who look through it are told by then that their
/// token has expired, and not that the link was revoked.
pub const LINK_LINGER_MS: u64 = 5_000;

/// Longest life of a link, seconds: a month. Who needs it longer is a member.
pub const GUEST_DURATION_S_MAX: u32 = 31 * 24 * 60 * 60;

/// Geofences of one chat: each of its points is judged by all of them.
pub const GEOFENCES_PER_CHAT_MAX: usize = 64;

/// Alerts of one member in one chat: what somebody can still keep an eye on.
pub const ALERTS_PER_USER_MAX: usize = 16;

/// Alerts of all members of one chat: those about everybody judge each of its points.
pub const ALERTS_PER_CHAT_MAX: usize = 1_024;

/// Longest life of an alert, seconds: a day, as that of what it is about. Then its place is forgotten.
pub const ALERT_DURATION_S_MAX: u32 = 24 * 60 * 60;

/// Longest stated life of a chat's geofence, seconds: a year.
pub const GEOFENCE_DURATION_S_MAX: u32 = 366 * 24 * 60 * 60;

/// Longest stay that a geofence may ask for, seconds: an hour.
pub const DWELL_S_MAX: u32 = 60 * 60;

/// Crossings of one session per second, sustained, and at once: each is a promise, synced, and a sender
/// that jumps about must not fill the control log. What is beyond is judged again a second later.
pub const CROSSINGS_PER_SESSION: (u32, u32) = (2, 32);

/// Crossings of one chat per second, sustained, and at once: a stadium fills within minutes.
pub const CROSSINGS_PER_CHAT: (u32, u32) = (100, 1_000);

/// Milliseconds until a session is judged again whose crossing was refused or beyond its bound.
pub const CROSSING_RETRY_MS: u64 = 1_000;

/// Milliseconds between two points of a session beyond which the way between them is not known.
pub const WAY_MS_MAX: u64 = 5 * 60 * 1_000;

/// Metres per second beyond which two points are a jump of the receiver and no way: an airliner.
pub const WAY_SPEED_MAX: f64 = 350.0;

/// Sessions around a point that are looked at for who is near: in a denser crowd some pairs are found
/// at a later point of either.
pub const NEIGHBOURS_MAX: usize = 256;

/// Sessions that one can be told to be near at a time, over all geofences. Beyond it no new ones are.
pub const PARTNERS_PER_SESSION_MAX: usize = 64;

/// Crossings that wait to be told to the viewers of a shard. More are in the events only.
pub const CROSSINGS_WAITING_MAX: usize = 64;

/// Viewers told of a crossing in one pass: some tens of microseconds.
pub const CROSSINGS_TOLD_PER_PASS: usize = 256;

/// Sessions inside of a geofence that one answer names; all are counted.
pub const INSIDE_LISTED_MAX: usize = 1_000;

/// Members of one batch of an import: it is one record, and acts as a whole.
pub const IMPORT_MEMBERS_MAX: usize = 1_000;

/// Members of one page of a list.
pub const MEMBERS_PER_PAGE_MAX: usize = 10_000;

/// Viewers of a session that one shard names in one answer; all are counted. Each costs some look-ups
/// within a pass.
pub const VIEWERS_LISTED_MAX: usize = 1_000;

/// Looks at a chat over HTTP that its owner remembers, to show who saw a session.
pub const LOOKS_PER_CHAT_MAX: usize = 256;

/// How long a look is shown to those who were seen, milliseconds: who asks again within it is there all
/// the while.
pub const LOOK_SHOWN_MS: u64 = 60_000;

/// Bytes that one session costs its owner beside its row: admission state, timers, indexes.
pub const SESSION_BYTES_ESTIMATE: usize = 640;

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

/// Chats that a relay watches at its upstream, each with a table of its own.
pub const RELAY_CHATS_MAX: usize = 65_536;

/// Milliseconds that a relay goes on watching a chat which nobody watches there any more.
pub const RELAY_LINGER_MS: u64 = 30_000;

/// Milliseconds without its upstream before a relay says so to its viewers: a connection that moves
/// or is made anew is nothing to worry about.
pub const UPSTREAM_LOST_MS: u64 = 2_000;

/// Batches of a chat that wait at a relay until it knows the members again. Beyond, it asks for
/// everything anew.
pub const RELAY_BATCHES_HELD_MAX: usize = 1_024;

/// Milliseconds that the first viewers of a chat wait at a relay, once its members are known, for what the
/// upstream has: a chat in which nothing has happened yet has nothing to send.
pub const RELAY_OPENING_MS: u64 = 500;
