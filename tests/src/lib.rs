//! End-to-end, crash, fault and simulation tests: the harness they share.
//!
//! The end-to-end tests run the real binary over real sockets. A [`server::Server`] is a child
//! process on a data directory and on ports of its own; `skein share` and
//! `skein watch` run as child processes too ([`cli`]), and where a test must see bytes, a small
//! blocking client of its own speaks the protocol ([`peer`] over [`websocket`]), with a table
//! ([`table`]) that knows the apply rule and nothing else. None of it uses the client crate, so
//! that a mistake there cannot hide one in the server.
//!
//! Every process keeps what it wrote; when a test fails, it is printed. Every process dies with
//! the value that started it.

pub mod skip;
pub mod wait;
pub mod webhook;

pub mod binary;
pub mod lines;
pub mod process;
pub mod python;

pub mod browser;

pub mod events;
pub mod http;
pub mod metrics;
pub mod procfs;
pub mod reuse_port;

pub mod cores;
pub mod operator;
pub mod port;
pub mod relay;
pub mod server;
pub mod small_disk;
pub mod strace;

pub mod tls;
pub mod turns;
pub mod udp_link;
pub mod websocket;
pub mod websocket_echo;

pub mod batch_proxy;
pub mod peer;
pub mod table;

pub mod ages;

pub mod mute_socket;
pub mod quic;
pub mod quic_crowd;
pub mod web_session;

pub mod quic_peer;

pub mod talker;

pub mod gpx;
pub mod plaintext;

pub mod cli;
pub mod fleet;
pub mod small_chat;

pub mod sim;
