//! Every bound of the client, with its unit and its reason.

/// Milliseconds between two looks at other parts of the map: the server takes three a second, and a
/// map that is being moved shows nothing that somebody could read.
pub const LOOK_MS_MIN: u64 = 500;

/// Batches kept for chats whose `Watching` or `Viewing` has not come yet: a datagram may overtake the control stream.
pub const EARLY_BATCHES_MAX: usize = 16;

/// Bytes of those batches: four of the largest.
pub const EARLY_BYTES_MAX: usize = 256 * 1024;

/// Pages of one batch that are put together: 64 MiB, several times the largest chat. More is a
/// fault of the server.
pub const PAGES_HELD_MAX: u32 = 1_024;

/// Counters below the last one that a viewer remembers in `every` mode; the server takes historical
/// points no older than that.
pub const SEEN_WINDOW: u64 = 1_024;

/// Milliseconds assumed for a round trip until one was measured.
pub const ROUND_TRIP_MS_GUESS: u64 = 200;

/// Milliseconds between two complaints at least, however short the round trip.
pub const COMPLAINT_MS_MIN: u64 = 50;

/// Milliseconds between two complaints about the same gap at most: it must heal.
pub const COMPLAINT_MS_MAX: u64 = 1_000;

/// Milliseconds between two requests for a full batch at most: an empty chat may have none to send.
pub const FULL_BATCH_MS_MAX: u64 = 10_000;

/// Milliseconds between two tries of a watch or share that the server has no room for now.
pub const RETRY_REFUSED_MS: u64 = 1_000;

/// Milliseconds that an answer to a keep-alive may take. With the 10 s of silence before it, a dead
/// server shows in 15 s.
pub const PONG_MS_MAX: u64 = 5_000;

/// Milliseconds of silence before a keep-alive behind frames that came more often: somebody was moving, and either
/// nobody does any more or this client has lost its network. One question tells which, and then the pace is the usual one.
pub const LIVELY_MS: u64 = 3_000;

/// Milliseconds without an answer to a keep-alive after which a viewer may be offline: several round trips of a bad
/// network, so that it is said of few who are not.
pub const DOUBT_MS: u64 = 2_000;

/// Milliseconds of silence before a keep-alive while the server has not stated any.
pub const KEEP_ALIVE_MS_DEFAULT: u64 = 10_000;

/// Milliseconds before the start of a session that a fix is believed to be from.
pub const CAPTURED_BEFORE_START_MS: u64 = 5 * 60 * 1_000;

/// Milliseconds in the future that a device's clock may be without being clamped.
pub const CAPTURED_AHEAD_MS: u64 = 2_000;

/// Milliseconds that an estimate of the server's clock may be off before it is taken anew.
pub const CLOCK_JUMP_MS: i64 = 5_000;

/// Points a sender keeps while it is offline. The server takes historical points up to 1,024 below
/// the newest; older ones could not be delivered.
pub const BACKLOG_POINTS_MAX: usize = 1_023;

/// Points that wait for a verdict at most. Above, the oldest count as unknown: a server that is
/// this far behind will not say.
pub const UNACKNOWLEDGED_MAX: usize = 16_384;

/// Points in one historical upload: about 40 bytes each at most without blobs, within a frame.
pub const UPLOAD_POINTS: usize = 64;

/// Bytes of points in one historical upload; leaves room for the frame's head.
pub const UPLOAD_BYTES: usize = 3_500;

/// Milliseconds between two historical uploads: 64 points each stay below 100 a second, and the
/// live points do not wait behind them.
pub const UPLOAD_INTERVAL_MS: u64 = 800;

/// Milliseconds between two heartbeats of a sender that does not move. A session grows stale after
/// 30 s; one may get lost.
pub const HEARTBEAT_MS: u64 = 12_000;

/// Milliseconds after a historical upload by which a refusal of it would be here, if an answer to
/// something later is.
pub const SETTLE_MS: u64 = 1_500;

/// Milliseconds that a point may wait for its acknowledgement (due every 2 s) before the sender asks
/// by a heartbeat.
pub const ACKNOWLEDGEMENT_MS: u64 = 4_000;

/// Milliseconds of the first pause before a reconnect.
pub const BACKOFF_MS_MIN: u64 = 200;

/// Milliseconds of the longest pause before a reconnect.
pub const BACKOFF_MS_MAX: u64 = 15_000;

/// Milliseconds that a connection may take until it is welcome.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// Milliseconds that a stop may take before the application is told that it is not confirmed.
pub const STOP_MS_MAX: u64 = 15_000;

/// Milliseconds of silence after which QUIC gives a connection up. A phone comes back from a tunnel
/// on the same connection.
pub const QUIC_IDLE_MS: u64 = 90_000;

/// Milliseconds between two QUIC keep-alives: shorter than most NATs forget (30 s).
pub const QUIC_KEEP_ALIVE_MS: u64 = 15_000;

/// Bytes of one QUIC stream from the server that may be on their way. One batch frame and a half.
pub const QUIC_STREAM_WINDOW: u32 = 128 * 1024;

/// Bytes of all QUIC streams together that may be on their way.
pub const QUIC_WINDOW: u32 = 1024 * 1024;

/// Batch streams that the server may have open; it opens at most one a chat.
pub const QUIC_UNI_STREAMS: u32 = 64;

/// Bytes of datagrams that wait to be read. About 200 batches: beyond, the oldest are lost and
/// repaired.
pub const QUIC_DATAGRAM_BYTES: usize = 256 * 1024;

/// Bytes of one read of a stream.
pub const READ_BYTES: usize = 16 * 1024;

/// Bytes of a WebSocket message. A server may put several frames into one, all pages of a batch.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Ends of sessions that a viewer remembers per chat: as many as a server keeps ended rows for a
/// small chat. One that is forgotten may be told twice, no more.
pub const ENDS_REMEMBERED_MAX: usize = 1_024;

/// Keys in a ring: most of a year of a chat that has a new one every day.
pub const SEAL_KEYS_MAX: usize = 256;

/// Runs of senders whose derived keys a viewer keeps, about 1 KiB each. Beyond it they are derived
/// again.
pub const SEAL_STREAMS_MAX: usize = 16_384;

/// Sessions of which a viewer remembers what it has opened, 160 bytes each.
pub const SEAL_SESSIONS_MAX: usize = 65_536;

/// Frames read from a connection that wait for their reader; then reading pauses.
pub const INBOX_FRAMES: usize = 256;

/// Writes that wait for the network: several seconds of a busy sender. More means that the server
/// takes nothing.
pub const OUTBOX_WRITES: usize = 1_024;

/// Events of a sender that wait for the application; then further verdicts are only counted, and it
/// is not told that it is offline.
pub const EVENTS_WAITING: usize = 65_536;

const _: () = assert!(
    HEARTBEAT_MS <= 20_000,
    "one lost heartbeat must not make a session stale"
);
const _: () = assert!(UPLOAD_POINTS <= skein_wire::limits::POINTS_PER_UPLOAD_MAX);
const _: () = assert!(UPLOAD_BYTES + 64 <= skein_wire::limits::CLIENT_FRAME_BYTES_MAX);
const _: () = assert!(KEEP_ALIVE_MS_DEFAULT + PONG_MS_MAX <= 15_000);
const _: () = assert!(LIVELY_MS <= KEEP_ALIVE_MS_DEFAULT && DOUBT_MS < PONG_MS_MAX);
