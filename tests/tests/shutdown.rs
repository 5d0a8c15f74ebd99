//! SIGTERM: everybody is told when to come back, and nothing is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at};
use skein_tests::http::{Line, Request};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Closed, Peer, Received};
use skein_tests::process;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::request::Delivery;
use skein_wire::update::{Goodbye, Update};

on_one_and_two_shards!(
    everybody_is_told_and_nothing_is_lost,
    who_hears_no_goodbye_is_cut,
    what_was_answered_while_it_stopped_is_kept,
);

/// Viewers that are told.
const VIEWERS: usize = 10;

fn everybody_is_told_and_nothing_is_lost(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 8);
    server.add_member("hike", "viewer");
    let token = server.token("viewer");
    let mut viewers: Vec<Peer> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect(server.ready.http, &token);
            viewer.watch("hike", None, Delivery::Latest);
            viewer
        })
        .collect();
    let by_quic = WatchRun::start(&server.quic_url(), "hike", &token, &[]);
    for _ in 0..10 {
        fleet.publish();
    }
    fleet.settle();
    by_quic.wait("the chat", PATIENCE, |changes| {
        (changes.len() >= 8).then_some(())
    });

    server.stop().expect_success("skein serve after SIGTERM");
    for viewer in &mut viewers {
        let (goodbye, closed) = last_words(viewer);
        let goodbye = goodbye.expect("a goodbye before the end");
        assert_eq!(goodbye.code, Code::GoingAway);
        assert!(goodbye.retry_after_ms > 0, "when to come back: {goodbye:?}");
        assert_eq!(closed.protocol_code(), Some(Code::GoingAway), "{closed:?}");
    }
    let place = server.data_dir().display().to_string();
    process::run(["log", "verify", "--data-dir", &place]).expect_success("log verify");

    server.restart();
    let mut viewer = Peer::connect(server.ready.http, &token);
    viewer.watch("hike", None, Delivery::Latest);
    let mut table = Table::default();
    wait::until("every session's last point", PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(50)) {
            table.apply(batch);
        }
        fleet.members().all(|member| {
            let row = table.session(member.session);
            row.is_some_and(|row| row.counter == member.counter && !row.state.is_ended())
        })
    });
    let member = fleet.members().next().expect("a session").clone();
    let mut sender = Peer::connect(server.ready.http, &server.quick_token("sender-0"));
    let resumed = sender
        .try_resume("hike", member.session)
        .expect("it goes on");
    let next = resumed.counter_last.0 + 1;
    sender.point(resumed.share, point_at(member.index, next));
    let session = member.session.to_string();
    by_quic.wait("the point after the restart", PATIENCE, |_| {
        let points = by_quic.points_of(&session);
        points
            .last()
            .is_some_and(|point| point.counter == next)
            .then_some(())
    });
}

fn who_hears_no_goodbye_is_cut(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "deaf");
    // It reads, and acknowledges, only within calls of its methods: not while the server stops.
    let mut deaf = QuicPeer::try_connect(server.ready.quic, &server.token("deaf")).expect("taken");
    server.stop().expect_success("skein serve after SIGTERM");
    // Else it would wait for its idle timeout. What lay in its socket may be told before that.
    let closed = loop {
        match deaf.receive(PATIENCE) {
            Some(Received::Closed(closed)) => break closed,
            Some(Received::Update(Update::Goodbye(_))) => {}
            other => panic!("not the end: {other:?}"),
        }
    };
    assert_eq!(closed.protocol_code(), Some(Code::GoingAway), "{closed:?}");
}

/// Chats that are written to while the server stops: with two shards, both own some.
const CHATS: usize = 6;

/// How long callers write before the server is told to stop.
const LOAD: Duration = Duration::from_millis(300);

/// What one caller was answered.
#[derive(Debug, Default)]
struct Answered {
    /// Counter of the last point, or number of the last member, that was answered with success.
    last: u64,
    /// How many of these answers came after the server was told to stop.
    late: u64,
}

fn what_was_answered_while_it_stopped_is_kept(cores: Cores) {
    let mut server = Server::start(cores);
    let chats: Vec<String> = (0..CHATS).map(|number| format!("late-{number}")).collect();
    let sessions: Vec<String> = chats.iter().map(|chat| begin(&server, chat)).collect();
    // A client that does not hear the goodbye: the shards linger for its sake, callers go on.
    let token = server.quick_token("ana");
    let _deaf: Vec<Peer> = (0..8)
        .map(|_| Peer::connect(server.ready.http, &token))
        .collect();

    let is_told = AtomicBool::new(false);
    let (public, control) = (server.ready.http, server.ready.control);
    let point = |chat: &str, session: &str, counter| {
        Request::new("POST", "/v1/points")
            .token(&token)
            .json(&points_body(chat, session, counter))
    };
    let member = |chat: &str, number| {
        let path = format!("/v1/chats/{chat}/members/member-{number}");
        Request::new("PUT", &path).json(&json!({ "rights": ["watch"] }))
    };
    let (points, members): (Vec<Answered>, Vec<Answered>) = thread::scope(|scope| {
        let callers: Vec<_> = chats
            .iter()
            .zip(&sessions)
            .map(|(chat, session)| {
                let points = scope
                    .spawn(|| write(public, &is_told, |counter| point(chat, session, counter)));
                let members =
                    scope.spawn(|| write(control, &is_told, |number| member(chat, number)));
                (points, members)
            })
            .collect();
        thread::sleep(LOAD);
        server.process.signal(Signal::TERM);
        is_told.store(true, Ordering::SeqCst);
        let joined = callers.into_iter().map(|(points, members)| {
            let points = points.join().expect("a caller of points");
            (points, members.join().expect("a caller of members"))
        });
        joined.unzip()
    });
    server
        .process
        .wait(PATIENCE)
        .expect_success("skein serve after SIGTERM");
    eprintln!("---- points {points:?}, members {members:?}");
    let late: u64 = points.iter().chain(&members).map(|one| one.late).sum();
    assert!(late > 0, "nobody was answered while the server stopped");

    let place = server.data_dir().display().to_string();
    let stat = process::run(["log", "stat", "--data-dir", &place]).expect_success("log stat");
    let (all, clean) = (
        stat.stdout.matches("partitions,").count(),
        stat.stdout.matches("closed cleanly").count(),
    );
    assert!(
        all == clean && !stat.stdout.contains("not closed"),
        "everything is on the disk: {}",
        stat.stdout
    );

    server.restart();
    for ((chat, answered), members) in chats.iter().zip(points).zip(members) {
        let positions = server.positions(chat, "ana");
        let counter = positions["positions"][0]["point"]["counter"].as_u64();
        assert!(
            counter >= Some(answered.last),
            "{chat}: {} was answered, {counter:?} is there",
            answered.last
        );
        let path = format!("/v1/chats/{chat}/members");
        let listed = Request::new("GET", &path).send(server.ready.control);
        let listed = listed.expect_success("the members").body;
        for number in 1..=members.last {
            assert!(
                listed.contains(&format!("\"member-{number}\"")),
                "{chat}: member {number} was answered"
            );
        }
    }
}

/// A chat with one member and a session of theirs.
fn begin(server: &Server, chat: &str) -> String {
    let added = server.put_member(chat, "ana", &["share", "watch"]);
    added.expect_success("a member");
    let started = server.start_session(chat, "ana", &json!({ "duration_s": 600 }));
    let started = started.expect_success("a session").json();
    started["session"].as_str().expect("an id").to_owned()
}

fn points_body(chat: &str, session: &str, counter: u64) -> Value {
    let at = point_at(1, counter);
    let points = json!([{
        "counter": counter, "captured_at": at.captured_at_ms, "lat": 45.5, "lon": 13.0,
    }]);
    // Every other one waits for the disk.
    let durable = counter.is_multiple_of(2);
    json!({ "chat": chat, "session": session, "durable": durable, "points": points })
}

/// Sends one request after the other until the server takes no more.
fn write(
    to: std::net::SocketAddr,
    is_told: &AtomicBool,
    request: impl Fn(u64) -> Request,
) -> Answered {
    let mut answered = Answered::default();
    let mut line = Line::open(to).expect("a connection");
    for number in 1.. {
        match line.send(&request(number)) {
            // Too many points are a success with a verdict.
            Ok(answer) if answer.json()["accepted"] == json!(0) => {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(answer) if (200..300).contains(&answer.status) => {
                answered.last = number;
                answered.late += u64::from(is_told.load(Ordering::SeqCst));
            }
            _ => break,
        }
    }
    answered
}

/// The goodbye, if there was one, and how the connection ended.
fn last_words(viewer: &mut Peer) -> (Option<Goodbye>, Closed) {
    let mut goodbye = None;
    loop {
        match viewer.receive(PATIENCE) {
            Some(Received::Update(Update::Goodbye(said))) => goodbye = Some(said),
            Some(Received::Update(_)) => {}
            Some(Received::Closed(closed)) => return (goodbye, closed),
            None => panic!("the connection is still open"),
        }
    }
}
