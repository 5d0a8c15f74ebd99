//! Everybody comes back at once: after a crash of the server, and after the network was cut. All are
//! soon up to date, nobody is sent what is known already, and the memory is what it was.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{self, Peer, encoded};
use skein_tests::procfs;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::table::{Applied, Table};
use skein_tests::turns;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket::{self, Asking, Options, WebSocket};
use skein_wire::batch::Batch;
use skein_wire::ids::{Cursor, RequestNumber};
use skein_wire::request::Delivery;
use skein_wire::update::Update;

on_one_and_two_shards!(all_come_back_after_a_crash, all_come_back_after_a_cut);

/// Within this time, and 99 of 100 of them.
const CURRENT: Duration = Duration::from_secs(10);

/// Threads that connect, so that one slow handshake does not hold the others up.
const THREADS: usize = 8;

/// Sessions that nobody hears of while away, and those that move meanwhile.
const QUIET: usize = 45;
const MOVING: usize = 5;

/// What the process may have grown by all the same: pages of the allocator's.
const MEMORY_SLACK: u64 = 512 * 1024;

/// The same where the machine has other things to do: it keeps what the most handshakes at once took, and how many
/// these were is then settled by others.
const MEMORY_SLACK_BUSY: u64 = 3 * 1024 * 1024;

fn memory_slack() -> u64 {
    match skip::full() {
        true => MEMORY_SLACK,
        false => MEMORY_SLACK_BUSY,
    }
}

/// Storms that are looked at, after some that show the allocator how much it takes: two hundred bytes that each
/// visit leaves behind are more than may be.
const STORMS: usize = 8;
const STORMS_BEFORE: usize = 2;

/// Storms of which the one that leaves least counts: how many handshakes are under way at once differs from storm
/// to storm, and the allocator keeps for a while what the most of them took.
const LOOKS: usize = 3;

/// The opcode of a binary message, whole.
const BINARY: u8 = 0x82;

fn viewers() -> usize {
    match skip::full() {
        true => 15_000,
        false => 800,
    }
}

/// One who watches, was cut off, and has a table.
struct Viewer {
    token: String,
    table: Table,
    log: u64,
}

impl Viewer {
    /// Connects, says hello and asks for what is new, all in one go.
    fn ask(&self, server: &Server) -> std::io::Result<Asking> {
        let cursor = (self.table.cursor > 0).then_some(Cursor {
            log: self.log,
            epoch: self.table.epoch,
            offset: self.table.cursor,
        });
        let requests = [
            peer::hello(&self.token),
            peer::watch(RequestNumber(1), "crowd", cursor, Delivery::Latest),
        ];
        let frame = websocket::frame(BINARY, true, &encoded(&requests));
        WebSocket::ask(server.ready.http, &Options::default(), &frame)
    }

    /// Takes what comes until the table is current, as `is_current` says.
    fn take(
        &mut self,
        asking: Asking,
        end: Instant,
        is_current: impl Fn(&Table) -> bool,
    ) -> Option<Peer> {
        let socket = asking.answer(end).ok()?;
        socket.cut_when_dropped().expect("an open socket");
        let left = || end.saturating_duration_since(Instant::now());
        let mut peer = Peer::welcomed(socket, left()).ok()?;
        self.log = peer.welcome.log;
        let resumes = self.table.cursor > 0;
        let watching = peer.pick(left(), |update| match update {
            Update::Watching(watching) => Some(*watching),
            _ => None,
        })?;
        assert_eq!(watching.from, self.table.cursor, "the cursor is taken");
        // Another one than before where the server has crashed.
        self.table.epoch = watching.epoch;
        while !is_current(&self.table) {
            let batch: Batch = peer.pick(left(), |update| match update {
                Update::Batch(body) => Some(Batch::decode(body).expect("a batch that parses")),
                _ => None,
            })?;
            if resumes {
                assert_ne!(batch.header.from, 0, "who resumes is sent no snapshot");
                // Those who do not move may have grown stale.
                let moved = batch.entries.iter().filter(|entry| entry.point.is_some());
                assert!(moved.count() <= MOVING, "only what has changed");
            }
            assert_ne!(self.table.apply(batch), Applied::Gap);
        }
        Some(peer)
    }
}

/// All of them at once; says how many are current in time, and how long that took.
fn storm(
    server: &Server,
    viewers: &mut [Viewer],
    is_current: impl Fn(&Table) -> bool + Sync,
) -> Vec<Peer> {
    let began = Instant::now();
    let end = began + CURRENT;
    let count = viewers.len();
    let part = count.div_ceil(THREADS);
    let is_current = &is_current;
    let peers: Vec<Peer> = thread::scope(|scope| {
        let threads: Vec<_> = viewers
            .chunks_mut(part)
            .map(|viewers| {
                scope.spawn(move || {
                    let asking: Vec<_> = viewers.iter().map(|viewer| viewer.ask(server)).collect();
                    let pairs = viewers.iter_mut().zip(asking);
                    pairs
                        .filter_map(|(viewer, asking)| viewer.take(asking.ok()?, end, is_current))
                        .collect::<Vec<Peer>>()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.flat_map(|peers| peers.expect("no panic")).collect()
    });
    eprintln!(
        "---- {} of {count} are current after {:?}",
        peers.len(),
        began.elapsed()
    );
    assert!(
        peers.len() * 100 >= count * 99,
        "{} of {count} are current within {CURRENT:?}",
        peers.len()
    );
    peers
}

/// A chat with people who move, people who do not, and viewers who all are up to date.
struct Crowd {
    server: Server,
    quiet: Fleet,
    moving: Fleet,
    viewers: Vec<Viewer>,
    peers: Vec<Peer>,
}

impl Crowd {
    fn gather(cores: Cores) -> Self {
        let server = Server::start(cores);
        let mut quiet = Fleet::start(&server, "crowd", QUIET);
        let mut moving = Fleet::start_from(&server, "crowd", QUIET, MOVING);
        for fleet in [&mut quiet, &mut moving] {
            fleet.publish();
            fleet.settle();
        }
        let names: Vec<String> = (0..viewers())
            .map(|index| format!("viewer-{index}"))
            .collect();
        import(&server, &names);
        let viewer = |name: &String| Viewer {
            token: server.quick_token(name),
            table: Table::default(),
            log: 0,
        };
        let mut viewers: Vec<Viewer> = names.iter().map(viewer).collect();
        let peers = storm(&server, &mut viewers, |table| {
            table.live().count() == QUIET + MOVING
        });
        Self {
            server,
            quiet,
            moving,
            viewers,
            peers,
        }
    }

    /// What the server holds in memory once it has nothing to do.
    fn memory(&self) -> u64 {
        thread::sleep(Duration::from_secs(1));
        procfs::anonymous_bytes(self.server.process.id())
    }

    /// The least that the server holds after some storms.
    fn least_memory(&mut self) -> u64 {
        let looks = (0..LOOKS).map(|_| {
            self.storms(1);
            self.memory()
        });
        looks.min().expect("looks")
    }

    /// All are cut off and come back, so many times.
    fn storms(&mut self, count: usize) {
        for _ in 0..count {
            self.cut_off();
            self.come_back();
        }
    }

    /// Nobody watches while some move.
    fn cut_off(&mut self) {
        self.peers.clear();
        for _ in 0..3 {
            self.moving.publish();
            self.moving.settle();
        }
    }

    /// Everybody is back, and knows where everybody is.
    fn come_back(&mut self) {
        let newest: Vec<_> = self
            .moving
            .members()
            .map(|member| (member.session, member.counter))
            .collect();
        self.peers = storm(&self.server, &mut self.viewers, |table| {
            newest.iter().all(|(session, counter)| {
                table
                    .session(*session)
                    .is_some_and(|row| row.counter == *counter)
            })
        });
        for viewer in &self.viewers {
            let there = |session| viewer.table.session(session).is_some();
            let all = self.quiet.members().chain(self.moving.members());
            assert!(
                all.map(|member| member.session).all(there),
                "nobody is missing"
            );
        }
    }
}

/// All viewers become members.
fn import(server: &Server, names: &[String]) {
    for names in names.chunks(500) {
        let line = |name: &String| format!("{{\"user\":\"{name}\",\"rights\":[\"watch\"]}}\n");
        let lines: String = names.iter().map(line).collect();
        let answer = Request::new("POST", "/v1/chats/crowd/members")
            .text(&lines)
            .send(server.ready.control);
        answer.expect_success("an import");
    }
}

fn assert_no_more(before: u64, after: u64, slack: u64) {
    eprintln!("---- {before} bytes before, {after} after");
    assert!(
        after <= before + before / 10 + slack,
        "{before} bytes before, {after} after"
    );
}

fn all_come_back_after_a_crash(cores: Cores) {
    let _alone = turns::alone_if_full();
    let mut crowd = Crowd::gather(cores);
    let before = crowd.memory();
    crowd.cut_off();
    crowd.server.crash_and_restart();
    crowd.come_back();
    assert_no_more(before, crowd.memory(), memory_slack());
}

fn all_come_back_after_a_cut(cores: Cores) {
    let _alone = turns::alone_if_full();
    let mut crowd = Crowd::gather(cores);
    crowd.storms(STORMS_BEFORE);
    let before = crowd.least_memory();
    crowd.storms(STORMS);
    assert_no_more(before, crowd.least_memory(), memory_slack());
    let all = crowd.peers.len() as f64;
    wait::until("those of before are gone", PATIENCE, || {
        crowd.server.metrics().sum("skein_viewers") == all
    });
}
