//! A flood of handshakes that nobody means to finish: unproven addresses are asked for a proof, memory
//! stays within bounds, whoever answers comes in all the while, and afterwards nobody is asked any more.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use skein_tests::cores::Cores;
use skein_tests::on_one_and_two_shards;
use skein_tests::procfs::anonymous_bytes;
use skein_tests::quic;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_flood_is_asked_for_proof_and_keeps_nobody_out,
    all_who_knock_at_once_are_answered,
);

/// Connections that are begun: far more than the shards let in.
const INITIALS: usize = 600;

/// Addresses that they come from, so that the kernel spreads them over the shards.
const ADDRESSES: usize = 48;

/// Packets sent at once, and the pause behind them: not so many that the socket's buffer is all
/// that an honest client meets.
const BURST: usize = 24;
const PAUSE: Duration = Duration::from_millis(2);

/// Clients that mean it.
const HONEST: usize = 6;

/// Memory that the flood may cost each shard, bytes: unproved handshakes at some 100 KiB, a mebibyte that
/// waits, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 12 * 1024 * 1024;

/// Clients that knock while the server does not look: more than one call sends packets, and not more than a
/// small buffer of the kernel holds.
const AT_ONCE: usize = 150;

/// Handshakes of a shard that begin without a proof; such a client may wait for its second packet.
const UNPROVED: usize = 16;

fn retries(server: &Server) -> Vec<(u32, f64)> {
    server.metrics().by_shard("skein_quic_retries_total")
}

fn retries_sum(server: &Server) -> f64 {
    server.metrics().sum("skein_quic_retries_total")
}

/// The first packets of so many connections, each with an id of its own, of clients that then fall silent.
fn initials() -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let sink = tokio::net::UdpSocket::bind(("127.0.0.1", 0));
        let sink = sink.await.expect("a socket");
        let to = sink.local_addr().expect("an address");
        let endpoint = quic::endpoint().expect("a socket");
        let mut first: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut packet = [0; 1500];
        let mut begun = Vec::new();
        while first.len() < INITIALS {
            if begun.len() < INITIALS {
                begun.push(endpoint.connect(to, "localhost").expect("begun"));
            }
            let length = sink.recv(&mut packet).await.expect("a packet");
            first
                .entry(connection_id(&packet[..length]))
                .or_insert_with(|| packet[..length].to_vec());
        }
        first.into_values().collect()
    })
}

/// Where a packet with a long header wants to go (RFC 8999, section 5.1).
fn connection_id(packet: &[u8]) -> Vec<u8> {
    assert!(packet[0] & 0x80 != 0, "a long header");
    packet[6..6 + usize::from(packet[5])].to_vec()
}

/// Ends the flood, also when the test fails meanwhile: its thread would be waited for.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends until it is told to stop; gives how many packets that were.
fn flood(to: SocketAddr, initials: &[Vec<u8>], stop: &AtomicBool) -> usize {
    let sockets: Vec<UdpSocket> = (0..ADDRESSES)
        .map(|_| UdpSocket::bind(("127.0.0.1", 0)).expect("a socket"))
        .collect();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            // Each connection has one address, whenever it knocks again.
            let which = sent % initials.len();
            let socket = &sockets[which % ADDRESSES];
            // A full buffer drops it: that is what floods meet.
            let _ = socket.send_to(&initials[which], to);
            sent += 1;
        }
        thread::sleep(PAUSE);
    }
    sent
}

fn a_flood_is_asked_for_proof_and_keeps_nobody_out(cores: Cores) {
    let server = Server::start(cores);
    let token = server.token("ana");
    let come = || QuicPeer::try_connect(server.ready.quic, &token).expect("a welcome");
    let initials = initials();
    // What the first connections make once and for all is no matter of the flood.
    let warm: Vec<QuicPeer> = (0..HONEST).map(|_| come()).collect();
    assert_eq!(retries_sum(&server), 0.0, "in calm nobody is asked");
    drop(warm);
    let before = anonymous_bytes(server.process.id());
    let shards = retries(&server).len() as u64;

    let stop = AtomicBool::new(false);
    let (to, initials, stopping) = (server.ready.quic, &initials, &stop);
    thread::scope(|scope| {
        let flooding = scope.spawn(move || flood(to, initials, stopping));
        let ending = StopWhenDropped(&stop);
        wait::until("each shard asks for proof", PATIENCE, || {
            retries(&server).iter().all(|(_, asked)| *asked > 100.0)
        });
        let honest: Vec<QuicPeer> = (0..HONEST).map(|_| come()).collect();
        let asked = retries_sum(&server);
        wait::until("the flood goes on", PATIENCE, || {
            retries_sum(&server) > asked + 1_000.0
        });
        let grown = anonymous_bytes(server.process.id()).saturating_sub(before);
        assert!(grown < shards * GROWTH_BYTES_MAX, "{grown} bytes more");
        wait::until("nobody else is in", PATIENCE, || {
            server.metrics().sum("skein_quic_connections") == honest.len() as f64
        });
        drop(ending);
        let sent = flooding.join().expect("no panic inside");
        assert!(sent > 2 * initials.len(), "{sent}");
    });

    // The handshakes that were begun end by their deadline.
    wait::until("nobody is asked any more", PATIENCE, || {
        let before = retries_sum(&server);
        let calm: Vec<QuicPeer> = (0..HONEST).map(|_| come()).collect();
        drop(calm);
        retries_sum(&server) == before
    });
}

/// Who is not answered asks again after a second, then after two more, and four: all who were not meet again
/// each time.
fn all_who_knock_at_once_are_answered(cores: Cores) {
    let server = Server::start(cores);
    let initials = initials();
    server.process.freeze();
    let sockets: Vec<UdpSocket> = initials[..AT_ONCE]
        .iter()
        .map(|initial| {
            let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
            let sent = socket.send_to(initial, server.ready.quic);
            sent.expect("room in the kernel");
            socket.set_nonblocking(true).expect("an option");
            socket
        })
        .collect();
    server.process.thaw();
    let most = AT_ONCE - UNPROVED * cores.count();
    let mut answered = vec![false; AT_ONCE];
    wait::until("nearly all are answered", PATIENCE, || {
        for (socket, answered) in sockets.iter().zip(&mut answered) {
            *answered |= socket.recv(&mut [0; 1500]).is_ok();
        }
        answered.iter().filter(|&&answered| answered).count() >= most
    });
}
