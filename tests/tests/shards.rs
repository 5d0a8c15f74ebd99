//! A shard works by itself: it waits for no other thread and not for the disk, and says what it does.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::metrics::Metrics;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::Server;
use skein_tests::strace::{self, Calls};
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    no_shard_waits_for_a_thread_or_the_disk_under_load,
    no_shard_waits_for_the_disk_when_partitions_begin,
    every_shard_says_how_much_it_works,
);

const SESSIONS: usize = 40;
const VIEWERS: usize = 60;

/// Between two points of a session.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long system calls are counted.
const TIME: Duration = Duration::from_secs(3);

/// Calls that a shard makes under load anyway: without some, the tracer has seen nothing.
const OTHERS: [&str; 5] = [
    "epoll_wait",
    "epoll_pwait2",
    "sendto",
    "sendmmsg",
    "recvmmsg",
];

/// Calls that wait for the disk: those of the janitor, also for the log that a shard writes.
const DISK: [&str; 10] = [
    "fdatasync",
    "fsync",
    "sync_file_range",
    "fallocate",
    "openat",
    "pwrite64",
    "unlink",
    "unlinkat",
    "rename",
    "ftruncate",
];

/// Chats that get their first session while calls are counted: as many partitions, or nearly, get
/// their first record of this start, and a file.
const CHATS: usize = 12;

/// Senders and viewers on both transports.
struct Load {
    server: Server,
    fleet: skein_tests::fleet::Running,
    crowd: Crowd,
    viewers: Vec<Peer>,
}

impl Load {
    fn start(cores: Cores) -> Self {
        let server = Server::start(cores);
        let mut fleet = Fleet::start(&server, "load", SESSIONS);
        fleet.publish();
        fleet.settle();
        let added = server.put_member("load", "viewer", &["watch"]);
        added.expect_success("a viewer");
        let token = server.token("viewer");
        let viewers: Vec<Peer> = (0..VIEWERS)
            .map(|_| {
                let mut viewer = Peer::connect(server.ready.http, &token);
                viewer.watch("load", None, Delivery::Latest);
                viewer
            })
            .collect();
        let program = env!("CARGO_BIN_EXE_quic_viewers");
        let crowd = Crowd::start(&server, program, "load", &token, VIEWERS);
        let fleet = fleet.run(INTERVAL);
        Self {
            server,
            fleet,
            crowd,
            viewers,
        }
    }

    /// Reads what the WebSocket viewers got, so that their sockets stay open for more.
    fn read(&mut self) {
        for viewer in &mut self.viewers {
            while viewer.receive(Duration::ZERO).is_some() {}
        }
    }
}

fn no_shard_waits_for_a_thread_or_the_disk_under_load(cores: Cores) {
    let mut load = Load::start(cores);
    let traced = OTHERS.into_iter().chain(DISK).chain(["futex"]);
    let traced: Vec<&str> = traced.collect();
    let (pid, scratch) = (load.server.process.id(), load.server.scratch().to_owned());
    let what = "system calls of shards";
    let tracing = thread::spawn(move || strace::count(what, pid, &traced, TIME, &scratch));
    while !tracing.is_finished() {
        load.read();
        thread::sleep(INTERVAL);
    }
    let Some(calls) = tracing.join().expect("strace was run") else {
        return;
    };
    let shards: Vec<_> = calls
        .keys()
        .filter(|name| name.starts_with("shard-"))
        .collect();
    assert_eq!(shards.len(), cores.count(), "{calls:?}");
    for shard in shards {
        let seen: u64 = OTHERS.iter().map(|call| times(&calls, shard, call)).sum();
        assert!(seen > 100, "{shard} works while it is watched: {calls:?}");
        for call in DISK.into_iter().chain(["futex"]) {
            assert_eq!(times(&calls, shard, call), 0, "{shard}, {call}: {calls:?}");
        }
    }
    let mut fleet = load.fleet.stop();
    fleet.settle();
    let counter = fleet.members().next().expect("a session").counter;
    load.crowd.wait_for(SESSIONS as u64, counter, PATIENCE);
}

/// A partition's first record of a start waits for its epoch to be durable and for a file; and what
/// a crash has left is synced before that. All of it is the janitor's.
fn no_shard_waits_for_the_disk_when_partitions_begin(cores: Cores) {
    let mut server = Server::start(cores);
    for round in 0..2 {
        let traced: Vec<&str> = OTHERS.into_iter().chain(DISK).collect();
        let (pid, scratch) = (server.process.id(), server.scratch().to_owned());
        let what = "system calls of shards whose partitions begin";
        let tracing = thread::spawn(move || strace::count(what, pid, &traced, TIME, &scratch));
        // The tracer has to be there first.
        thread::sleep(Duration::from_millis(500));
        for chat in 0..CHATS {
            let mut fleet = Fleet::start(&server, &format!("chat-{round}-{chat}"), 1);
            fleet.publish();
            fleet.settle();
        }
        let Some(calls) = tracing.join().expect("strace was run") else {
            return;
        };
        let shards = calls.keys().filter(|name| name.starts_with("shard-"));
        let shards: Vec<_> = shards.collect();
        assert_eq!(shards.len(), cores.count(), "{calls:?}");
        for shard in shards {
            for call in DISK {
                assert_eq!(times(&calls, shard, call), 0, "{shard}, {call}: {calls:?}");
            }
        }
        let begun = times(&calls, "skein-syncer", "rename");
        assert!(begun >= 4, "epochs are made durable meanwhile: {calls:?}");
        server.crash_and_restart();
    }
}

fn times(calls: &Calls, thread: &str, call: &str) -> u64 {
    let of_thread = calls.get(thread).and_then(|calls| calls.get(call));
    of_thread.copied().unwrap_or(0)
}

fn every_shard_says_how_much_it_works(cores: Cores) {
    let mut load = Load::start(cores);
    let (before, began) = (load.server.metrics(), Instant::now());
    while began.elapsed() < TIME {
        load.read();
        thread::sleep(INTERVAL);
    }
    let busy = Growth::since(&before, &load.server.metrics());
    let busy_ms = began.elapsed().as_secs_f64() * 1e3;
    drop(load.viewers);
    load.fleet.stop();
    drop(load.crowd);
    // What has ended is taken note of.
    thread::sleep(Duration::from_secs(1));
    let before = load.server.metrics();
    thread::sleep(TIME);
    let quiet = Growth::since(&before, &load.server.metrics());
    for shard in 0..cores.count() {
        assert!(busy.passes[shard] > 50.0, "{busy:?}");
        assert!(busy.busy_ms[shard] >= 10.0, "{busy:?}");
        assert!(
            busy.busy_ms[shard] < busy_ms * 1.5,
            "{busy:?} in {busy_ms} ms"
        );
        assert!(quiet.passes[shard] < busy.passes[shard] / 4.0, "{quiet:?}");
        assert!(
            quiet.busy_ms[shard] < busy.busy_ms[shard] / 2.0,
            "{quiet:?}"
        );
        assert!(
            quiet.sleeps[shard] <= quiet.passes[shard] + 1.0,
            "{quiet:?}"
        );
    }
}

/// How much the numbers of each shard have grown.
#[derive(Debug)]
struct Growth {
    passes: Vec<f64>,
    sleeps: Vec<f64>,
    busy_ms: Vec<f64>,
}

impl Growth {
    fn since(before: &Metrics, after: &Metrics) -> Self {
        let grown = |name: &str| {
            let (before, after) = (before.by_shard(name), after.by_shard(name));
            let pairs = before.iter().zip(after);
            pairs.map(|(before, after)| after.1 - before.1).collect()
        };
        Self {
            passes: grown("skein_passes_total"),
            sleeps: grown("skein_sleeps_total"),
            busy_ms: grown("skein_busy_milliseconds_total"),
        }
    }
}
