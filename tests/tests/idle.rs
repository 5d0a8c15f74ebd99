//! A quiet server with many viewers does nothing.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::procfs;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    a_thousand_idle_viewers_cost_no_processor_time,
    idle_viewers_by_quic_cost_only_their_keep_alive,
);

/// Held for the length of a test: both measure the processor.
static ALONE: Mutex<()> = Mutex::new(());

/// Connected viewers.
const VIEWERS: usize = 1_000;

/// How often an idle server is looked at before it counts as busy.
const LOOKS: usize = 3;

/// Part of one core that they may cost.
const CORE_PART_MAX: f64 = 0.005;

fn a_thousand_idle_viewers_cost_no_processor_time(cores: Cores) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "quiet", 2);
    fleet.publish();
    fleet.settle();
    server
        .put_member("quiet", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let mut viewers: Vec<Peer> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect(server.ready.http, &token);
            viewer.watch("quiet", None, Delivery::Latest);
            viewer
        })
        .collect();
    for viewer in &mut viewers {
        viewer.batch(PATIENCE).expect("the first batch");
    }
    assert_idle(&server, CORE_PART_MAX);

    // They were idle, not forgotten.
    fleet.publish();
    for viewer in &mut viewers {
        viewer.batch(PATIENCE).expect("the next point");
    }
}

/// Looks until one look is within the bound: a neighbour that shares the caches makes the same work
/// take longer and spoils a look, a server that works while nothing happens spoils all.
fn assert_idle(server: &Server, most: f64) {
    let mut least = f64::INFINITY;
    for _ in 0..LOOKS {
        least = least.min(core_part(server));
        if least < most {
            return;
        }
    }
    panic!(
        "{:.2} % of a core for nothing, at most {:.2} %",
        least * 100.0,
        most * 100.0
    );
}

/// The part of one core that the server uses while nothing happens.
fn core_part(server: &Server) -> f64 {
    // What connecting has set off comes to rest.
    thread::sleep(Duration::from_secs(2));
    let watched = Duration::from_secs(if skip::full() { 30 } else { 10 });
    let before = procfs::cpu_time(server.process.id());
    thread::sleep(watched);
    let used = procfs::cpu_time(server.process.id()) - before;
    eprintln!("---- idle viewers: {used:?} in {watched:?}");
    used.as_secs_f64() / watched.as_secs_f64()
}

/// Viewers by QUIC. Each asks every 5 s whether the server is there, as the protocol wants it.
const QUIC_VIEWERS: usize = 300;

/// Part of one core that a keep-alive and its answer may cost: 100 us of an unoptimised server.
const KEEP_ALIVE_PART: f64 = QUIC_VIEWERS as f64 * 0.000_1 / 5.0;

fn idle_viewers_by_quic_cost_only_their_keep_alive(cores: Cores) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "quiet", 2);
    fleet.publish();
    fleet.settle();
    server
        .put_member("quiet", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let program = env!("CARGO_BIN_EXE_quic_viewers");
    let mut crowd = Crowd::start(&server, program, "quiet", &token, QUIC_VIEWERS);
    crowd.wait_for(2, 1, PATIENCE);
    assert_idle(&server, CORE_PART_MAX + KEEP_ALIVE_PART);
    fleet.publish();
    crowd.wait_for(2, 2, PATIENCE);
}
