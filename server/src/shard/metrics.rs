//! What a shard counts, for `GET /metrics`. Copied out of plain counters after a pass, at most a
//! few times a second; nothing is shared on the hot path.

use skein_engine::stats::Stats;

use crate::edge::stats::EdgeStats;
use crate::metrics::metrics;

/// Shortest time between two copies, milliseconds.
pub const PUBLISH_INTERVAL_MS: u64 = 200;

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

/// What the metrics of a shard are taken from.
#[derive(Clone, Copy, Debug)]
pub struct ShardNumbers<'a> {
    /// Of its engine.
    pub engine: &'a Stats,
    /// Of its connections.
    pub edge: &'a EdgeStats,
    /// Of its loop.
    pub of_loop: LoopStats,
}

metrics! {
    /// The metrics of a shard.
    pub static SHARD_METRICS;
    /// Copies the numbers out.
    pub fn publish(it: ShardNumbers<'_>);

    gauge "viewers", "Watches now" => it.engine.viewers;
    gauge "map_views", "Watches of a part of the map now" => it.engine.views.watches;
    gauge "map_areas", "Parts of the map that are served to them, each with batches of its own"
        => it.engine.views.areas;
    counter "map_batches", "Batches built for parts of the map" => it.engine.fan_out.view_batches;
    gauge "connections", "Connections after a valid Hello, now" => it.engine.connections;
    gauge "sessions_live", "Live sessions of chats that this shard owns" => it.engine.sessions_live;
    gauge "chats_owned", "Chats that this shard owns" => it.engine.chats_owned;
    gauge "chats_mirrored", "Chats that this shard mirrors" => it.engine.chats_mirrored;
    gauge "tombstones", "Ended rows that are kept for reconnecting viewers" => it.engine.tombstones;
    gauge "timers", "Timers that are set" => it.engine.timers;
    gauge "memory_bytes", "Bytes of tables and admission state, an estimate"
        => it.engine.memory_bytes;
    gauge "log_degraded", "1 while a partition runs in memory: nothing becomes durable"
        => u64::from(it.of_loop.log_degraded);
    counter "points_accepted", "Live points appended" => it.engine.points_accepted;
    counter "points_historical", "Historical points appended" => it.engine.points_historical;
    counter "points_superseded", "Live points that came after a newer one"
        => it.engine.points_superseded;
    counter "points_conflated", "Live points replaced while a ring was full"
        => it.engine.points_conflated;
    counter "heartbeats", "Heartbeats received" => it.engine.heartbeats;
    counter "sessions_started", "Sessions started" => it.engine.sessions_started;
    counter "sessions_stopped", "Sessions ended by their owner" => it.engine.sessions_stopped;
    counter "sessions_expired", "Sessions ended by their time" => it.engine.sessions_expired;
    counter "sessions_revoked", "Sessions ended by loss of membership"
        => it.engine.sessions_revoked;
    counter "records_followed", "Records followed from the log" => it.engine.records_followed;
    counter "records_strange", "Records that did not parse" => it.engine.records_strange;
    counter "records_lost", "Records that the log did not take" => it.of_loop.records_lost;
    counter "proposals", "Commands proposed to the control log" => it.engine.proposals;
    counter "proposals_rejected", "Commands that could not be made durable"
        => it.engine.proposals_rejected;
    counter "fences_late", "Revocations that a shard had not applied in time"
        => it.engine.fences_late;
    counter "relays_late", "Relays that were cut because they had not applied a change of members in time"
        => it.engine.relays_late;
    counter "crossings", "Crossings of geofences that were told" => it.engine.crossings;
    counter "crossings_untold", "Crossings that viewers were not told of because too many waited"
        => it.engine.crossings_untold;
    counter "images_sent", "Tables sent to mirroring shards" => it.engine.images_sent;
    counter "image_rows_copied", "Rows and members copied for mirroring shards"
        => it.engine.image_rows_copied;
    counter "checkpoints", "Checkpoints written into the log" => it.engine.checkpoints;
    counter "give_backs", "Times that memory was given back" => it.engine.give_backs;
    counter "passes", "Passes of the shard" => it.of_loop.passes;
    counter "passes_cut", "Passes that left work to the next one, because their share was used up"
        => it.of_loop.passes_cut;
    counter "sleeps", "Times that the shard waited in the kernel" => it.of_loop.sleeps;
    counter "busy_milliseconds", "Milliseconds of work: neither slept nor polled in vain"
        => it.of_loop.busy_ms;
    gauge "websocket_connections", "WebSocket connections now" => it.edge.websocket.connections;
    counter "websocket_bytes_out", "Bytes handed to WebSocket connections"
        => it.edge.websocket.bytes_out;
    counter "websocket_offers_sent", "Batches taken by WebSocket connections"
        => it.edge.websocket.offers_sent;
    counter "websocket_offers_full", "Batches that found a WebSocket connection full"
        => it.edge.websocket.offers_full;
    counter "websocket_offers_ring", "Batches that left on WebSocket connections by io_uring, many in one system call"
        => it.edge.websocket.offers_ring;
    gauge "quic_connections", "QUIC connections now" => it.edge.quic.connections;
    counter "quic_packets_astray", "QUIC packets of connections that live on another shard: they were not steered"
        => it.edge.quic.astray;
    counter "quic_retries", "QUIC clients that were asked to prove their address first"
        => it.edge.quic.retries;
    counter "quic_streams_given_up", "Streams that clients gave up, WebTransport's among them"
        => it.edge.quic.given_up + it.edge.webtransport.given_up;
    counter "quic_bytes_out", "Bytes handed to QUIC connections" => it.edge.quic.bytes_out;
    counter "quic_offers_datagram", "Batches that went as a datagram"
        => it.edge.quic.offers_datagram;
    counter "quic_offers_stream", "Batches that went as a stream" => it.edge.quic.offers_sent;
    counter "quic_offers_full", "Batches that found a QUIC connection full"
        => it.edge.quic.offers_full;
    gauge "webtransport_connections", "WebTransport connections now"
        => it.edge.webtransport.connections;
    counter "webtransport_bytes_out", "Bytes handed to WebTransport connections"
        => it.edge.webtransport.bytes_out;
    counter "webtransport_offers_datagram", "Batches that went as a datagram of a WebTransport session"
        => it.edge.webtransport.offers_datagram;
    counter "webtransport_offers_stream", "Batches that went as a stream of a WebTransport session"
        => it.edge.webtransport.offers_sent;
    counter "webtransport_offers_full", "Batches that found a WebTransport connection full"
        => it.edge.webtransport.offers_full;
    counter "connections_shed", "Connections turned away for lack of room or descriptors"
        => it.edge.websocket.shed + it.edge.quic.shed + it.edge.http_shed;
    counter "http_requests", "HTTP requests handed on" => it.edge.http_requests;
}
