//! Counters of the edge, one set per transport: plain numbers of one thread.

use std::collections::BTreeMap;

use skein_wire::error::Code;

/// What one transport of one shard has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Connections open now, in whatever state.
    pub connections: u64,
    /// Connections that came as far as the transport's own handshake.
    pub opened: u64,
    /// Connections with a valid `Hello`.
    pub greeted: u64,
    /// Connections turned away before they had a state: no room, no descriptor.
    pub shed: u64,
    /// Clients that were asked to prove their address first (QUIC).
    pub retries: u64,
    /// Streams that clients gave up (QUIC).
    pub given_up: u64,
    /// Packets of connections that live on another shard (QUIC): the kernel did not steer them.
    pub astray: u64,
    /// Bytes from clients, as the transport's user sees them.
    pub bytes_in: u64,
    /// Bytes handed to the transport.
    pub bytes_out: u64,
    /// Frames from clients.
    pub frames_in: u64,
    /// Control frames to clients.
    pub frames_out: u64,
    /// Offers taken by an ordered transport or as a stream.
    pub offers_sent: u64,
    /// Those that left together with others, by a ring.
    pub offers_ring: u64,
    /// Offers taken as a datagram.
    pub offers_datagram: u64,
    /// Offers for which there was no room.
    pub offers_full: u64,
    /// Connections cut because a revoked batch was half written, or because answers piled up.
    pub cut: u64,
    /// Connections closed by the server, by code.
    pub closes: BTreeMap<&'static str, u64>,
}

impl TransportStats {
    /// Counts a connection that the server closes.
    pub fn count_close(&mut self, code: Code) {
        *self.closes.entry(code.name()).or_default() += 1;
    }
}

/// The same of what is carried by QUIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicStats {
    /// The protocol without HTTP/3; also what happens before it is known what a client speaks.
    pub bare: TransportStats,
    /// WebTransport.
    pub web: TransportStats,
}

impl QuicStats {
    /// Those of a connection that carries a WebTransport session, or not.
    pub fn of(&mut self, is_web: bool) -> &mut TransportStats {
        match is_web {
            true => &mut self.web,
            false => &mut self.bare,
        }
    }
}

/// What the edge of one shard has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeStats {
    /// WebSocket.
    pub websocket: TransportStats,
    /// QUIC, without WebTransport.
    pub quic: TransportStats,
    /// WebTransport.
    pub webtransport: TransportStats,
    /// HTTP requests handed on to the HTTP service.
    pub http_requests: u64,
    /// HTTP connections turned away: no room, no descriptor.
    pub http_shed: u64,
    /// TLS handshakes over TCP that failed or took too long.
    pub tls_failed: u64,
}
