//! A single change on an idle server goes out at once: no ticker, no gathering of a pass.
//!
//! Measured against the least that any server can do: one epoll loop that reads from one socket
//! and writes to another, in the same run, turn and turn about. The figures are those of the product
//! with `SKEIN_FULL` and an optimised build only; any build shows a ticker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::thread::{CpuSet, sched_setaffinity};
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, encoded, live};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::PATIENCE;
use skein_tests::websocket;
use skein_wire::ids::{SessionId, ShareNumber};
use skein_wire::request::Delivery;

on_one_and_two_shards!(a_sleeping_shard_wakes_and_sends_at_once);

/// Held for the length of a test.
static ALONE: Mutex<()> = Mutex::new(());

/// Pause between two publishes.
const PAUSE: Duration = Duration::from_millis(50);

/// Publishes of a round, to both servers each.
const PUBLISHES: usize = 200;

/// The same where a ticker is all that has to show.
const PUBLISHES_QUICK: usize = 80;

/// Rounds of so many publishes, until one is within the bounds: a neighbour on a shared machine
/// spoils a round, a server that holds a change back spoils all of them.
const ROUNDS: usize = 3;

/// What a hand-over to another shard may add: one wake-up of a sleeping thread.
const WAKE: Duration = Duration::from_micros(60);

/// Bytes of a message of the bare server: about what a batch with one row has.
const BARE_BYTES: usize = 48;

/// Most that ours may take, beside what the bare loop takes.
struct Bounds {
    /// At the median.
    p50_ratio: f64,
    /// At the 99th percentile.
    p99_ratio: f64,
    /// Added to both.
    extra: Duration,
}

/// What is granted where nobody says that the machine is quiet (`SKEIN_FULL`). Neighbours that use up the memory's
/// bandwidth make a cold way through much code many times longer, a way through little code hardly. A
/// ticker of 5 ms still shows: it costs 2.5 ms at the median.
const NEIGHBOURS: Duration = Duration::from_micros(1_500);

/// The same for an unoptimised build, whose way is longer and no less cold.
const NEIGHBOURS_DEBUG: Duration = Duration::from_millis(2);

fn for_neighbours() -> Duration {
    match (skip::full(), binary::is_debug()) {
        (true, _) => Duration::ZERO,
        (false, false) => NEIGHBOURS,
        (false, true) => NEIGHBOURS_DEBUG,
    }
}

fn publishes() -> usize {
    match skip::full() {
        true => PUBLISHES,
        false => PUBLISHES_QUICK,
    }
}

/// Of a shard that polls.
fn polling() -> Bounds {
    Bounds {
        p50_ratio: 1.3,
        p99_ratio: 2.0,
        extra: for_neighbours(),
    }
}

/// Of a shard that sleeps: `docs/decisions/0007-a-shard-waits-by-itself.md` says what it meets and why.
fn asleep(cores: Cores) -> Bounds {
    let wake = match cores {
        Cores::One => Duration::ZERO,
        Cores::Two => WAKE,
    };
    Bounds {
        p50_ratio: 2.0,
        p99_ratio: 3.0,
        extra: wake + for_neighbours(),
    }
}

fn a_sleeping_shard_wakes_and_sends_at_once(cores: Cores) {
    let Some(_alone) = alone() else { return };
    let server = Server::start(cores);
    let mut ours = Ours::start(&server);
    let mut bare = Bare::start();
    ours.round();
    let mut one = || {
        let ours = after_a_pause(|| ours.round());
        (ours, after_a_pause(|| bare.round()))
    };
    one_good_round(|| asleep(cores).check((0..publishes()).map(|_| one()).unzip()));
}

/// The bare server has its turn while the polling one is stopped: both want the same core.
#[test]
fn a_polling_shard_is_as_fast_as_a_bare_loop() {
    let Some(_alone) = alone() else { return };
    let mut options = Options::new(Cores::One);
    options.configuration = "[shards]\nidle = \"spin\"\n".to_owned();
    let server = Server::start_with(options);
    let mut ours = Ours::start(&server);
    let mut bare = Bare::start();
    one_good_round(|| {
        server.process.freeze();
        let floor = (0..publishes())
            .map(|_| after_a_pause(|| bare.round()))
            .collect();
        server.process.thaw();
        ours.round();
        let ours = (0..publishes())
            .map(|_| after_a_pause(|| ours.round()))
            .collect();
        polling().check((ours, floor))
    });
}

/// The right to measure; `None` where figures are asked of a build whose figures say nothing.
fn alone() -> Option<MutexGuard<'static, ()>> {
    if skip::full() && binary::is_debug() {
        skip::say(
            "leading_edge",
            "SKEIN_FULL needs an optimised build: cargo test --release",
        );
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Gives the clients, which are this thread, the last core, as they would have another machine.
/// On the core of the server they would be run right after it, without a wake-up, and how often
/// the scheduler puts them there would be what is measured.
fn keep_apart() {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    pin_to(cores.saturating_sub(1));
}

/// Pins this thread.
fn pin_to(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("the core is there");
}

fn after_a_pause(mut measure: impl FnMut() -> Duration) -> Duration {
    thread::sleep(PAUSE);
    measure()
}

fn one_good_round(mut round: impl FnMut() -> Result<(), String>) {
    let failed: Vec<String> = (0..ROUNDS)
        .map(|_| round())
        .map_while(Result::err)
        .collect();
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
    /// Its clients; call it when the server runs, which would inherit their core.
    fn start(server: &Server) -> Self {
        keep_apart();
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

impl Bounds {
    /// Compares the times of one round: ours and the bare loop's.
    fn check(&self, times: (Vec<Duration>, Vec<Duration>)) -> Result<(), String> {
        let (mut ours, mut floor) = times;
        for (part, ratio) in [(0.5, self.p50_ratio), (0.99, self.p99_ratio)] {
            let (ours, floor) = (quantile(&mut ours, part), quantile(&mut floor, part));
            eprintln!("---- quantile {part}: ours {ours:?}, bare loop {floor:?}");
            let most = floor.mul_f64(ratio) + self.extra;
            if ours > most {
                return Err(format!("quantile {part}: {ours:?}, at most {most:?}"));
            }
        }
        Ok(())
    }
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
    pin_to(0);
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
