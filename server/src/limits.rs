//! Every bound of the server's edge, with its unit and its reason, in one list.
//!
//! The list that `serve --print-limits` prints is made from the same lines as the constants,
//! so that neither can be forgotten. Bounds that belong to the protocol are in
//! `skein_wire::limits`, those of chats in `skein_engine::limits`.

use skein_wire::limits::{CLIENT_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX};

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the edge, in the order of this file.
    pub fn edge_limits;

    HELLO_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "from an open connection to a valid Hello; a phone on a bad link needs two round trips of one second";
    CLOSE_LINGER_MS: u64 = 2_000, "milliseconds",
        "a closing connection may still deliver its Goodbye; after that it is cut";
    FRAME_DEADLINE_MS: u64 = 30_000, "milliseconds",
        "from the first byte of a frame to its last; a phone that loses its network reconnects sooner";
    IDLE_VIEWER_MS: u64 = 120_000, "milliseconds",
        "a connection that takes nothing for so long is closed with a resume hint; a phone asleep for a minute survives";
    EVENTS_PER_POLL_MAX: usize = 4_096, "events",
        "taken from the sockets in one pass, so that a flood cannot delay the sends of that pass";
    EPOLL_EVENTS_MAX: usize = 256, "events",
        "taken from the kernel at a time";
    HELLOS_PER_POLL_MAX: usize = 16, "tokens",
        "verified in one pass at about 60 us each: a reconnecting flood costs a pass one millisecond";
    RENEWAL_INTERVAL_S: u32 = 1, "seconds",
        "between two tokens that a connection brings after its `Hello`: a token lives for minutes";
    RENEWALS_BURST_MAX: u32 = 8, "tokens",
        "the same at once, for a client that tries those it has";
    CONTROL_QUEUE_FRAMES_MAX: usize = 256, "frames",
        "answers waiting for a slow connection; one that asks without reading is closed";
    CONTROL_QUEUE_BYTES_MAX: usize = 64 * 1024, "bytes",
        "the same bound in bytes: answers are small, 64 KiB are hundreds of them";

    WEBSOCKET_MESSAGE_BYTES_MAX: usize = CLIENT_FRAME_BYTES_MAX + 8, "bytes",
        "of a client's message, checked before anything is allocated: one largest frame with its length";
    WEBSOCKET_CONTROLS_PER_S_MAX: u32 = 10, "frames per second",
        "pings, pongs and closes of one client; more is an attack on the reply path";
    WEBSOCKET_READ_BYTES_MAX: usize = 16 * 1024, "bytes",
        "read from one connection before the next one has its turn";
    WEBSOCKET_SEND_BUFFER_BYTES: usize = 16 * 1024, "bytes",
        "asked for as SO_SNDBUF: what is stale must not wait below us";
    WEBSOCKET_RECEIVE_BUFFER_BYTES: usize = 16 * 1024, "bytes",
        "asked for as SO_RCVBUF: four largest frames";
    WEBSOCKET_UNSENT_BYTES: u32 = 4 * 1024, "bytes",
        "TCP_NOTSENT_LOWAT: writable means that fresh bytes leave soon";
    WEBSOCKET_SENDS_MAX: usize = 128, "batches",
        "gathered for one io_uring submission; the first one waits until the last is offered, some 10 us";
    WEBSOCKET_SENDS_MIN: usize = 4, "batches",
        "for which a submission is worth its way; fewer are written one by one";
    TCP_KEEP_ALIVE_IDLE_S: u64 = 60, "seconds",
        "silence after which the kernel asks a TCP peer whether it is there";
    TCP_KEEP_ALIVE_INTERVAL_S: u64 = 15, "seconds",
        "between two such questions";
    TCP_KEEP_ALIVE_PROBES: u32 = 4, "questions",
        "without an answer before the kernel gives the peer up";
    TLS_BUFFER_BYTES: usize = 20 * 1024, "bytes",
        "of ciphertext rustls may hold for one connection: one record of 16 KiB and a margin";
    TLS_CHUNK_BYTES: usize = 16 * 1024, "bytes",
        "of plain text given to rustls at a time, only when the last has left";

    HTTP_CONNECTIONS_MAX: usize = 1_024, "connections per shard",
        "in TLS handshake, upgrade or HTTP; a WebSocket counts no longer once upgraded";
    HTTP_HEADER_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "for a request's whole header, also between two requests on one connection";
    HTTP_HEADER_BYTES_MAX: usize = 8 * 1024, "bytes",
        "of a request's header";
    HTTP_ANSWER_DEADLINE_MS: u64 = 30_000, "milliseconds",
        "from a request to the head of its answer";
    HTTP_STALLED_MS: u64 = 30_000, "milliseconds",
        "that a peer may leave bytes of an answer untaken";
    ARRIVALS_MAX: usize = 256, "connections per shard",
        "upgraded and not yet taken by their shard; beyond it the HTTP stage waits";
    TLS_HANDSHAKE_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "for a TLS handshake over TCP";
    ACCEPT_BACKOFF_MS: u64 = 20, "milliseconds",
        "pause of accepting when the process has no descriptors left";
    TURNED_AWAY_MAX: usize = 8, "connections per shard",
        "that are told by a `503` that there is no room for them; those beyond are closed without a word";
    TURNED_AWAY_LINGER_MS: u64 = 200, "milliseconds",
        "in which a peer may take that answer";
    DESCRIPTORS_RESERVED: u64 = 256, "descriptors",
        "that clients leave to files of the log and the history and, half of them, to callers of the control API; a quarter where there are fewer than 1,024";
    TCP_BACKLOG: i32 = 1_024, "connections",
        "waiting to be accepted; the kernel may clamp it";

    QUIC_IDLE_TIMEOUT_MS: u32 = 90_000, "milliseconds",
        "of silence before a QUIC connection is given up; a client stopped for a minute survives";
    QUIC_TIMEOUTS_MIN: u32 = 5, "timers",
        "of a silent QUIC connection that are obeyed whatever time they take: lost packets are made up for by them";
    QUIC_TIMEOUTS_MS: u64 = 4_000, "milliseconds",
        "for which a silent QUIC connection is asked; after it, and the timers above, only the idle timeout ends it";
    QUIC_BIDI_STREAMS_MAX: u32 = 1, "streams",
        "the control stream, and nothing else";
    QUIC_UNI_STREAMS_MAX: u32 = 3, "streams",
        "points in flight, so that a lost packet of one does not hold the next";
    WEBTRANSPORT_BIDI_STREAMS_MAX: u32 = 2, "streams",
        "the request that opens the session, and the control stream";
    WEBTRANSPORT_UNI_STREAMS_MAX: u32 = 6, "streams",
        "three that HTTP/3 needs for itself, and points in flight as above";
    WEBTRANSPORT_FRAME_BYTES_MAX: usize = 8 * 1024, "bytes",
        "of a frame of HTTP/3 or a capsule from a client, and of a request's fields; browsers send less than one KiB";
    WEBTRANSPORT_BYTES_MAX: usize = 64 * 1024, "bytes",
        "of HTTP/3 itself from a client in the life of its connection: settings, a request, capsules";
    WEBTRANSPORT_REASON_BYTES_MAX: usize = 1_024, "bytes",
        "of the sentence with which a session ends";
    QUIC_STREAM_WINDOW_BYTES: u32 = 16 * 1024, "bytes",
        "a client may have unread on one stream: four largest frames";
    QUIC_WINDOW_BYTES: u32 = 32 * 1024, "bytes",
        "a client may have unread on all streams";
    QUIC_SEND_WINDOW_BYTES: u64 = 96 * 1024, "bytes",
        "unacknowledged towards one client: one largest frame of 64 KiB and the control stream";
    QUIC_DATAGRAM_RECEIVE_BYTES: usize = 16 * 1024, "bytes",
        "of a client's datagrams waiting to be read";
    QUIC_DATAGRAM_SEND_BYTES: usize = 1_200, "bytes",
        "of datagrams waiting to be sent: exactly one, so that nothing stale waits behind it";
    QUIC_INITIAL_MTU_BYTES: u16 = 1_200, "bytes",
        "of a UDP payload; every path carries it, and probing costs memory and false alarms";
    QUIC_CRYPTO_BUFFER_BYTES: usize = 16 * 1024, "bytes",
        "of handshake data out of order";
    QUIC_HANDSHAKES_MAX: usize = 256, "handshakes per shard",
        "under way at once: a thousand a second with clients a quarter of a second away; more stand in line";
    QUIC_RETRY_FROM: usize = 16, "handshakes per shard",
        "from which an unproven address must prove itself by Retry";
    QUIC_HANDSHAKE_DEADLINE_MS: u64 = 5_000, "milliseconds",
        "for a QUIC handshake";
    QUIC_INCOMING_MAX: usize = 4_096, "connections per shard",
        "in line for their handshake, some 3 KiB and half a millisecond each; more are ignored and come again a second later";
    QUIC_INCOMING_BYTES_MAX: u64 = 16 * 1024, "bytes",
        "kept of one connection that waits for its handshake";
    QUIC_INCOMING_BYTES_TOTAL_MAX: u64 = 1024 * 1024, "bytes",
        "kept of all of them";
    QUIC_GIVEN_UP_PER_SECOND_MAX: u32 = 10, "streams per second",
        "of a connection that its client gives up: a sender on a bad link gives up old points";
    QUIC_GIVEN_UP_BURST_MAX: u32 = 128, "streams",
        "the same at once: all that may be open, and more";
    QUIC_RESET_INTERVAL_MS: u64 = 1, "milliseconds per shard",
        "between two stateless resets: ten thousand clients of a process that is gone are told within ten seconds; each is smaller than what it answers";
    QUIC_RETRY_TOKEN_LIFETIME_MS: u64 = 15_000, "milliseconds",
        "for which the answer to a Retry is good: some round trips of a bad link";
    QUIC_ADDRESS_TOKEN_LIFETIME_MS: u64 = 14 * 24 * 60 * 60 * 1_000, "milliseconds",
        "for which a client that was here proves its address without a Retry: a phone keeps its address for days at home";
    QUIC_ADDRESS_TOKENS_SENT: u32 = 2, "tokens",
        "of that kind given to a connection, each good once";
    QUIC_ADDRESS_TOKEN_LOG_BYTES: usize = 1024 * 1024, "bytes",
        "of the filter that remembers which of them were used";
    QUIC_ADDRESS_TOKENS_LOGGED: u64 = 1_000_000, "tokens",
        "for which that filter is laid out";
    QUIC_PACKET_THRESHOLD: u32 = 3, "packets",
        "after which one that is not acknowledged counts as lost, as RFC 9002 recommends";
    QUIC_INITIAL_RTT_MS: u64 = 333, "milliseconds",
        "taken for the round trip before one is measured, as RFC 9002 recommends";
    QUIC_PERSISTENT_CONGESTION: u32 = 3, "timeouts",
        "of silence after which a path counts as gone bad, as RFC 9002 recommends";
    QUIC_UDP_PAYLOAD_BYTES_MAX: u16 = 1_472, "bytes",
        "of a datagram that is taken: what an Ethernet carries";
    QUIC_ACCEPTS_PER_POLL_MAX: usize = 8, "handshakes",
        "begun in one pass, at a third of a millisecond each, so that viewers do not wait for newcomers";
    QUIC_DATAGRAMS_PER_POLL_MAX: usize = 1_024, "datagrams",
        "taken from the socket in one pass, at about 3 us each; one more batch may come on top";
    QUIC_PACKETS_PER_SEND_MAX: usize = 64, "packets",
        "of many clients sent in one system call, and kept while the socket is full";
    QUIC_SEGMENTS_MAX: usize = 10, "datagrams",
        "that the kernel cuts one packet into; each of the packets above has memory for as many";
    QUIC_PACKETS_PER_FLUSH_MAX: usize = 4, "packets",
        "of one connection before the next one has its turn";
    QUIC_TOUCHED_AT_ONCE: usize = 32, "connections",
        "offered something before their packets are made: at 10 to 20 kB each they are still in the processor's cache";
    QUIC_BATCH_STREAMS_MAX: usize = 64, "streams",
        "of batches open towards one client, one a viewer";
    QUIC_UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024, "bytes",
        "asked for as SO_RCVBUF and SO_SNDBUF of the UDP socket; the kernel may clamp it";
    CONNECTIONS_PER_SHARD_MAX: usize = 200_000, "connections",
        "of one transport on one shard; the memory ceiling and the descriptors are reached first";
}

const _: () = assert!(QUIC_SEND_WINDOW_BYTES as usize >= SERVER_FRAME_BYTES_MAX);
const _: () = assert!(QUIC_STREAM_WINDOW_BYTES <= QUIC_WINDOW_BYTES);
const _: () = assert!(QUIC_STREAM_WINDOW_BYTES as usize >= CLIENT_FRAME_BYTES_MAX);
const _: () = assert!(WEBTRANSPORT_BIDI_STREAMS_MAX > QUIC_BIDI_STREAMS_MAX);
const _: () = assert!(WEBTRANSPORT_UNI_STREAMS_MAX > QUIC_UNI_STREAMS_MAX);
const _: () = assert!(WEBTRANSPORT_FRAME_BYTES_MAX < QUIC_STREAM_WINDOW_BYTES as usize);
const _: () = assert!(QUIC_RETRY_FROM < QUIC_HANDSHAKES_MAX);
const _: () = assert!(WEBSOCKET_SENDS_MIN <= WEBSOCKET_SENDS_MAX);
const _: () = assert!(TLS_CHUNK_BYTES < TLS_BUFFER_BYTES);
const _: () = assert!(IDLE_VIEWER_MS > 60_000);

#[cfg(test)]
mod tests {
    use super::edge_limits;

    #[test]
    fn every_limit_says_its_unit_and_reason_once() {
        let lines = edge_limits();
        let mut names: Vec<_> = lines.iter().map(|line| line.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), lines.len());
        for line in lines {
            assert!(line.value > 0, "{}", line.name);
            assert!(
                !line.unit.is_empty() && !line.reason.is_empty(),
                "{}",
                line.name
            );
        }
    }
}
