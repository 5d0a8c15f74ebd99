//! Viewers of one chat sit on both shards, and both get everything: the mirror does its work.

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

/// Viewers: enough that the kernel spreads their connections over both sockets.
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
    for _ in 0..20 {
        fleet.publish();
    }
    fleet.settle();
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
    let watching = server.metrics().by_shard("skein_viewers");
    assert_eq!(watching.len(), 2, "{watching:?}");
    assert!(
        watching.iter().all(|(_, viewers)| *viewers > 0.0),
        "{watching:?}"
    );
    let sum: f64 = watching.iter().map(|(_, viewers)| viewers).sum();
    assert_eq!(sum as usize, VIEWERS);
}
