//! QUIC's limits, every one set: the library's defaults would let 100,000 stalled viewers hold 100 GB.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};

use crate::edge::origins::Origins;
use crate::edge::quic_id::ShardIdGenerator;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::tls::Tls;
use crate::limits::{
    QUIC_BIDI_STREAMS_MAX, QUIC_CRYPTO_BUFFER_BYTES, QUIC_DATAGRAM_RECEIVE_BYTES,
    QUIC_DATAGRAM_SEND_BYTES, QUIC_IDLE_TIMEOUT_MS, QUIC_INCOMING_BYTES_MAX,
    QUIC_INCOMING_BYTES_TOTAL_MAX, QUIC_INCOMING_MAX, QUIC_INITIAL_MTU_BYTES,
    QUIC_SEND_WINDOW_BYTES, QUIC_STREAM_WINDOW_BYTES, QUIC_UNI_STREAMS_MAX, QUIC_WINDOW_BYTES,
};

/// What the endpoints of all shards share.
#[derive(Clone, Debug)]
pub struct QuicConfig {
    server: ServerConfig,
    keys: QuicKeys,
    origins: Arc<Origins>,
}

impl QuicConfig {
    /// One configuration for all shards: a token that one has given is good at any other.
    pub fn new(tls: &Tls, keys: QuicKeys, origins: Origins) -> Self {
        let mut server = ServerConfig::new(tls.quic_crypto(), keys.token.clone());
        server
            .transport_config(Arc::new(transport()))
            .migration(true)
            .max_incoming(QUIC_INCOMING_MAX)
            .incoming_buffer_size(QUIC_INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(QUIC_INCOMING_BYTES_TOTAL_MAX);
        Self {
            server,
            keys,
            origins: Arc::new(origins),
        }
    }

    /// How connections are treated.
    pub fn server(&self) -> ServerConfig {
        self.server.clone()
    }

    /// Which pages may open a WebTransport session.
    pub fn origins(&self) -> Arc<Origins> {
        Arc::clone(&self.origins)
    }

    /// How the endpoint of one shard makes ids and resets.
    pub fn endpoint(&self, shard: u16, shards: u16) -> EndpointConfig {
        let mut endpoint = EndpointConfig::new(self.keys.reset.clone());
        let generator = ShardIdGenerator::new(Arc::clone(&self.keys.id), shard, shards);
        endpoint.cid_generator(move || Box::new(generator.clone()));
        endpoint
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            QUIC_IDLE_TIMEOUT_MS,
        ))))
        // The client keeps the path open: it knows its network, and 100,000 timers are its own.
        .keep_alive_interval(None::<Duration>)
        .max_concurrent_bidi_streams(VarInt::from_u32(QUIC_BIDI_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_UNI_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(QUIC_WINDOW_BYTES))
        .send_window(QUIC_SEND_WINDOW_BYTES)
        // Batches leave in the order in which they were built.
        .send_fairness(false)
        .datagram_receive_buffer_size(Some(QUIC_DATAGRAM_RECEIVE_BYTES))
        .datagram_send_buffer_size(QUIC_DATAGRAM_SEND_BYTES)
        .initial_mtu(QUIC_INITIAL_MTU_BYTES)
        .min_mtu(QUIC_INITIAL_MTU_BYTES)
        .mtu_discovery_config(None)
        .crypto_buffer_size(QUIC_CRYPTO_BUFFER_BYTES);
    transport
}
