//! The edge of a shard: QUIC and WebSocket on the shard's own thread, and the HTTP that leads to
//! a WebSocket, on a runtime beside the shards; WebTransport is QUIC with a little HTTP/3 in front.
//!
//! From the ground up: numbers and deadlines of connections; the one place where a shard waits;
//! WebSocket as a bare socket; HTTP/1 up to the upgrade; QUIC; and [`edge::Edge`], which the
//! shard sees.

pub mod error;
pub mod event;
pub mod stats;

pub mod deadlines;
pub mod slots;

pub mod waker;

pub mod arrivals;
pub mod poller;

pub mod bad_input;
pub mod greeting;
pub mod speaker;

pub mod websocket_backlog;
pub mod websocket_frame;
pub mod websocket_socket;

pub mod send_ring;
pub mod websocket_link;

pub mod websocket_gathered;

pub mod websocket_connection;

pub mod websocket;

pub mod last_word;
pub mod origins;
pub mod upgrade;

pub mod descriptor_room;
pub mod spare_descriptor;
pub mod stalled;

pub mod http_listener;

mod authority_certificate;
pub mod browser_certificate;

pub mod certificate;
pub mod control_tls;
pub mod tls;

pub mod quic_id;
pub mod quic_keys;

pub mod steering;

pub mod bind;

pub mod quic_config;

pub mod slot_set;

pub mod quic_packet;

pub mod quic_outbox;
pub mod quic_sendmmsg;
pub mod quic_silence;

pub mod quic_socket;

pub mod quic_read;
pub mod quic_write;

pub mod webtransport_fault;

pub mod webtransport_bad_input;

pub mod webtransport_datagrams;
pub mod webtransport_prefix;
pub mod webtransport_sections;

pub mod webtransport_out;
pub mod webtransport_request;
pub mod webtransport_settings;

pub mod webtransport;

pub mod given_up;
pub mod quic_batches;
pub mod quic_control;
pub mod quic_input;
pub mod quic_turn;

pub mod quic_reading;

pub mod quic_connection;

pub mod quic_arrivals;
pub mod quic_timers;

pub mod quic;

#[expect(
    clippy::module_inception,
    reason = "one main type per file, named after it"
)]
pub mod edge;
