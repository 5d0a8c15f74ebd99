//! A server that was killed and is back tells clients of before at once that their connections are gone: the
//! keys of its resets outlive it. Without them they would wait out an idle timeout.

use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Received;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_wire::request::Request;

on_one_and_two_shards!(a_connection_of_before_a_kill_is_reset_at_once);

/// Far below the idle timeout, and above the pauses with which a client sends again what was lost.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Connections, so that every shard had some.
const PEERS: usize = 6;

fn a_connection_of_before_a_kill_is_reset_at_once(cores: Cores) {
    let mut server = Server::start(cores);
    let token = server.token("ana");
    let mut peers: Vec<QuicPeer> = (0..PEERS)
        .map(|_| QuicPeer::try_connect(server.ready.quic, &token).expect("a welcome"))
        .collect();
    server.crash_and_restart();
    for peer in &mut peers {
        let began = Instant::now();
        peer.send(&[Request::Ping(1)]);
        let end = peer.receive(AT_ONCE);
        let Some(Received::Closed(closed)) = end else {
            panic!("after {:?}: {end:?}", began.elapsed());
        };
        assert!(closed.text.contains("reset"), "{closed:?}");
    }
    // And who comes anew is welcome.
    QuicPeer::try_connect(server.ready.quic, &token).expect("a welcome");
}
