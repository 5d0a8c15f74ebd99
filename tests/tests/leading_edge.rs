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
use skein_tests::fleet::point_at;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, encoded, live};
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::PATIENCE;
use skein_tests::websocket;
use skein_wire::ids::{SessionId, ShareNumber};
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
    let mut ours = Ours::start(&server);
    ours.round();
    let mut bare = Bare::start();
    let wake = if cores == Cores::Two {
        WAKE
    } else {
        Duration::ZERO
    };
    let mut one = || {
        thread::sleep(PAUSE);
        let ours = ours.round();
        thread::sleep(PAUSE);
        (ours, bare.round())
    };
    let tries = (0..ROUNDS).map(|_| round((0..PUBLISHES).map(|_| one()), wake));
    let failed: Vec<String> = tries.map_while(Result::err).collect();
    assert!(failed.len() < ROUNDS, "{failed:?}");
}

/// A sender and a viewer of the server under test.
struct Ours {
    sender: Peer,
    share: ShareNumber,
    session: SessionId,
    counter: u64,
    viewer: Peer,
    table: Table,
}

impl Ours {
    fn start(server: &Server) -> Self {
        let join = |user: &str, rights: &[&str]| {
            let put = server.put_member("edge", user, rights);
            put.expect_success("a member");
            Peer::connect(server.ready.http, &server.token(user))
        };
        let mut sender = join("sender", &["share"]);
        let mut viewer = join("viewer", &["watch"]);
        let shared = sender.share("edge", 3_600, "edge");
        viewer.watch("edge", None, Delivery::Latest);
        Self {
            sender,
            share: shared.share,
            session: shared.session,
            counter: shared.counter_last.0,
            viewer,
            table: Table::default(),
        }
    }

    /// One point, until the viewer has the bytes of that very point. As with the bare server,
    /// the clock runs from the first byte written to the last one read: what this client does
    /// to make and to understand a message is not the server's time.
    fn round(&mut self) -> Duration {
        self.counter += 1;
        let point = live(self.share, point_at(0, self.counter), false);
        let message = websocket::frame(0x82, true, &encoded(&[point]));
        self.viewer.socket.set_wait(PATIENCE).expect("an option");
        let began = Instant::now();
        self.sender.socket.send_raw(&message).expect("written");
        let took = loop {
            assert!(self.viewer.socket.wait().expect("read"), "no point came");
            let took = began.elapsed();
            while let Some(batch) = self.viewer.batch(Duration::ZERO) {
                self.table.apply(batch);
            }
            if self.table.session(self.session).map(|row| row.counter) == Some(self.counter) {
                break took;
            }
        };
        // Takes the acknowledgements, so that the server never waits for this sender.
        while self.sender.receive(Duration::ZERO).is_some() {}
        took
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
