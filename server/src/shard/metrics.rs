//! What a shard counts, for `GET /metrics`. Copied out of plain counters after a pass, at most a
//! few times a second; nothing is shared on the hot path.

use skein_engine::stats::Stats;

use crate::edge::stats::{EdgeStats, TransportStats};
use crate::metrics::{Metric, MetricRow};

/// Shortest time between two copies, milliseconds.
pub const PUBLISH_INTERVAL_MS: u64 = 200;

/// The metrics of a shard, in the order of [`publish`].
pub static SHARD_METRICS: &[Metric] = &[
    Metric::gauge("viewers", "Watches now"),
    Metric::gauge("map_views", "Watches of a part of the map now"),
    Metric::gauge(
        "map_areas",
        "Parts of the map that are served to them, each with batches of its own",
    ),
    Metric::counter("map_batches", "Batches built for parts of the map"),
    Metric::gauge("connections", "Connections after a valid Hello, now"),
    Metric::gauge(
        "sessions_live",
        "Live sessions of chats that this shard owns",
    ),
    Metric::gauge("chats_owned", "Chats that this shard owns"),
    Metric::gauge("chats_mirrored", "Chats that this shard mirrors"),
    Metric::gauge(
        "tombstones",
        "Ended rows that are kept for reconnecting viewers",
    ),
    Metric::gauge("timers", "Timers that are set"),
    Metric::gauge(
        "memory_bytes",
        "Bytes of tables and admission state, an estimate",
    ),
    Metric::gauge(
        "log_degraded",
        "1 while a partition runs in memory: nothing becomes durable",
    ),
    Metric::counter("points_accepted", "Live points appended"),
    Metric::counter("points_historical", "Historical points appended"),
    Metric::counter(
        "points_superseded",
        "Live points that came after a newer one",
    ),
    Metric::counter(
        "points_conflated",
        "Live points replaced while a ring was full",
    ),
    Metric::counter("heartbeats", "Heartbeats received"),
    Metric::counter("sessions_started", "Sessions started"),
    Metric::counter("sessions_stopped", "Sessions ended by their owner"),
    Metric::counter("sessions_expired", "Sessions ended by their time"),
    Metric::counter("sessions_revoked", "Sessions ended by loss of membership"),
    Metric::counter("records_followed", "Records followed from the log"),
    Metric::counter("records_strange", "Records that did not parse"),
    Metric::counter("records_lost", "Records that the log did not take"),
    Metric::counter("proposals", "Commands proposed to the control log"),
    Metric::counter(
        "proposals_rejected",
        "Commands that could not be made durable",
    ),
    Metric::counter(
        "fences_late",
        "Revocations that a shard had not applied in time",
    ),
    Metric::counter(
        "relays_late",
        "Relays that were cut because they had not applied a change of members in time",
    ),
    Metric::counter("crossings", "Crossings of geofences that were told"),
    Metric::counter(
        "crossings_untold",
        "Crossings that viewers were not told of because too many waited",
    ),
    Metric::counter("images_sent", "Tables sent to mirroring shards"),
    Metric::counter(
        "image_rows_copied",
        "Rows and members copied for mirroring shards",
    ),
    Metric::counter("checkpoints", "Checkpoints written into the log"),
    Metric::counter("give_backs", "Times that memory was given back"),
    Metric::counter("passes", "Passes of the shard"),
    Metric::counter(
        "passes_cut",
        "Passes that left work to the next one, because their share was used up",
    ),
    Metric::counter("sleeps", "Times that the shard waited in the kernel"),
    Metric::counter(
        "busy_milliseconds",
        "Milliseconds of work: neither slept nor polled in vain",
    ),
    Metric::gauge("websocket_connections", "WebSocket connections now"),
    Metric::counter(
        "websocket_bytes_out",
        "Bytes handed to WebSocket connections",
    ),
    Metric::counter(
        "websocket_offers_sent",
        "Batches taken by WebSocket connections",
    ),
    Metric::counter(
        "websocket_offers_ring",
        "Batches that left on WebSocket connections by io_uring, many in one system call",
    ),
    Metric::counter(
        "websocket_offers_full",
        "Batches that found a WebSocket connection full",
    ),
    Metric::gauge("quic_connections", "QUIC connections now"),
    Metric::counter(
        "quic_packets_astray",
        "QUIC packets of connections that live on another shard: they were not steered",
    ),
    Metric::counter(
        "quic_retries",
        "QUIC clients that were asked to prove their address first",
    ),
    Metric::counter(
        "quic_streams_given_up",
        "Streams that clients gave up, WebTransport's among them",
    ),
    Metric::counter("quic_bytes_out", "Bytes handed to QUIC connections"),
    Metric::counter("quic_offers_datagram", "Batches that went as a datagram"),
    Metric::counter("quic_offers_stream", "Batches that went as a stream"),
    Metric::counter(
        "quic_offers_full",
        "Batches that found a QUIC connection full",
    ),
    Metric::gauge("webtransport_connections", "WebTransport connections now"),
    Metric::counter(
        "webtransport_bytes_out",
        "Bytes handed to WebTransport connections",
    ),
    Metric::counter(
        "webtransport_offers_datagram",
        "Batches that went as a datagram of a WebTransport session",
    ),
    Metric::counter(
        "webtransport_offers_stream",
        "Batches that went as a stream of a WebTransport session",
    ),
    Metric::counter(
        "webtransport_offers_full",
        "Batches that found a WebTransport connection full",
    ),
    Metric::counter(
        "connections_shed",
        "Connections turned away for lack of room or descriptors",
    ),
    Metric::counter("http_requests", "HTTP requests handed on"),
];

/// What the loop itself knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopStats {
    /// Passes so far.
    pub passes: u64,
    /// Those that left work to the next one.
    pub passes_cut: u64,
    /// Waits in the kernel so far.
    pub sleeps: u64,
    /// Milliseconds of work.
    pub busy_ms: u64,
    /// Records that the log did not take.
    pub records_lost: u64,
    /// Whether a partition runs in memory.
    pub log_degraded: bool,
}

/// Copies the numbers out.
pub fn publish(row: &MetricRow, engine: &Stats, edge: &EdgeStats, of_loop: LoopStats) {
    let (websocket, quic, web): (&TransportStats, &TransportStats, &TransportStats) =
        (&edge.websocket, &edge.quic, &edge.webtransport);
    row.publish([
        engine.viewers,
        engine.views.watches,
        engine.views.areas,
        engine.fan_out.view_batches,
        engine.connections,
        engine.sessions_live,
        engine.chats_owned,
        engine.chats_mirrored,
        engine.tombstones,
        engine.timers,
        engine.memory_bytes,
        u64::from(of_loop.log_degraded),
        engine.points_accepted,
        engine.points_historical,
        engine.points_superseded,
        engine.points_conflated,
        engine.heartbeats,
        engine.sessions_started,
        engine.sessions_stopped,
        engine.sessions_expired,
        engine.sessions_revoked,
        engine.records_followed,
        engine.records_strange,
        of_loop.records_lost,
        engine.proposals,
        engine.proposals_rejected,
        engine.fences_late,
        engine.relays_late,
        engine.crossings,
        engine.crossings_untold,
        engine.images_sent,
        engine.image_rows_copied,
        engine.checkpoints,
        engine.give_backs,
        of_loop.passes,
        of_loop.passes_cut,
        of_loop.sleeps,
        of_loop.busy_ms,
        websocket.connections,
        websocket.bytes_out,
        websocket.offers_sent,
        websocket.offers_ring,
        websocket.offers_full,
        quic.connections,
        quic.astray,
        quic.retries,
        quic.given_up + web.given_up,
        quic.bytes_out,
        quic.offers_datagram,
        quic.offers_sent,
        quic.offers_full,
        web.connections,
        web.bytes_out,
        web.offers_datagram,
        web.offers_sent,
        web.offers_full,
        websocket.shed + quic.shed + edge.http_shed,
        edge.http_requests,
    ]);
}
