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

/// Wake-ups of all threads in a second while nothing happens: what looks after logs and disk does so
/// about once a second each.
const WAKE_UPS: f64 = 15.0;

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
    let most = Cost {
        core_part: CORE_PART_MAX,
        core_part_anywhere: 4.0 * CORE_PART_MAX,
        wake_ups: WAKE_UPS,
    };
    assert_idle(&server, &most);

    // They were idle, not forgotten.
    fleet.publish();
    for viewer in &mut viewers {
        viewer.batch(PATIENCE).expect("the next point");
    }
}

/// What an idle server may cost.
struct Cost {
    /// Part of one core. A machine that is shared counts what the neighbours took as ours, so that this is
    /// for a quiet one.
    core_part: f64,
    /// The same where nobody says that the machine is quiet.
    core_part_anywhere: f64,
    /// How often any thread is woken in a second, which no neighbour changes: a ticker is seen here.
    wake_ups: f64,
}

/// Looks until one look is within the bounds: a neighbour spoils some looks, a server that works while
/// nothing happens spoils all.
fn assert_idle(server: &Server, most: &Cost) {
    let core_part = match skip::full() {
        true => most.core_part,
        false => most.core_part_anywhere,
    };
    for _ in 0..LOOKS {
        let cost = look(server);
        if cost.0 < core_part && cost.1 < most.wake_ups {
            return;
        }
    }
    panic!(
        "it costs more than {:.2} % of a core, or wakes more than {} times a second",
        core_part * 100.0,
        most.wake_ups
    );
}

/// The part of one core that the server uses while nothing happens, and its wake-ups in a second.
fn look(server: &Server) -> (f64, f64) {
    // What connecting has set off comes to rest.
    thread::sleep(Duration::from_secs(2));
    let watched = Duration::from_secs(if skip::full() { 30 } else { 10 });
    let id = server.process.id();
    let before = (procfs::cpu_time(id), procfs::wake_ups(id));
    thread::sleep(watched);
    let used = procfs::cpu_time(id) - before.0;
    let woken = procfs::wake_ups(id) - before.1;
    eprintln!("---- idle viewers: {used:?} and {woken} wake-ups in {watched:?}");
    let seconds = watched.as_secs_f64();
    (used.as_secs_f64() / seconds, woken as f64 / seconds)
}

/// Viewers by QUIC. Each asks every 5 s whether the server is there, as the protocol wants it.
const QUIC_VIEWERS: usize = 300;

/// Keep-alives of all of them in a second.
const KEEP_ALIVES: f64 = QUIC_VIEWERS as f64 / 5.0;

/// Part of one core that these and their answers may cost: 100 us each of an unoptimised server.
const KEEP_ALIVE_PART: f64 = KEEP_ALIVES * 0.000_1;

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
    let most = Cost {
        core_part: CORE_PART_MAX + KEEP_ALIVE_PART,
        core_part_anywhere: 8.0 * (CORE_PART_MAX + KEEP_ALIVE_PART),
        wake_ups: WAKE_UPS + 3.0 * KEEP_ALIVES,
    };
    assert_idle(&server, &most);
    fleet.publish();
    crowd.wait_for(2, 2, PATIENCE);
}
