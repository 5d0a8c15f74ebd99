//! A removed member sees nothing more, on no connection and no shard, from the acknowledgement on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at};
use skein_tests::http::Request as HttpRequest;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{self, Peer, Received, live, name};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::PATIENCE;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::ids::RequestNumber;
use skein_wire::request::{Delivery, Request, ShareStart};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_removed_member_sees_nothing_more,
    the_session_of_a_removed_member_ends_everywhere,
    fewer_rights_end_what_they_covered,
    a_removal_is_felt_everywhere_within_a_second,
);

/// Connections of the removed member: enough to sit on both shards.
const CONNECTIONS: usize = 12;

/// How long a removed member listens for what must not come.
const LISTEN: Duration = Duration::from_millis(500);

fn a_removed_member_sees_nothing_more(cores: Cores) {
    let mut server = Server::start(cores);
    let running = Fleet::start(&server, "club", 8).run(Duration::from_millis(20));
    server.add_member("club", "ben");
    let token = server.token("ben");
    let mut watches: Vec<(Peer, Table)> = (0..CONNECTIONS)
        .map(|_| {
            let mut peer = Peer::connect(server.ready.http, &token);
            peer.watch("club", None, Delivery::Every);
            let mut table = Table::default();
            table.apply(peer.batch(PATIENCE).expect("a member sees the chat"));
            (peer, table)
        })
        .collect();
    let by_quic = WatchRun::start(&server.quic_url(), "club", &token, &[]);
    by_quic.wait("the chat", PATIENCE, |changes| {
        (changes.len() > 20).then_some(())
    });

    server.remove_member("club", "ben");
    // Every point with a greater counter was sent after the acknowledgement.
    let mut fleet = running.stop();
    let after = fleet
        .members()
        .map(|member| member.counter)
        .max()
        .expect("sessions");
    for _ in 0..5 {
        fleet.publish();
    }
    fleet.settle();
    for (peer, table) in &mut watches {
        assert_eq!(listen(peer, table), Some(Code::MembershipRevoked));
        let newest = table.rows().map(|row| row.counter).max().expect("rows");
        assert!(
            newest <= after,
            "point {newest} came after the revocation, {after} was before"
        );
    }
    let newest = by_quic
        .changes()
        .iter()
        .filter_map(|c| c.point())
        .map(|p| p.counter)
        .max();
    assert!(
        newest <= Some(after),
        "point {newest:?} came by QUIC, {after} was before"
    );

    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        let mut again = Peer::connect(server.ready.http, &token);
        let refused = again
            .try_watch("club", None, Delivery::Latest)
            .expect_err("no member");
        assert_eq!(refused.code, Code::NotFound, "restarted: {restarted}");
        let unknown = again
            .try_watch("no such chat", None, Delivery::Latest)
            .expect_err("no chat");
        assert_eq!(
            unknown.code, refused.code,
            "absent and forbidden look the same"
        );
        assert_eq!(
            unknown.text, refused.text,
            "absent and forbidden look the same"
        );
    }
}

/// Applies what a connection still gets; why its watch ended, if it did.
fn listen(peer: &mut Peer, table: &mut Table) -> Option<Code> {
    let mut ended = None;
    loop {
        match peer.receive(LISTEN) {
            Some(Received::Update(Update::WatchEnded(watch))) => ended = Some(watch.code),
            Some(Received::Update(Update::Batch(body))) => {
                assert_eq!(ended, None, "a batch after the end of the watch");
                table.apply(Batch::decode(&body).expect("a batch"));
            }
            Some(Received::Closed(closed)) => return ended.or(closed.protocol_code()),
            Some(Received::Update(_)) => {}
            None => return ended,
        }
    }
}

fn the_session_of_a_removed_member_ends_everywhere(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("club", "ben");
    server.add_member("club", "eve");
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let shared = ben.share("club", 600, "walk");
    ben.point(shared.share, point_at(1, 1));
    ben.accepted(shared.share, skein_wire::ids::Counter(1));
    let token = server.token("eve");
    let watches: Vec<WatchRun> = [server.quic_url(), server.ws_url()]
        .iter()
        .map(|url| WatchRun::start(url, "club", &token, &[]))
        .collect();
    let session = shared.session.to_string();
    for watch in &watches {
        watch.wait("the point", PATIENCE, |_| {
            (!watch.points_of(&session).is_empty()).then_some(())
        });
    }
    server.remove_member("club", "ben");
    for counter in 2..6 {
        // Refused, or the connection has lost the share: never taken.
        ben.try_send(&[live(shared.share, point_at(1, counter), false)]);
    }
    for watch in &watches {
        assert_eq!(watch.wait_ended(&session, PATIENCE), "revoked");
        let points = watch.points_of(&session);
        assert_eq!(points.len(), 1, "no point after the end: {points:?}");
        let changes = watch.changes();
        let last = changes.iter().rfind(|change| change.session() == session);
        assert_eq!(last.map(|change| change.kind()), Some("ended"));
    }
    let refused = ben.try_share("club", 600, "again").expect_err("no member");
    assert_eq!(refused.code, Code::NotFound);
}

fn fewer_rights_end_what_they_covered(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("club", "ben");
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let shared = ben.share("club", 600, "walk");
    ben.point(shared.share, point_at(1, 1));
    ben.watch("club", None, Delivery::Latest);
    ben.batch(PATIENCE).expect("a batch");
    // No watching any more; sharing goes on.
    server
        .put_member("club", "ben", &["share"])
        .expect_success("fewer rights");
    let code = ben.expect("the end of the watch", |update| match update {
        Update::WatchEnded(ended) => Some(ended.code),
        _ => None,
    });
    assert_eq!(code, Code::MembershipRevoked);
    ben.durable_point(shared.share, point_at(1, 2));
    // No sharing either.
    server
        .put_member("club", "ben", &["watch"])
        .expect_success("other rights");
    ben.expect("the end of the share", |update| match update {
        Update::ShareEnded(ended) if ended.share == shared.share => Some(()),
        _ => None,
    });
    let refused = ben
        .try_share("club", 600, "again")
        .expect_err("no right to share");
    assert_eq!(refused.code, Code::NotFound);
    ben.watch("club", None, Delivery::Latest);
}

/// What is promised.
const FELT_WITHIN: Duration = Duration::from_secs(1);

/// A thread that is due and waits this long for its turn is on a machine too busy to be judged by.
const BUSY: Duration = Duration::from_millis(250);

/// Connections by each transport, enough to sit on both shards.
const PER_TRANSPORT: usize = 6;

/// Watches and shares in `club`.
fn member(server: &Server, number: usize) -> Talker {
    let transport = TRANSPORTS[number % TRANSPORTS.len()];
    let mut talker = Talker::connect(server, transport, &server.token("ben"));
    talker.send(peer::watch(
        RequestNumber(1),
        "club",
        None,
        Delivery::Latest,
    ));
    talker.send(Request::ShareStart(ShareStart {
        request: RequestNumber(2),
        chat: name("club"),
        duration_s: 600,
        idempotency_key: format!("device {number}"),
        sealed: false,
    }));
    talker.expect("a watch", |update| {
        matches!(update, Update::Watching(_)).then_some(())
    });
    talker.expect("a session", |update| {
        matches!(update, Update::Shared(_)).then_some(())
    });
    talker
}

/// Waits until watch and share have ended, and says when the later one did.
fn both_ended(talker: &mut Talker) -> Instant {
    let (mut watch, mut share) = (false, false);
    while !(watch && share) {
        talker.expect("the end of watch and share", |update| match update {
            Update::WatchEnded(ended) => {
                assert_eq!(ended.code, Code::MembershipRevoked);
                watch = true;
                Some(())
            }
            Update::ShareEnded(_) => {
                share = true;
                Some(())
            }
            _ => None,
        });
    }
    Instant::now()
}

/// How late a thread that only sleeps has its turn, at worst, until it is over.
fn lateness(is_over: &AtomicBool) -> Duration {
    const NAP: Duration = Duration::from_millis(5);
    let mut worst = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        thread::sleep(NAP);
        worst = worst.max(began.elapsed() - NAP);
    }
    worst
}

/// How long a removal takes to be acknowledged, and to be felt on the last connection; and how late threads
/// were meanwhile.
fn removal(server: &Server, cores: Cores) -> (Duration, Duration, Duration) {
    server.add_member("club", "ben");
    let mut talkers: Vec<Talker> = (0..PER_TRANSPORT * TRANSPORTS.len())
        .map(|number| member(server, number))
        .collect();
    // Metrics are published once a second at most.
    skein_tests::wait::until("they sit on every shard", PATIENCE, || {
        let viewers = server.metrics().by_shard("skein_viewers");
        let total: f64 = viewers.iter().map(|(_, count)| count).sum();
        total as usize == talkers.len()
            && viewers.len() == cores.count()
            && viewers.iter().all(|(_, count)| *count > 0.0)
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let late = scope.spawn(|| lateness(&is_over));
        let waiting: Vec<_> = talkers
            .iter_mut()
            .map(|talker| scope.spawn(|| both_ended(talker)))
            .collect();
        let began = Instant::now();
        HttpRequest::new("DELETE", "/v1/chats/club/members/ben")
            .send(server.ready.control)
            .expect_success("a removal");
        let acknowledged = began.elapsed();
        let ended = waiting.into_iter().map(|it| it.join().expect("no panic"));
        let felt = ended.max().expect("some") - began;
        is_over.store(true, Ordering::Relaxed);
        (acknowledged, felt, late.join().expect("no panic"))
    })
}

fn a_removal_is_felt_everywhere_within_a_second(cores: Cores) {
    let server = Server::start_with(Options {
        configuration: "[limits]\nsessions_per_user_max = 64\n".to_owned(),
        ..Options::new(cores)
    });
    let mut busy = Duration::ZERO;
    for _ in 0..2 {
        let (acknowledged, felt, late) = removal(&server, cores);
        println!("acknowledged after {acknowledged:?}, felt after {felt:?}; threads {late:?} late");
        if acknowledged.max(felt) < FELT_WITHIN {
            return;
        }
        assert!(
            late > BUSY,
            "acknowledged after {acknowledged:?}, felt after {felt:?}"
        );
        busy = late;
    }
    let why = format!("threads of this machine wait {busy:?} for their turn");
    skip::say("how soon a removal is felt", &why);
}
