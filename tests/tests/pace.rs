//! A very large chat finds its pace by itself: its walks leave a part of the core to everybody else.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::turns;
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

/// More viewers than have their turn at once, so that they are paced by what they cost.
const VIEWERS: usize = 900;

/// Between two points of the only session, as often as a session may: less than a walk takes, so that one is always due.
const INTERVAL: Duration = Duration::from_millis(11);

/// How long the shard is watched, as often as it takes: a neighbour on the machine spoils some looks.
const TIME: Duration = Duration::from_secs(2);
const LOOKS: usize = 4;

/// Part of the time in which the shard may be at work: half for the walks, the rest for the points that come in and what a
/// busy machine adds. Without a pace it is all of it.
const BUSY_MAX: f64 = 0.8;

#[test]
fn a_very_large_chat_leaves_a_part_of_its_core_to_others() {
    let _alone = turns::alone_if_full();
    let server = Server::start(Cores::One);
    let mut fleet = Fleet::start(&server, "march", 1);
    fleet.publish();
    fleet.settle();
    let added = server.put_member("march", "viewer", &["watch"]);
    added.expect_success("a viewer");
    let token = server.token("viewer");
    let mut viewers: Vec<Peer> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect(server.ready.http, &token);
            viewer.watch("march", None, Delivery::Latest);
            viewer
        })
        .collect();
    let running = fleet.run(INTERVAL);
    let looks: Vec<Look> = (0..LOOKS).map(|_| look(&server, &mut viewers)).collect();
    let mut fleet = running.stop();
    fleet.settle();
    eprintln!("---- a very large chat: {looks:?}");
    assert!(
        looks.iter().any(|look| look.busy < BUSY_MAX),
        "the shard is never at rest: {looks:?}"
    );
    // It is slower for its size, and goes on.
    assert!(looks.iter().all(|look| look.walks > 2.0), "{looks:?}");
    let last = fleet.members().next().expect("a session").counter;
    assert!(last > 100, "{last} points");
    for viewer in &mut viewers {
        viewer.batch(PATIENCE).expect("they were served");
    }
}

/// What was seen in a while.
#[derive(Debug)]
struct Look {
    /// Part of the time in which the shard was at work.
    busy: f64,
    /// Batches that each viewer got.
    walks: f64,
}

fn look(server: &Server, viewers: &mut [Peer]) -> Look {
    // Their sockets stay open for more.
    for viewer in &mut *viewers {
        while viewer.receive(Duration::ZERO).is_some() {}
    }
    let sums = || {
        let metrics = server.metrics();
        let sum = |name: &str| metrics.sum(name);
        (
            sum("skein_busy_milliseconds_total"),
            sum("skein_websocket_offers_sent_total"),
        )
    };
    let (before, began) = (sums(), Instant::now());
    thread::sleep(TIME);
    let after = sums();
    Look {
        busy: (after.0 - before.0) / began.elapsed().as_secs_f64() / 1e3,
        walks: (after.1 - before.1) / viewers.len() as f64,
    }
}
