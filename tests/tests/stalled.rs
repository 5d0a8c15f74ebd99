//! Viewers that stop reading cost the server nothing that grows, and get the newest when they go on.
//!
//! One test at a time: they measure the memory of a process and of the kernel.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::procfs::{self, Queued};
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::table::{Applied, Table};
use skein_tests::wait::PATIENCE;
use skein_tests::websocket::Options;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    websocket_viewers_that_stop_reading,
    quic_viewers_that_are_frozen
);

/// Held for the length of a test.
static ALONE: Mutex<()> = Mutex::new(());

/// Time between two points of a session: 10 Hz.
const STEP: Duration = Duration::from_millis(100);

/// Receive buffer of a viewer, bytes.
const RECEIVE_BUFFER: usize = 4096;

/// Memory of the server that a stalled viewer may cost between the two looks, bytes.
const USER_BYTES_MAX: u64 = 64;

/// What the process takes by itself between the two looks in a short run, bytes: the log's index (24
/// bytes for every 32 KiB of records), the allocator's reserves. It is there without any viewer too. A
/// queue per viewer would take hundreds of times as much: at the usual scale each of them is owed
/// 4,000 points a second. A full run measures it instead, on a server without viewers.
const OWN_GROWTH_BYTES: u64 = 384 * 1024;

/// How much two servers with the same senders may differ in what they take by themselves, bytes: the
/// indexes of the two segments (48 KiB each) that one has made ahead at its second look and the other
/// not yet, and some pages of the allocator's.
const OWN_SLACK_BYTES: u64 = 128 * 1024;

/// Memory of the kernel that a stalled viewer may cost between the two looks, bytes.
const KERNEL_BYTES_MAX: u64 = 32 * 1024;

/// Sizes of a run.
struct Scale {
    sessions: usize,
    viewers: usize,
    first_look: Duration,
    second_look: Duration,
}

impl Scale {
    fn now() -> Self {
        if skip::full() {
            Self {
                sessions: 1_000,
                viewers: 500,
                first_look: Duration::from_secs(5),
                second_look: Duration::from_secs(60),
            }
        } else {
            Self {
                sessions: 400,
                viewers: 200,
                first_look: Duration::from_secs(6),
                second_look: Duration::from_secs(14),
            }
        }
    }
}

/// One look at what the viewers cost.
#[derive(Clone, Copy, Debug)]
struct Look {
    user: u64,
    kernel: Queued,
    udp: u64,
}

impl Look {
    fn take(server: &Server) -> Self {
        Self {
            user: procfs::anonymous_bytes(server.process.id()),
            kernel: procfs::tcp_queued(server.ready.http.port()),
            udp: procfs::udp_queued(server.ready.quic.port()),
        }
    }

    fn kernel_bytes(self) -> u64 {
        self.kernel.send_bytes + self.kernel.receive_bytes + self.udp
    }
}

fn websocket_viewers_that_stop_reading(cores: Cores) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let scale = Scale::now();
    let own = own_growth(cores, &scale);
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "crowd", scale.sessions);
    warm_up(&mut fleet);
    server
        .put_member("crowd", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let options = Options {
        receive_buffer: Some(RECEIVE_BUFFER),
        ..Options::default()
    };
    let mut viewers: Vec<Peer> = (0..scale.viewers)
        .map(|_| {
            let mut viewer = Peer::connect_with(server.ready.http, &token, &options);
            viewer.watch("crowd", None, Delivery::Latest);
            viewer
        })
        .collect();
    let (first, second, fleet) = two_looks(&server, fleet, &scale);
    let count = scale.viewers as u64;
    assert_constant(first, second, own + USER_BYTES_MAX * count, count);

    let head = head(&server, &fleet);
    let held = second.kernel_bytes() / count;
    for viewer in &mut viewers {
        goes_on(viewer, &fleet, head, held);
    }
}

/// Points of each session before anything is measured: its trail has its final size then.
const WARM_UP: u64 = 40;

fn warm_up(fleet: &mut Fleet) {
    for _ in 0..WARM_UP {
        fleet.publish();
        thread::sleep(STEP / 4);
    }
    fleet.settle();
}

/// Looks twice while the fleet sends.
fn two_looks(server: &Server, fleet: Fleet, scale: &Scale) -> (Look, Look, Fleet) {
    let began = Instant::now();
    let running = fleet.run(STEP);
    sleep_until(began + scale.first_look);
    let first = Look::take(server);
    sleep_until(began + scale.second_look);
    let second = Look::take(server);
    let mut fleet = running.stop();
    fleet.settle();
    (first, second, fleet)
}

/// What a server may take by itself between the two looks, bytes.
fn own_growth(cores: Cores, scale: &Scale) -> u64 {
    if !skip::full() {
        return OWN_GROWTH_BYTES;
    }
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "crowd", scale.sessions);
    warm_up(&mut fleet);
    let (first, second, _) = two_looks(&server, fleet, scale);
    let own = second.user.saturating_sub(first.user);
    eprintln!("---- without viewers: {first:?}, then {second:?}: {own} bytes");
    own + OWN_SLACK_BYTES
}

/// The second look costs no more than the first one, but for what is allowed.
fn assert_constant(first: Look, second: Look, user_bytes_max: u64, viewers: u64) {
    let user = second.user.saturating_sub(first.user);
    eprintln!(
        "---- {viewers} stalled viewers: {first:?}, then {second:?}: {user} of {user_bytes_max} bytes"
    );
    assert!(
        user < user_bytes_max,
        "the server grew by {user} bytes for {viewers} viewers"
    );
    let kernel = second.kernel_bytes().saturating_sub(first.kernel_bytes());
    assert!(
        kernel < KERNEL_BYTES_MAX * viewers,
        "the kernel holds {kernel} bytes more"
    );
}

/// Batches that a frozen QUIC viewer may find waiting: small ones go as datagrams, and as many as
/// fit a congestion window (some tens of KiB) wait in the kernel; then comes the newest, then what
/// a repaired loss brings again. A queue would have brought thousands.
const QUIC_BATCHES_MAX: u64 = 128;

fn quic_viewers_that_are_frozen(cores: Cores) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let scale = Scale::now();
    let own = own_growth(cores, &scale);
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "crowd", scale.sessions);
    warm_up(&mut fleet);
    server
        .put_member("crowd", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let program = env!("CARGO_BIN_EXE_quic_viewers");
    let mut crowd = Crowd::start(&server, program, "crowd", &token, scale.viewers);
    let sessions = scale.sessions as u64;
    crowd.wait_for(sessions, WARM_UP, PATIENCE);

    crowd.report();
    crowd.process.freeze();
    let (first, second, fleet) = two_looks(&server, fleet, &scale);
    crowd.process.thaw();
    let newest = fleet.members().next().expect("sessions").counter;
    let report = crowd.wait_for(sessions, newest, PATIENCE);
    let head = head(&server, &fleet);
    assert_eq!(
        (report.cursor_min, report.cursor_max),
        (head, head),
        "all of them at the head"
    );
    assert!(
        report.batches_max <= QUIC_BATCHES_MAX,
        "{report:?} after the sleep"
    );
    let count = scale.viewers as u64;
    assert_constant(first, second, own + USER_BYTES_MAX * count, count);
}

fn sleep_until(end: Instant) {
    thread::sleep(end.saturating_duration_since(Instant::now()));
}

/// The newest offset, as a viewer that comes now learns it.
fn head(server: &Server, fleet: &Fleet) -> u64 {
    let mut viewer = Peer::connect(server.ready.http, &server.token("viewer"));
    viewer.watch("crowd", None, Delivery::Latest);
    let mut table = Table::default();
    while !is_newest(&table, fleet) {
        table.apply(viewer.batch(PATIENCE).expect("a batch"));
    }
    table.cursor
}

fn is_newest(table: &Table, fleet: &Fleet) -> bool {
    fleet.members().all(|member| {
        let row = table.session(member.session);
        row.is_some_and(|row| row.counter == member.counter)
    })
}

/// Reads on: what the kernel held, then one batch with everything, up to the head.
fn goes_on(viewer: &mut Peer, fleet: &Fleet, head: u64, held: u64) {
    let mut table = Table::default();
    let mut stale_batches = Vec::new();
    loop {
        let batch = viewer.batch(PATIENCE).expect("a batch");
        let (from, to) = (batch.header.from, batch.header.to);
        let slots: BTreeSet<_> = batch.entries.iter().map(|entry| entry.slot).collect();
        assert_eq!(slots.len(), batch.entries.len(), "each session once");
        let points = batch
            .entries
            .iter()
            .filter(|entry| entry.point.is_some())
            .count();
        let applied = table.apply(batch);
        assert!(
            matches!(applied, Applied::Yes | Applied::Page),
            "{applied:?} {from}..{to}"
        );
        if to >= head {
            assert_eq!(to, head, "the last batch goes to the head");
            assert_eq!(
                points,
                fleet.members().count(),
                "every session, in one batch"
            );
            break;
        }
        stale_batches.push((from, to, points));
    }
    assert!(is_newest(&table, fleet), "every session's newest point");
    // Each held batch has at least a header and one row; more of them cannot have been held.
    let most = 2 + held / 32;
    assert!(
        stale_batches.len() as u64 <= most,
        "{stale_batches:?} before the newest"
    );
}
