//! QUIC's limits, every one set: the library's defaults would let 100,000 stalled viewers hold 100 GB.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::congestion::CubicConfig;
use quinn_proto::{
    BloomTokenLog, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig,
    ValidationTokenConfig, VarInt,
};

use crate::edge::origins::Origins;
use crate::edge::quic_id::ShardIdGenerator;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::tls::Tls;
use crate::limits::{
    QUIC_ADDRESS_TOKEN_LIFETIME_MS, QUIC_ADDRESS_TOKEN_LOG_BYTES, QUIC_ADDRESS_TOKENS_LOGGED,
    QUIC_ADDRESS_TOKENS_SENT, QUIC_BIDI_STREAMS_MAX, QUIC_CRYPTO_BUFFER_BYTES,
    QUIC_DATAGRAM_RECEIVE_BYTES, QUIC_DATAGRAM_SEND_BYTES, QUIC_IDLE_TIMEOUT_MS,
    QUIC_INCOMING_BYTES_MAX, QUIC_INCOMING_BYTES_TOTAL_MAX, QUIC_INCOMING_MAX,
    QUIC_INITIAL_MTU_BYTES, QUIC_INITIAL_RTT_MS, QUIC_PACKET_THRESHOLD, QUIC_PERSISTENT_CONGESTION,
    QUIC_RESET_INTERVAL_MS, QUIC_RETRY_TOKEN_LIFETIME_MS, QUIC_SEND_WINDOW_BYTES,
    QUIC_STREAM_WINDOW_BYTES, QUIC_UDP_PAYLOAD_BYTES_MAX, QUIC_UNI_STREAMS_MAX, QUIC_WINDOW_BYTES,
};

/// QUIC version 1 (RFC 9000), and no draft of it.
const QUIC_VERSION: u32 = 1;

/// Round trips after which a packet that is not acknowledged counts as lost, as RFC 9002 recommends.
const QUIC_TIME_THRESHOLD: f32 = 9.0 / 8.0;

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
            .retry_token_lifetime(Duration::from_millis(QUIC_RETRY_TOKEN_LIFETIME_MS))
            .validation_token_config(address_tokens())
            .migration(true)
            .preferred_address_v4(None)
            .preferred_address_v6(None)
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
        // The greatest that a peer may send; the constant is one that the library takes.
        let _ = endpoint.max_udp_payload_size(QUIC_UDP_PAYLOAD_BYTES_MAX);
        endpoint
            .supported_versions(vec![QUIC_VERSION])
            .grease_quic_bit(true)
            .min_reset_interval(Duration::from_millis(QUIC_RESET_INTERVAL_MS));
        let generator = ShardIdGenerator::new(Arc::clone(&self.keys.id), shard, shards);
        endpoint.cid_generator(move || Box::new(generator.clone()));
        endpoint
    }
}

/// With what a client that was here before proves its address.
fn address_tokens() -> ValidationTokenConfig {
    let log =
        BloomTokenLog::new_expected_items(QUIC_ADDRESS_TOKEN_LOG_BYTES, QUIC_ADDRESS_TOKENS_LOGGED);
    let mut tokens = ValidationTokenConfig::default();
    tokens
        .lifetime(Duration::from_millis(QUIC_ADDRESS_TOKEN_LIFETIME_MS))
        .sent(QUIC_ADDRESS_TOKENS_SENT)
        .log(Arc::new(log));
    tokens
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
        .pad_to_mtu(false)
        .crypto_buffer_size(QUIC_CRYPTO_BUFFER_BYTES)
        .packet_threshold(QUIC_PACKET_THRESHOLD)
        .time_threshold(QUIC_TIME_THRESHOLD)
        .initial_rtt(Duration::from_millis(QUIC_INITIAL_RTT_MS))
        .persistent_congestion_threshold(QUIC_PERSISTENT_CONGESTION)
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .ack_frequency_config(None)
        .allow_spin(false)
        .enable_segmentation_offload(true);
    transport
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::edge::quic_config::{address_tokens, transport};

    /// Whatever the library lets one set, as its own listing names it.
    const SET: &[&str] = &[
        "max_concurrent_bidi_streams: 1",
        "max_concurrent_uni_streams: 3",
        "max_idle_timeout: Some(90000)",
        "stream_receive_window: 16384",
        "receive_window: 32768",
        "send_window: 98304",
        "send_fairness: false",
        "packet_threshold: 3",
        "time_threshold: 1.125",
        "initial_rtt: 333ms",
        "initial_mtu: 1200",
        "min_mtu: 1200",
        "mtu_discovery_config: None",
        "pad_to_mtu: false",
        "ack_frequency_config: None",
        "persistent_congestion_threshold: 3",
        "keep_alive_interval: None",
        "crypto_buffer_size: 16384",
        "allow_spin: false",
        "datagram_receive_buffer_size: Some(16384)",
        "datagram_send_buffer_size: 1200",
        "enable_segmentation_offload: true",
    ];

    #[test]
    fn each_setting_of_the_library_has_our_value_and_a_new_one_is_noticed() {
        let listing = format!("{:?}", transport());
        let listing = listing
            .trim_start_matches("TransportConfig { ")
            .trim_end_matches(", .. }");
        let found: BTreeSet<&str> = listing.split(", ").collect();
        let expected: BTreeSet<&str> = SET.iter().copied().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_setting_is_made_here() {
        // A default that happens to be the same may change with the library.
        let source = include_str!("quic_config.rs");
        for setting in SET {
            let name = setting.split_once(':').expect("name: value").0;
            assert!(source.contains(&format!(".{name}(")), "{name} is not set");
        }
        for name in [
            "congestion_controller_factory",
            "retry_token_lifetime",
            "validation_token_config",
            "migration",
            "preferred_address_v4",
            "preferred_address_v6",
            "max_incoming",
            "incoming_buffer_size",
            "incoming_buffer_size_total",
            "max_udp_payload_size",
            "supported_versions",
            "grease_quic_bit",
            "min_reset_interval",
        ] {
            assert!(source.contains(&format!(".{name}(")), "{name} is not set");
        }
        let _ = address_tokens();
    }
}
