//! Every ceiling of the wire, with its unit and its reason.
//!
//! A limit here is a promise to the peer: what is within it is accepted, what is beyond it
//! gets the documented code. Relations between limits are asserted at compile time.

/// Protocol version spoken in `Hello` and `Welcome`.
pub const VERSION: u16 = 1;

/// ALPN of the QUIC binding.
pub const ALPN: &[u8] = b"skein/1";

/// ALPN of HTTP/3, over which browsers open WebTransport sessions.
pub const WEBTRANSPORT_ALPN: &[u8] = b"h3";

/// `Sec-WebSocket-Protocol` of the WebSocket binding.
pub const WEBSOCKET_SUBPROTOCOL: &str = "skein.v1";

/// Bytes of a frame a client may send (kind and body). The largest is a `Points` upload or a
/// `Hello` with a token; a peer can make the server hold no more than this per stream.
pub const CLIENT_FRAME_BYTES_MAX: usize = 4096;

/// Bytes of a frame the server may send (kind and body). A larger batch is cut into pages.
pub const SERVER_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a chat's name (UTF-8, no control characters).
pub const CHAT_NAME_BYTES_MAX: usize = 128;

/// Bytes of a user's name (UTF-8, no control characters).
pub const USER_NAME_BYTES_MAX: usize = 128;

/// Bytes of a geofence's or an alert's name (UTF-8, no control characters).
pub const GEOFENCE_NAME_BYTES_MAX: usize = 128;

/// Bytes of a token. Checked before anything of it is parsed.
pub const TOKEN_BYTES_MAX: usize = 2048;

/// Bytes of the free-form client name in `Hello`.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;

/// Bytes of the text beside a code. Long enough for one helpful sentence.
pub const REASON_BYTES_MAX: usize = 256;

/// Bytes of a sealed (end-to-end encrypted) point: 12-byte blob, 16-byte tag and room for a
/// key id and richer payloads.
pub const SEALED_BYTES_MAX: usize = 128;

/// Points in one `Points` upload, as far as they fit [`CLIENT_FRAME_BYTES_MAX`].
pub const POINTS_PER_UPLOAD_MAX: usize = 128;

/// Points of a session's trail that a viewer may ask for.
pub const TRAIL_POINTS_MAX: usize = 32;

/// Points before the newest one in an entry of a batch. With the longest blobs they fill about half
/// of a server frame, so that every entry fits one.
pub const EARLIER_POINTS_MAX: usize = 255;

/// Verdicts in one `Accepted`; more go into the next one. Each takes at most 10 bytes, so that the
/// frame stays small.
pub const VERDICTS_MAX: usize = 256;

/// Members in one `Members`. With the longest names they fill little more than half of a server frame.
pub const MEMBERS_PER_FRAME_MAX: usize = 256;

/// Relays between a viewer and the server: each adds a link's delay, and more are a mistake.
pub const RELAYS_MAX: usize = 8;

/// Rows that a view may ask for. Maps get slow with fewer; who wants more watches the whole chat.
pub const VIEW_ROWS_MAX: u32 = 4_096;

/// Cells of one view: eight by eight on a screen.
pub const VIEW_CELLS_MAX: usize = 64;

/// Clusters in one `Clusters`: with them a screen is full. They take at most 20 bytes each.
pub const CLUSTERS_MAX: usize = 256;

/// Pages of one snapshot: 4 Gi rows would not fit, 65,536 pages of 64 KiB are 4 GiB.
pub const PAGES_MAX: u32 = 65_536;

/// Milliseconds from the transport's handshake to `Hello`. A connection that says nothing holds
/// memory for nobody.
pub const HELLO_MS_MAX: u64 = 5_000;

/// Milliseconds of silence after which a client takes the server for dead. It has asked before,
/// after `keep_alive_ms`.
pub const SILENCE_MS_MAX: u64 = 15_000;

/// Earliest `captured_at`, milliseconds since 1970 (year 1). Device clocks may be wrong, not absurd.
pub const CAPTURED_AT_MS_MIN: i64 = -62_135_596_800_000;
/// Latest `captured_at`, milliseconds since 1970 (end of year 9999).
pub const CAPTURED_AT_MS_MAX: i64 = 253_402_300_799_999;

/// Latitude limit in 1e-6 degree.
pub const LAT_E6_MAX: i32 = 90_000_000;
/// Longitude limit in 1e-6 degree.
pub const LON_E6_MAX: i32 = 180_000_000;

const _: () = assert!(TOKEN_BYTES_MAX + CLIENT_NAME_BYTES_MAX + 32 <= CLIENT_FRAME_BYTES_MAX);
const _: () = assert!(CLIENT_FRAME_BYTES_MAX <= SERVER_FRAME_BYTES_MAX);
const _: () =
    assert!(EARLIER_POINTS_MAX * (SEALED_BYTES_MAX + 24) + 1024 <= SERVER_FRAME_BYTES_MAX);
const _: () = assert!(CLUSTERS_MAX * 20 + 64 <= SERVER_FRAME_BYTES_MAX);
const _: () =
    assert!(MEMBERS_PER_FRAME_MAX * (USER_NAME_BYTES_MAX + 5) + 64 <= SERVER_FRAME_BYTES_MAX);
