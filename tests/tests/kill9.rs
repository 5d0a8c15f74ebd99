//! `kill -9` at random moments under load, again and again: nothing acknowledged is lost, nothing
//! ended comes back, offsets stay dense, and viewers that were there all the time converge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at, position_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, Received, live, name};
use skein_tests::process;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::ids::{SessionId, ShareNumber};
use skein_wire::request::{Delivery, Request, ShareResume, ShareStart, ShareStop};
use skein_wire::update::{Accepted, Update};

on_one_and_two_shards!(nothing_acknowledged_is_lost);

/// Kills of a usual run; `SKEIN_FULL` makes it [`KILLS_FULL`], `SKEIN_KILLS` any number.
const KILLS: u64 = 20;

/// Kills of a full run.
const KILLS_FULL: u64 = 200;

/// The chat.
const CHAT: &str = "storm";

/// Senders, each with a connection of its own.
const SENDERS: usize = 3;

/// Live sessions of one sender.
const LIVE_MAX: usize = 3;

/// Longest time under load before a kill.
const LOAD_MS_MAX: u64 = 400;

/// One in so many points asks for a durable acknowledgement.
const DURABLE_EVERY: u64 = 3;

/// What a sender knows of one session.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its number for its path.
    index: usize,
    /// Highest counter that was sent.
    sent: u64,
    /// Highest counter said to be in.
    accepted: u64,
    /// Highest counter said to be durable.
    durable: u64,
    /// A stop was asked for.
    stopping: bool,
    /// The stop was acknowledged as durable.
    stopped: bool,
}

/// A sender that works until its connection breaks, and remembers what it was told.
struct Worker {
    user: String,
    token: String,
    number: usize,
    known: BTreeMap<SessionId, Known>,
    started: usize,
    /// The key of a start that has had no answer yet.
    unanswered: Option<String>,
    /// Whether it was sent on this connection.
    asked: bool,
    random: u64,
}

impl Worker {
    fn next_random(&mut self, below: u64) -> u64 {
        // xorshift64: the order of choices depends on the seed alone.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Works until `stop` or the end of the connection.
    fn work(&mut self, server: std::net::SocketAddr, stop: &AtomicBool) {
        let connected = Peer::try_connect(server, &self.token, &Default::default());
        let Ok(mut peer) = connected else {
            return;
        };
        self.asked = false;
        let Some(mut shares) = self.resume_all(&mut peer) else {
            return;
        };
        let mut stops = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            if !self.step(&mut peer, &mut shares, &mut stops) {
                return;
            }
        }
    }

    /// Binds what should go on to the new connection. `None`: the connection broke.
    fn resume_all(&mut self, peer: &mut Peer) -> Option<BTreeMap<ShareNumber, SessionId>> {
        let mut shares = BTreeMap::new();
        for (session, known) in self.known.iter_mut().filter(|(_, known)| !known.stopped) {
            let asked = peer.next_request();
            let resume = Request::ShareResume(ShareResume {
                request: asked,
                chat: name(CHAT),
                session: *session,
            });
            if !peer.try_send(&[resume]) {
                return None;
            }
            let answer = peer.pick(PATIENCE, |update| match update {
                Update::Shared(shared) if shared.request == asked => Some(Ok(*shared)),
                Update::Refused(refused) if refused.request == asked => Some(Err(refused.clone())),
                _ => None,
            })?;
            match answer {
                Ok(shared) => {
                    let last = shared.counter_last.0;
                    let lost = known.accepted.max(known.durable) > last;
                    assert!(!lost, "{session}: {known:?}, but the server has {last}");
                    known.sent = known.sent.max(last);
                    // A stop that was not acknowledged may be lost: then the session goes on.
                    known.stopping = false;
                    shares.insert(shared.share, *session);
                }
                // It was applied, though the word did not arrive: from now on it must stay so.
                Err(_) if known.stopping => known.stopped = true,
                Err(refused) => panic!("{session} was acknowledged and is lost: {refused:?}"),
            }
        }
        Some(shares)
    }

    /// One round: points of all sessions, now and then a start or a stop. False: the end.
    fn step(
        &mut self,
        peer: &mut Peer,
        shares: &mut BTreeMap<ShareNumber, SessionId>,
        stops: &mut BTreeMap<u32, SessionId>,
    ) -> bool {
        let mut requests = Vec::new();
        for (share, session) in &*shares {
            let known = self
                .known
                .get_mut(session)
                .expect("bound sessions are known");
            known.sent += 1;
            let durable = known.sent.is_multiple_of(DURABLE_EVERY);
            requests.push(live(*share, point_at(known.index, known.sent), durable));
        }
        if let Some(key) = self.unanswered.clone() {
            // Asked once on this connection; the same key on the next one if no answer comes.
            if !self.asked {
                self.asked = true;
                requests.push(start(peer, key));
            }
        } else if shares.len() < LIVE_MAX {
            self.started += 1;
            let key = format!("{}-{}", self.user, self.started);
            self.unanswered = Some(key.clone());
            self.asked = true;
            requests.push(start(peer, key));
        } else if self.next_random(8) == 0 {
            let (share, session) = shares.pop_first().expect("there are some");
            let request = peer.next_request();
            stops.insert(request.0, session);
            self.known.get_mut(&session).expect("known").stopping = true;
            requests.push(Request::ShareStop(ShareStop { request, share }));
        }
        if !peer.try_send(&requests) {
            return false;
        }
        let end = Instant::now() + Duration::from_millis(5 + self.next_random(10));
        loop {
            match peer.receive(end.saturating_duration_since(Instant::now())) {
                Some(Received::Update(update)) => self.note(update, shares, stops),
                Some(Received::Closed(_)) => return false,
                None => return true,
            }
        }
    }

    fn note(
        &mut self,
        update: Update,
        shares: &mut BTreeMap<ShareNumber, SessionId>,
        stops: &mut BTreeMap<u32, SessionId>,
    ) {
        match update {
            Update::Shared(shared) => {
                self.unanswered = None;
                shares.insert(shared.share, shared.session);
                let index = self.number * 10_000 + self.started;
                self.known.entry(shared.session).or_insert(Known {
                    index,
                    ..Known::default()
                });
            }
            Update::Accepted(accepted) => self.note_accepted(&accepted, shares),
            Update::Done(done) if done.durable => {
                if let Some(session) = stops.remove(&done.request.0) {
                    self.known.get_mut(&session).expect("known").stopped = true;
                }
            }
            Update::Refused(refused) => panic!("{}: {refused:?}", self.user),
            _ => {}
        }
    }

    fn note_accepted(&mut self, accepted: &Accepted, shares: &BTreeMap<ShareNumber, SessionId>) {
        // A share that was stopped meanwhile has no number any more.
        if let Some(session) = shares.get(&accepted.share) {
            let known = self
                .known
                .get_mut(session)
                .expect("bound sessions are known");
            known.accepted = known.accepted.max(accepted.counter.0);
            known.durable = known.durable.max(accepted.durable.0);
        }
    }
}

fn start(peer: &mut Peer, idempotency_key: String) -> Request {
    Request::ShareStart(ShareStart {
        request: peer.next_request(),
        chat: name(CHAT),
        duration_s: 3_600,
        idempotency_key,
        sealed: false,
    })
}

fn nothing_acknowledged_is_lost(cores: Cores) {
    let default = if skip::full() { KILLS_FULL } else { KILLS };
    let kills = skip::number("SKEIN_KILLS", default);
    let seed = skip::number("SKEIN_SEED", now_ms());
    eprintln!("---- {kills} kills with SKEIN_SEED={seed}");

    let mut server = Server::start(cores);
    server.add_member(CHAT, "viewer");
    let token = server.token("viewer");
    let watches = [server.quic_url(), server.ws_url()]
        .map(|url| WatchRun::start(&url, CHAT, &token, &["--delivery", "latest"]));
    let mut workers: Vec<Worker> = (0..SENDERS)
        .map(|number| {
            let user = format!("worker-{number}");
            server.add_member(CHAT, &user);
            Worker {
                token: server.token(&user),
                user,
                number,
                known: BTreeMap::new(),
                started: 0,
                unanswered: None,
                asked: false,
                random: seed.wrapping_mul(2) + 2 * number as u64 + 1,
            }
        })
        .collect();
    for kill in 0..kills {
        let load = workers[0].next_random(LOAD_MS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let address = server.ready.http;
        workers = thread::scope(|scope| {
            let handles: Vec<_> = workers
                .into_iter()
                .map(|mut worker| {
                    let stop = Arc::clone(&stop);
                    scope.spawn(move || {
                        worker.work(address, &stop);
                        worker
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(load));
            server.process.kill();
            stop.store(true, Ordering::Relaxed);
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a worker"))
                .collect()
        });
        verify_offsets(&server, kill);
        server.restart();
        check(&server, &workers, kill);
    }
    converge(&server, &workers, &watches);
}

fn verify_offsets(server: &Server, kill: u64) {
    let place = server.data_dir().display().to_string();
    let ended = process::run(["log", "verify", "--data-dir", &place]);
    ended.expect_success(&format!("log verify after kill {kill}"));
}

/// A new viewer's whole table.
fn table_of(server: &Server, expected: usize) -> Table {
    let mut viewer = Peer::connect(server.ready.http, &server.token("viewer"));
    viewer.watch(CHAT, None, Delivery::Latest);
    let mut table = Table::default();
    wait::until("all rows", PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(20)) {
            table.apply(batch);
        }
        // A chat that nobody has named in the log yet has no rows and no first batch.
        expected == 0 || table.rows().count() >= expected
    });
    table
}

fn check(server: &Server, workers: &[Worker], kill: u64) {
    let all = workers.iter().flat_map(|worker| &worker.known);
    let must_live = all.clone().filter(|(_, known)| !known.stopping).count();
    let table = table_of(server, must_live);
    let alive: BTreeSet<SessionId> = table.live().map(|row| row.session).collect();
    for (session, known) in all {
        let row = table.session(*session);
        if known.stopped {
            assert!(
                !alive.contains(session),
                "kill {kill}: {session} came back: {known:?}"
            );
        }
        if known.stopping {
            continue;
        }
        assert!(
            alive.contains(session),
            "kill {kill}: {session} is gone: {known:?}"
        );
        let counter = row.map_or(0, |row| row.counter);
        assert!(
            counter >= known.durable,
            "kill {kill}: durable {known:?}, but {counter} is there"
        );
        assert!(
            counter >= known.accepted,
            "kill {kill}: accepted {known:?}, but {counter} is there"
        );
        assert!(
            counter <= known.sent,
            "kill {kill}: {counter} of {known:?} was never sent"
        );
        let seen = row.and_then(|row| row.points.last());
        if let Some(seen) = seen {
            let sent = position_at(known.index, counter);
            assert_eq!(
                seen.position,
                Some(sent),
                "kill {kill}: {session} at {counter}"
            );
        }
    }
}

/// The viewers that were there all the time show what a new one shows.
fn converge(server: &Server, workers: &[Worker], watches: &[WatchRun]) {
    let live = workers.iter().flat_map(|worker| &worker.known);
    let expected = live.filter(|(_, known)| !known.stopping).count();
    let table = table_of(server, expected);
    for watch in watches {
        for row in table.live().filter(|row| row.counter > 0) {
            let session = row.session.to_string();
            let what = format!("{session} at {}", row.counter);
            watch.wait(&what, PATIENCE, |_| {
                let last = watch.points_of(&session).last().map(|point| point.counter);
                (last == Some(row.counter)).then_some(())
            });
        }
    }
}
