//! A single change on an idle server goes out at once: no ticker, no gathering of a pass.
//!
//! Measured against the least that any server can do: one epoll loop that reads from one socket
//! and writes to another, in the same run, turn and turn about. Figures of an unoptimised build
//! say nothing, so this runs with `--release` only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::thread::{CpuSet, sched_setaffinity};
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, SESSIONS_PER_USER};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

on_one_and_two_shards!(a_single_publish_is_not_held_back);

/// Held for the length of a test.
static ALONE: Mutex<()> = Mutex::new(());

/// Pause between two publishes.
const PAUSE: Duration = Duration::from_millis(50);

/// Publishes of a usual run, each to both servers.
const PUBLISHES: usize = 200;

/// Rounds of so many publishes, until one is within the bounds: a neighbour on a shared machine
/// spoils a round, a server that holds a change back spoils all of them.
const ROUNDS: usize = 3;

/// Most that ours may take of what the bare loop takes, at the median and at the 99th percentile.
const P50_RATIO_MAX: f64 = 1.3;
/// As above.
const P99_RATIO_MAX: f64 = 2.0;

/// What a hand-over to another shard may add: one wake-up of a sleeping thread.
const WAKE: Duration = Duration::from_micros(60);

/// Bytes of a message of the bare server: about what a batch with one row has.
const BARE_BYTES: usize = 48;

fn a_single_publish_is_not_held_back(cores: Cores) {
    if binary::is_debug() {
        skip::say(
            "leading_edge",
            "needs an optimised build: cargo test --release",
        );
        return;
    }
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "edge", 1);
    assert_eq!(fleet.members().count(), 1.min(SESSIONS_PER_USER));
    server
        .put_member("edge", "viewer", &["watch"])
        .expect_success("a viewer");
    let mut viewer = Peer::connect(server.ready.http, &server.token("viewer"));
    viewer.watch("edge", None, Delivery::Latest);
    let mut table = Table::default();
    publish_and_see(&mut fleet, &mut viewer, &mut table);
    let mut bare = Bare::start();
    let wake = if cores == Cores::Two {
        WAKE
    } else {
        Duration::ZERO
    };
    let mut one = || {
        thread::sleep(PAUSE);
        let began = Instant::now();
        publish_and_see(&mut fleet, &mut viewer, &mut table);
        let ours = began.elapsed();
        thread::sleep(PAUSE);
        (ours, bare.round())
    };
    let tries = (0..ROUNDS).map(|_| round((0..PUBLISHES).map(|_| one()), wake));
    let failed: Vec<String> = tries.map_while(Result::err).collect();
    assert!(failed.len() < ROUNDS, "{failed:?}");
}

/// One point, until the viewer has that very point: what it had not read before does not count.
fn publish_and_see(fleet: &mut Fleet, viewer: &mut Peer, table: &mut Table) {
    fleet.publish();
    let member = fleet.members().next().expect("a session");
    while table.session(member.session).map(|row| row.counter) != Some(member.counter) {
        table.apply(viewer.batch(PATIENCE).expect("a batch"));
    }
}

/// Compares the times of one round, each (ours, the bare loop's).
fn round(pairs: impl Iterator<Item = (Duration, Duration)>, wake: Duration) -> Result<(), String> {
    let (mut ours, mut floor): (Vec<_>, Vec<_>) = pairs.unzip();
    for (part, ratio_max) in [(0.5, P50_RATIO_MAX), (0.99, P99_RATIO_MAX)] {
        let (ours, floor) = (quantile(&mut ours, part), quantile(&mut floor, part));
        eprintln!("---- quantile {part}: ours {ours:?}, bare loop {floor:?}");
        let most = floor.mul_f64(ratio_max) + wake;
        if ours > most {
            return Err(format!("quantile {part}: {ours:?}, at most {most:?}"));
        }
    }
    Ok(())
}

fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part).round() as usize]
}

/// The bare server and both its clients.
struct Bare {
    publisher: TcpStream,
    viewer: TcpStream,
}

impl Bare {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || serve(&listener));
        Self {
            publisher: connect(address),
            viewer: connect(address),
        }
    }

    /// One message from the publisher to the viewer.
    fn round(&mut self) -> Duration {
        let began = Instant::now();
        self.publisher.write_all(&[7; BARE_BYTES]).expect("written");
        self.viewer.read_exact(&mut [0; BARE_BYTES]).expect("read");
        began.elapsed()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("connected");
    socket.set_nodelay(true).expect("an option");
    socket
}

/// The first connection publishes, the second views. Pinned to the core of the first shard.
fn serve(listener: &TcpListener) {
    let mut core = CpuSet::new();
    core.set(0);
    sched_setaffinity(None, &core).expect("core 0 is there");
    let accept = || {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket
    };
    let (mut publisher, mut viewer) = (accept(), accept());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let data = epoll::EventData::new_u64(0);
    epoll::add(&epoll, &publisher, data, epoll::EventFlags::IN).expect("added");
    let mut events = Vec::with_capacity(4);
    let mut buffer = [0; 4096];
    loop {
        let waited = epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None);
        if waited.is_err() {
            continue;
        }
        events.clear();
        match publisher.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => viewer
                .write_all(&buffer[..count])
                .expect("the viewer is there"),
        }
    }
}
