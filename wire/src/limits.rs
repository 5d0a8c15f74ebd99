//! Every ceiling of the wire, with its unit and its reason.
//!
//! A limit here is a promise to the peer: what is within it is accepted, what is beyond it
//! gets the documented code. Relations between limits are asserted at compile time.

use crate::limit_list;

/// Protocol version spoken in `Hello` and `Welcome`.
pub const VERSION: u16 = 1;

/// ALPN of the QUIC binding.
pub const ALPN: &[u8] = b"skein/1";

/// ALPN of HTTP/3, over which browsers open WebTransport sessions.
pub const WEBTRANSPORT_ALPN: &[u8] = b"h3";

/// `Sec-WebSocket-Protocol` of the WebSocket binding.
pub const WEBSOCKET_SUBPROTOCOL: &str = "skein.v1";

limit_list! {
    /// The bounds of the wire, in the order of this file.
    pub fn wire_limits;

    CLIENT_FRAME_BYTES_MAX: usize = 4096, "bytes",
        "of a frame a client may send (kind and body). The largest is a `Points` upload or a `Hello` with a token; a peer can make the server hold no more than this per stream";
    SERVER_FRAME_BYTES_MAX: usize = 64 * 1024, "bytes",
        "of a frame the server may send (kind and body). A larger batch is cut into pages";
    CHAT_NAME_BYTES_MAX: usize = 128, "bytes",
        "of a chat's name (UTF-8, no control characters)";
    USER_NAME_BYTES_MAX: usize = 128, "bytes",
        "of a user's name (UTF-8, no control characters)";
    GEOFENCE_NAME_BYTES_MAX: usize = 128, "bytes",
        "of a geofence's or an alert's name (UTF-8, no control characters)";
    TOKEN_BYTES_MAX: usize = 2048, "bytes",
        "of a token. Checked before anything of it is parsed";
    CLIENT_NAME_BYTES_MAX: usize = 64, "bytes",
        "of the free-form client name in `Hello`";
    IDEMPOTENCY_KEY_BYTES_MAX: usize = 64, "bytes",
        "of an idempotency key";
    REASON_BYTES_MAX: usize = 256, "bytes",
        "of the text beside a code. Long enough for one helpful sentence";
    SEALED_BYTES_MAX: usize = 128, "bytes",
        "of a sealed (end-to-end encrypted) point: 12-byte blob, 16-byte tag and room for a key id and richer payloads";
    POINTS_PER_UPLOAD_MAX: usize = 128, "points",
        "in one `Points` upload, as far as they fit `client_frame_bytes_max`";
    TRAIL_POINTS_MAX: usize = 32, "points",
        "of a session's trail that a viewer may ask for";
    EARLIER_POINTS_MAX: usize = 255, "points",
        "before the newest one in an entry of a batch. With the longest blobs they fill about half of a server frame, so that every entry fits one";
    VERDICTS_MAX: usize = 256, "verdicts",
        "in one `Accepted`; more go into the next one. Each takes at most 10 bytes, so that the frame stays small";
    MEMBERS_PER_FRAME_MAX: usize = 256, "members",
        "in one `Members`. With the longest names they fill little more than half of a server frame";
    RELAYS_MAX: usize = 8, "relays",
        "between a viewer and the server: each adds a link's delay, and more are a mistake";
    VIEW_ROWS_MAX: u32 = 4_096, "rows",
        "that a view may ask for. Maps get slow with fewer; who wants more watches the whole chat";
    VIEW_CELLS_MAX: usize = 64, "cells",
        "of one view: eight by eight on a screen";
    CLUSTERS_MAX: usize = 256, "clusters",
        "in one `Clusters`: with them a screen is full. They take at most 20 bytes each";
    PAGES_MAX: u32 = 65_536, "pages",
        "of one snapshot: 4 Gi rows would not fit, 65,536 pages of 64 KiB are 4 GiB";
    HELLO_MS_MAX: u64 = 5_000, "milliseconds",
        "from the transport's handshake to `Hello`. A connection that says nothing holds memory for nobody";
    SILENCE_MS_MAX: u64 = 15_000, "milliseconds",
        "of silence after which a client takes the server for dead. It has asked before, after `keep_alive_ms`";
}

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
