//! Viewers of one chat sit on both shards, and both get everything: the mirror does its work.

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::peer::Peer;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

/// Viewers by each transport: enough that the kernel spreads their connections over both sockets.
const VIEWERS: usize = 40;

/// Sessions that they see.
const SESSIONS: usize = 8;

#[test]
fn viewers_of_one_chat_sit_on_both_shards_and_see_the_same() {
    let server = Server::start(Cores::Two);
    let mut fleet = Fleet::start(&server, "wide", SESSIONS);
    server
        .put_member("wide", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let mut viewers: Vec<(Peer, Table)> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect(server.ready.http, &token);
            viewer.watch("wide", None, Delivery::Latest);
            (viewer, Table::default())
        })
        .collect();
    let program = env!("CARGO_BIN_EXE_quic_viewers");
    let mut crowd = Crowd::start(&server, program, "wide", &token, VIEWERS);
    for _ in 0..20 {
        fleet.publish();
    }
    fleet.settle();
    let newest = fleet.members().map(|member| member.counter).max();
    let newest = newest.expect("sessions");
    crowd.wait_for(SESSIONS as u64, newest, PATIENCE);
    for (viewer, table) in &mut viewers {
        wait::until("every session's newest point", PATIENCE, || {
            let newest = fleet.members().all(|member| {
                let row = table.session(member.session);
                row.is_some_and(|row| row.counter == member.counter)
            });
            if !newest {
                table.apply(viewer.batch(PATIENCE).expect("a batch"));
            }
            newest
        });
    }
    let metrics = server.metrics();
    for (series, count) in [
        ("skein_viewers", 2 * VIEWERS),
        ("skein_quic_connections", VIEWERS),
    ] {
        let by_shard = metrics.by_shard(series);
        assert_eq!(by_shard.len(), 2, "{series}: {by_shard:?}");
        let is_spread = by_shard.iter().all(|(_, viewers)| *viewers > 0.0);
        assert!(is_spread, "{series}: {by_shard:?}");
        let sum: f64 = by_shard.iter().map(|(_, viewers)| viewers).sum();
        assert_eq!(sum as usize, count, "{series}: {by_shard:?}");
    }
    // Those that come by WebSocket are not all on one shard either.
    let all = metrics.by_shard("skein_viewers");
    let by_quic = metrics.by_shard("skein_quic_connections");
    for ((shard, all), (_, by_quic)) in all.iter().zip(&by_quic) {
        assert!(all > by_quic, "shard {shard}: {all} of them {by_quic}");
    }
}
