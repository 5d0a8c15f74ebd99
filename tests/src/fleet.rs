//! Many senders at once, each with a known path, so that every received point can be checked.
//!
//! A fleet is members with a few sessions each, over WebSocket. Where a session is after so many
//! points is a function of its number and the counter: nothing has to be remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skein_server::access::signer::TokenSigner;
use skein_wire::ids::{SessionId, ShareNumber, UserName};
use skein_wire::point::{Point, Position};
use skein_wire::update::{Accepted, Update};

use crate::peer::{Peer, Received, live, point};
use crate::server::Server;
use crate::wait;

/// Seconds that a session of a fleet lasts: longer than any test.
const DURATION_S: u32 = 3_600;

/// Seconds that a fleet's token is good for: longer than any test.
const TOKEN_TTL_S: u64 = 7_200;

/// Sessions that one user may have in a chat.
pub const SESSIONS_PER_USER: usize = 4;

/// Pause between two looks for acknowledgements.
const LISTEN: Duration = Duration::from_millis(20);

/// One session of a fleet.
#[derive(Clone, Debug)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// Its number on its connection.
    pub share: ShareNumber,
    /// Its number in the fleet, from 0.
    pub index: usize,
    /// The last counter that was sent.
    pub counter: u64,
    /// Up to which counter the server has said that points are in.
    pub accepted: u64,
    /// Points that were refused or superseded.
    pub verdicts: u64,
}

struct Sender {
    peer: Peer,
    members: Vec<Member>,
}

/// Senders in one chat.
pub struct Fleet {
    senders: Vec<Sender>,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as u64
}

/// Where session number `index` is at its point `counter`.
pub fn position_at(index: usize, counter: u64) -> Position {
    Position {
        lat_e6: 47_000_000 + index as i32 * 101 + (counter % 5_000) as i32,
        lon_e6: 8_000_000 + index as i32 * 37 - (counter / 5_000) as i32,
    }
}

/// Point number `counter` of session number `index`.
pub fn point_at(index: usize, counter: u64) -> Point {
    let captured_at_ms = now_ms() as i64;
    point(counter, position_at(index, counter), captured_at_ms)
}

impl Server {
    /// A token without a process of its own, for crowds.
    ///
    /// # Panics
    /// If the server has made no key: it is not in development mode.
    pub fn quick_token(&self, user: &str) -> String {
        let path = self.data_dir().join("keys").join("token.pem");
        let signer = TokenSigner::open(&path).expect("the key of a development server");
        let user = UserName::new(user).expect("a user's name");
        signer.mint(&user, TOKEN_TTL_S, now_ms()).expect("a token")
    }
}

impl Fleet {
    /// Starts `sessions` sessions in `chat`, of as many members as that takes.
    pub fn start(server: &Server, chat: &str, sessions: usize) -> Self {
        Self::start_from(server, chat, 0, sessions)
    }

    /// The same, beside a fleet that has the numbers below `from`.
    pub fn start_from(server: &Server, chat: &str, from: usize, sessions: usize) -> Self {
        let mut senders = Vec::new();
        let end = from + sessions;
        for first in (from..end).step_by(SESSIONS_PER_USER) {
            let user = format!("sender-{first}");
            let added = server.put_member(chat, &user, &["share", "watch"]);
            added.expect_success("a member of the fleet");
            let mut peer = Peer::connect(server.ready.http, &server.quick_token(&user));
            let count = SESSIONS_PER_USER.min(end - first);
            let members = (first..first + count)
                .map(|index| {
                    let shared = peer.share(chat, DURATION_S, &format!("fleet-{index}"));
                    Member {
                        session: shared.session,
                        share: shared.share,
                        index,
                        counter: shared.counter_last.0,
                        accepted: 0,
                        verdicts: 0,
                    }
                })
                .collect();
            senders.push(Sender { peer, members });
        }
        Self { senders }
    }

    /// Each session sends its next point.
    ///
    /// # Panics
    /// If a connection is gone.
    pub fn publish(&mut self) {
        self.senders.iter_mut().for_each(Sender::publish);
    }

    /// Waits until every last point is acknowledged.
    ///
    /// # Panics
    /// If one is not.
    pub fn settle(&mut self) {
        for sender in &mut self.senders {
            wait::until("the last points are acknowledged", wait::PATIENCE, || {
                let behind = |member: &Member| member.accepted < member.counter;
                if sender.members.iter().any(behind) {
                    sender.listen(LISTEN);
                }
                !sender.members.iter().any(behind)
            });
        }
    }

    /// The sessions.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.senders.iter().flat_map(|sender| &sender.members)
    }

    /// Publishes at this interval in a thread until told to stop.
    pub fn run(self, interval: Duration) -> Running {
        let all = self.senders.len().max(1);
        self.run_parts(interval, all)
    }

    /// The same, but each connection at a moment of its own within the interval, as people do. All of them
    /// have sent as often when it stops.
    pub fn run_spread(self, interval: Duration) -> Running {
        let pause = interval / self.senders.len().max(1) as u32;
        self.run_parts(pause, 1)
    }

    /// So many connections send, then comes the pause, then the next of them send.
    fn run_parts(mut self, pause: Duration, at_once: usize) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut next = Instant::now();
            while !told.load(Ordering::Relaxed) {
                for senders in self.senders.chunks_mut(at_once) {
                    senders.iter_mut().for_each(Sender::publish);
                    next += pause;
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }
            self
        });
        Running { stop, thread }
    }
}

impl Sender {
    /// Each of its sessions sends its next point.
    fn publish(&mut self) {
        let mut requests = Vec::new();
        for member in &mut self.members {
            member.counter += 1;
            let point = point_at(member.index, member.counter);
            requests.push(live(member.share, point, false));
        }
        self.peer.send(&requests);
        self.listen(Duration::ZERO);
    }

    /// Takes what the server says within `limit`, so that it never waits for this sender.
    fn listen(&mut self, limit: Duration) {
        loop {
            match self.peer.receive(limit) {
                Some(Received::Update(Update::Accepted(accepted))) => self.note(&accepted),
                Some(Received::Update(Update::Refused(refused))) => panic!("refused: {refused:?}"),
                Some(Received::Update(_)) => {}
                Some(Received::Closed(closed)) => panic!("a sender was closed: {closed:?}"),
                None => return,
            }
        }
    }

    fn note(&mut self, accepted: &Accepted) {
        let own = self
            .members
            .iter_mut()
            .find(|member| member.share == accepted.share);
        if let Some(member) = own {
            member.accepted = member.accepted.max(accepted.counter.0);
            member.verdicts += accepted.verdicts.len() as u64;
        }
    }
}

/// A fleet that publishes by itself.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Fleet>,
}

impl Running {
    /// Stops it and gives it back.
    ///
    /// # Panics
    /// If a connection was lost meanwhile.
    pub fn stop(self) -> Fleet {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the fleet kept its connections")
    }
}
