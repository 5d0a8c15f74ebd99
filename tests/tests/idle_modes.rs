//! What a shard does while it has nothing to do (`shards.idle`): it sleeps, polls, or polls for a moment and then
//! sleeps. Whichever it is, what happens arrives.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::procfs;
use skein_tests::server::{Options, Server};
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    a_sleeping_shard_delivers_and_uses_no_core,
    a_polling_shard_delivers_and_never_sleeps,
    an_adaptive_shard_delivers_and_goes_to_sleep,
);

/// Held for the length of a test: those that poll take all the cores there may be.
static ALONE: Mutex<()> = Mutex::new(());

/// Points that are delivered, with a pause before each in which an adaptive shard falls asleep.
const POINTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// How long an idle server is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// Part of one core that a shard may use while nothing happens, on whatever machine.
const ASLEEP_PART_MAX: f64 = 0.1;

/// Part of its core that a shard uses at least that polls. The machine may be anybody's.
const AWAKE_PART_MIN: f64 = 0.12;

/// Sleeps of a shard that polls: none but those of its start.
const AWAKE_SLEEPS_MAX: f64 = 0.0;

fn a_sleeping_shard_delivers_and_uses_no_core(cores: Cores) {
    let rest = rest_of("sleep", cores);
    assert!(rest.core_part < ASLEEP_PART_MAX, "{rest:?}");
    assert!(rest.sleeps > 0.0, "{rest:?}");
}

fn a_polling_shard_delivers_and_never_sleeps(cores: Cores) {
    let rest = rest_of("spin", cores);
    assert!(rest.core_part > AWAKE_PART_MIN, "{rest:?}");
    assert!(rest.sleeps <= AWAKE_SLEEPS_MAX, "{rest:?}");
}

/// It polls for a tenth of a millisecond after each pass: more than that would be seen as a core in use.
fn an_adaptive_shard_delivers_and_goes_to_sleep(cores: Cores) {
    let rest = rest_of("adaptive", cores);
    assert!(rest.core_part < ASLEEP_PART_MAX, "{rest:?}");
    assert!(rest.sleeps > 0.0, "{rest:?}");
}

/// What a server did while nothing happened.
#[derive(Debug)]
struct Rest {
    /// Processor time, as a part of one core for each shard.
    core_part: f64,
    /// How often its shards went to sleep.
    sleeps: f64,
}

fn rest_of(idle: &str, cores: Cores) -> Rest {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start_with(Options {
        configuration: format!("[shards]\nidle = \"{idle}\"\n"),
        ..Options::new(cores)
    });
    let mut fleet = Fleet::start(&server, "quiet", 1);
    server.add_member("quiet", "viewer");
    let mut viewer = Peer::connect(server.ready.http, &server.token("viewer"));
    viewer.watch("quiet", None, Delivery::Every);
    deliver(&mut fleet, &mut viewer);
    thread::sleep(Duration::from_secs(1));
    let id = server.process.id();
    let sleeps = || server.metrics().sum("skein_sleeps_total");
    let before = (procfs::cpu_time(id), sleeps());
    thread::sleep(WATCHED);
    let used = procfs::cpu_time(id) - before.0;
    let rest = Rest {
        core_part: used.as_secs_f64() / WATCHED.as_secs_f64() / cores.count() as f64,
        sleeps: sleeps() - before.1,
    };
    eprintln!("---- {idle}: {rest:?}");
    deliver(&mut fleet, &mut viewer);
    rest
}

/// Each point arrives by itself.
fn deliver(fleet: &mut Fleet, viewer: &mut Peer) {
    for _ in 0..POINTS {
        thread::sleep(PAUSE);
        while viewer.receive(Duration::ZERO).is_some() {}
        fleet.publish();
        viewer.batch(PATIENCE).expect("the point");
    }
}
