//! A session's life by HTTP and by the operator's hand: start, extend, stop, expire, fall silent.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_session_lives_by_http_alone,
    a_session_expires_once_and_on_time,
    an_operator_starts_extends_lists_and_stops,
    a_silent_sender_is_stale_once_and_comes_back,
    every_session_and_its_end_is_an_event,
);

/// How much later than its time a session may end: the server's clock ticks, a loaded machine waits.
const LATE_MS_MAX: u64 = 1_500;

fn watch(server: &Server, chat: &str) -> WatchRun {
    server.add_member(chat, "viewer");
    WatchRun::start(&server.quic_url(), chat, &server.token("viewer"), &[])
}

fn count(watch: &WatchRun, session: &str, kind: &str) -> usize {
    let all = watch.changes();
    all.iter()
        .filter(|c| c.session() == session && c.kind() == kind)
        .count()
}

fn a_session_lives_by_http_alone(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("post", "ana");
    let watch = watch(&server, "post");
    let token = server.token("ana");
    let started = server.start_session("post", "ana", &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    let session = started["session"]
        .as_str()
        .expect("a session id")
        .to_owned();
    // Who sees the session is watching, and misses none of its points.
    assert_eq!(watch.wait_session_of("ana"), session);
    for counter in 1..=3 {
        let at = point_at(1, counter);
        let points = json!([{
            "counter": counter, "captured_at": at.captured_at_ms, "lat": 45.5, "lon": 13.0 + counter as f64,
        }]);
        let body = json!({ "chat": "post", "session": session, "points": points });
        let answer = Request::new("POST", "/v1/points").token(&token).json(&body);
        let answer = answer
            .send(server.ready.http)
            .expect_success("points")
            .json();
        assert_eq!(
            (&answer["counter_last"], &answer["accepted"]),
            (&json!(counter), &json!(1))
        );
    }
    watch.wait("three points", PATIENCE, |_| {
        (watch.points_of(&session).len() == 3).then_some(())
    });
    let positions = server.positions("post", "viewer");
    let point = &positions["positions"][0]["point"];
    assert_eq!(
        (point["counter"].as_u64(), point["lon"].as_f64()),
        (Some(3), Some(16.0))
    );

    let path = format!("/v1/chats/post/sessions/{session}");
    let longer = Request::new("PATCH", &path)
        .token(&token)
        .json(&json!({ "duration_s": 1_200 }));
    let longer = longer
        .send(server.ready.http)
        .expect_success("an extension")
        .json();
    assert!(
        longer["expires_at"].as_u64() > started["expires_at"].as_u64(),
        "{longer}"
    );
    let stop = || {
        Request::new("DELETE", &path)
            .token(&token)
            .send(server.ready.http)
    };
    stop().expect_success("a stop");
    assert_eq!(watch.wait_ended(&session, PATIENCE), "stopped");
    let again = stop().status;
    assert!(
        [200, 204, 410].contains(&again),
        "a second stop is no fault: {again}"
    );
    assert_eq!(server.positions("post", "viewer")["positions"], json!([]));
    assert_eq!(count(&watch, &session, "ended"), 1);
}

fn a_session_expires_once_and_on_time(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("brief", "ana");
    let watch = watch(&server, "brief");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("brief", 2, "brief");
    ana.point(shared.share, point_at(1, 1));
    let session = shared.session.to_string();
    assert_eq!(watch.wait_ended(&session, PATIENCE), "expired");
    let late = now_ms().saturating_sub(shared.expires_at_ms);
    assert!(
        now_ms() + 50 >= shared.expires_at_ms,
        "it ended before its time"
    );
    assert!(late < LATE_MS_MAX, "it ended {late} ms late");
    ana.expect("the end of the share", |update| match update {
        skein_wire::update::Update::ShareEnded(ended) => {
            (ended.share == shared.share).then_some(())
        }
        _ => None,
    });
    thread::sleep(Duration::from_secs(1));
    assert_eq!(count(&watch, &session, "ended"), 1);
    assert_eq!(server.sessions("brief", "ana")["sessions"], json!([]));
}

fn an_operator_starts_extends_lists_and_stops(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("ops", "ana");
    let started = server.session(&[
        "start",
        "--chat",
        "ops",
        "--user",
        "ana",
        "--duration",
        "15m",
    ]);
    let session = started
        .expect_success("session start")
        .stdout
        .trim()
        .to_owned();
    let list = || {
        server
            .session(&["list", "--chat", "ops"])
            .expect_success("session list")
            .stdout
    };
    assert!(list().contains(&session), "{}", list());
    let extend = [
        "extend",
        "--chat",
        "ops",
        "--session",
        &session,
        "--duration",
        "1h",
    ];
    server.session(&extend).expect_success("session extend");
    server
        .session(&["stop", "--chat", "ops", "--session", &session])
        .expect_success("session stop");
    assert!(!list().contains(&session), "{}", list());
    let stranger = server.session(&[
        "start",
        "--chat",
        "ops",
        "--user",
        "eve",
        "--duration",
        "15m",
    ]);
    assert_eq!(stranger.code(), Some(1), "{}", stranger.stderr);
    assert!(
        stranger.stderr.starts_with("error: "),
        "{}",
        stranger.stderr
    );
}

fn a_silent_sender_is_stale_once_and_comes_back(cores: Cores) {
    let server = Server::start_with(Options {
        configuration: "[limits]\nstale_after_ms = 2000\n".to_owned(),
        ..Options::new(cores)
    });
    server.add_member("calm", "ana");
    let watch = watch(&server, "calm");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("calm", 600, "calm");
    ana.point(shared.share, point_at(1, 1));
    let session = shared.session.to_string();
    let stale = |times: usize| {
        wait::until("the sender is stale", PATIENCE, || {
            count(&watch, &session, "stale") == times
        });
    };
    stale(1);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(count(&watch, &session, "stale"), 1, "once for each silence");
    ana.point(shared.share, point_at(1, 2));
    watch.wait("the second point", PATIENCE, |_| {
        (watch.points_of(&session).len() == 2).then_some(())
    });
    stale(2);
}

fn every_session_and_its_end_is_an_event(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("news", "ana");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let stopped = ana.share("news", 600, "stopped");
    ana.stop(stopped.share);
    let expired = ana.share("news", 1, "expired");
    let (stopped, expired) = (stopped.session.to_string(), expired.session.to_string());
    let complete = |events: &[Value]| {
        let of = |session: &str| events.iter().filter(|e| e["session"] == session).count();
        of(&stopped) == 2 && of(&expired) == 2
    };
    let events = skein_tests::events::read(server.ready.control, 0, PATIENCE, complete);
    let again = |server: &Server| {
        let middle = events[events.len() / 2]["index"]
            .as_u64()
            .expect("an index");
        let rest = |e: &&Value| e["index"].as_u64() > Some(middle);
        let expected = events.iter().filter(rest).count();
        let enough = |found: &[Value]| found.len() >= expected;
        let found = skein_tests::events::read(server.ready.control, middle, PATIENCE, enough);
        let expected: Vec<&Value> = events.iter().filter(rest).collect();
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "the feed goes on after {middle}"
        );
    };
    again(&server);
    server.crash_and_restart();
    again(&server);
}
