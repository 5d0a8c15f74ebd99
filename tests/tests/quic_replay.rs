//! Points as datagrams of QUIC and of WebTransport that come twice, late and in any order: each counts once,
//! the marker never goes back, and what was recorded means nothing when the session is over or to another
//! connection.

use std::net::SocketAddr;
use std::time::Duration;

use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Closed, Peer, Received, live, name};
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::ids::{Counter, RequestNumber, ShareNumber};
use skein_wire::request::{Delivery, Request, ShareStart, ShareStop};
use skein_wire::update::{Shared, Update};

on_one_and_two_shards!(
    datagrams_that_come_twice_and_in_any_order_count_once,
    so_do_those_of_webtransport,
);

/// Points of one session.
const POINTS: u64 = 60;

/// How far a datagram may be overtaken, and how often each comes.
const REACH: usize = 7;
const TIMES: usize = 3;

/// Between two datagrams: each is a change that viewers are told of by itself, within the rate of a session.
const PACE: Duration = Duration::from_millis(12);

/// Counters as a bad network delivers them: each several times, up to some places out of order. The numbers
/// are those of a generator with a fixed seed, so that a failure can be repeated.
fn disordered() -> Vec<u64> {
    let mut state: u64 = 42;
    let mut dice = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut all: Vec<u64> = (1..=POINTS).flat_map(|it| [it; TIMES]).collect();
    for at in 0..all.len() {
        let other = (at + dice(REACH * TIMES)).min(all.len() - 1);
        all.swap(at, other);
    }
    all
}

fn pick<T>(peer: &mut QuicPeer, what: &str, mut ask: impl FnMut(&Update) -> Option<T>) -> T {
    loop {
        match peer.receive(PATIENCE) {
            Some(Received::Update(update)) => {
                if let Some(found) = ask(&update) {
                    return found;
                }
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn share(peer: &mut QuicPeer) -> Shared {
    peer.send(&[Request::ShareStart(ShareStart {
        request: RequestNumber(1),
        chat: name("hike"),
        duration_s: 600,
        idempotency_key: String::new(),
        sealed: false,
    })]);
    pick(peer, "a session", |update| match update {
        Update::Shared(shared) => Some(*shared),
        _ => None,
    })
}

fn frame(share: ShareNumber, counter: u64) -> Request {
    live(share, point_at(1, counter), false)
}

fn datagrams_that_come_twice_and_in_any_order_count_once(cores: Cores) {
    datagrams_count_once(cores, QuicPeer::try_connect);
}

fn so_do_those_of_webtransport(cores: Cores) {
    datagrams_count_once(cores, QuicPeer::try_connect_web);
}

type Connect = fn(SocketAddr, &str) -> Result<QuicPeer, Closed>;

fn datagrams_count_once(cores: Cores, by: Connect) {
    let server = Server::start(cores);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let connect = |user: &str| {
        let peer = by(server.ready.quic, &server.token(user));
        peer.unwrap_or_else(|closed| panic!("{user}: {closed:?}"))
    };
    let mut ana = connect("ana");
    let shared = share(&mut ana);
    let mut viewer = Peer::connect(server.ready.http, &server.token("ben"));
    viewer.watch("hike", None, Delivery::Every);
    // From the empty session on, nothing is conflated.
    let mut table = Table::default();
    table.apply(viewer.batch(PATIENCE).expect("the session"));
    let sent = disordered();
    for counter in &sent {
        ana.send_datagram(&frame(shared.share, *counter), PACE);
    }
    let (mut last, mut superseded) = (Counter(0), Vec::new());
    while last < Counter(POINTS) || superseded.is_empty() {
        pick(&mut ana, "an acknowledgement", |update| match update {
            Update::Accepted(accepted) => {
                last = last.max(accepted.counter);
                for verdict in &accepted.verdicts {
                    assert_eq!(verdict.code, Code::Superseded, "{verdict:?}");
                    superseded.push(verdict.counter.0);
                }
                Some(())
            }
            _ => None,
        });
    }
    // In the order in which they were sent only what is greater than all before it counts.
    let mut greatest = 0;
    let mut expect = Vec::new();
    for counter in &sent {
        if *counter > greatest {
            greatest = *counter;
            expect.push(*counter);
        }
    }
    let shown = |table: &Table| -> Vec<u64> {
        let row = table.session(shared.session);
        row.map_or(Vec::new(), |row| {
            row.points.iter().map(|it| it.counter).collect()
        })
    };
    wait::until("the newest is shown", PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(50)) {
            table.apply(batch);
        }
        shown(&table).last() == Some(&POINTS)
    });
    let seen = shown(&table);
    assert!(
        seen.is_sorted_by(|a, b| a < b),
        "never back, none twice: {seen:?}"
    );
    // On one machine nothing overtakes anything else.
    assert_eq!(seen, expect);
    recorded_datagrams_mean_nothing_elsewhere(&server, &mut ana, connect("ben"), &shared);
    let after = shown(&table);
    while let Some(batch) = viewer.batch(Duration::from_millis(200)) {
        table.apply(batch);
    }
    assert_eq!(shown(&table), after, "nothing of it was shown");
}

/// Neither to another connection, nor after the end.
fn recorded_datagrams_mean_nothing_elsewhere(
    server: &Server,
    ana: &mut QuicPeer,
    mut ben: QuicPeer,
    shared: &Shared,
) {
    let replayed = frame(shared.share, POINTS + 1);
    ben.send_datagram(&replayed, PACE);
    let refused = |update: &Update| match update {
        Update::Refused(refused) => Some(refused.code),
        _ => None,
    };
    assert_eq!(pick(&mut ben, "a refusal", refused), Code::UnknownShare);
    ana.send(&[Request::ShareStop(ShareStop {
        request: RequestNumber(2),
        share: shared.share,
    })]);
    pick(ana, "the end", |update| {
        matches!(update, Update::Done(_)).then_some(())
    });
    ana.send_datagram(&replayed, PACE);
    let sessions = server.sessions("hike", "ben");
    assert_eq!(
        sessions["sessions"].as_array().map(Vec::len),
        Some(0),
        "{sessions}"
    );
}
