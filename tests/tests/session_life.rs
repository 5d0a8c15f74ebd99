//! A session's life against the real server: devices and limits, heartbeats, demand, and what is uploaded
//! after an outage.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::ids::Counter;
use skein_wire::request::{Delivery, Heartbeat, Request as Ask, SharePoints, Watch};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_user_has_several_devices_up_to_the_limits,
    who_stands_still_is_not_dead,
    senders_are_told_whether_anybody_looks,
    after_an_outage_the_newest_comes_first_and_the_rest_moves_nothing,
);

fn with_limits(cores: Cores, limits: &str) -> Server {
    Server::start_with(Options {
        configuration: format!("[limits]\n{limits}\n"),
        ..Options::new(cores)
    })
}

fn a_user_has_several_devices_up_to_the_limits(cores: Cores) {
    let server = with_limits(
        cores,
        "sessions_per_user_max = 2\nsessions_per_chat_max = 3",
    );
    for user in ["ana", "ben", "cem"] {
        server.add_member("hike", user);
        server.add_member("club", user);
    }
    let connect = |user: &str| Peer::connect(server.ready.http, &server.token(user));
    // Two devices, a session each, both live.
    let (mut phone, mut watch) = (connect("ana"), connect("ana"));
    let first = phone.share("hike", 600, "phone");
    let second = watch.share("hike", 600, "watch");
    assert_ne!(first.session, second.session);
    phone.point(first.share, point_at(1, 1));
    watch.point(second.share, point_at(2, 1));
    let list = server.sessions("hike", "ben");
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(2), "{list}");
    // A third is one too many for her, here, by each way; not for others, nor elsewhere.
    let refused = phone
        .try_share("hike", 600, "tablet")
        .expect_err("one too many");
    assert_eq!(refused.code, Code::LimitReached);
    let answer = server.start_session("hike", "ana", &json!({ "duration_s": 600 }));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (429, &json!("limit_reached"))
    );
    phone.share("club", 600, "tablet");
    connect("ben").share("hike", 600, "phone");
    // Now the chat is full, also for who has none; and an operator is told the same.
    let refused = connect("cem")
        .try_share("hike", 600, "phone")
        .expect_err("a full chat");
    assert_eq!(refused.code, Code::LimitReached);
    let answer = Request::new("POST", "/v1/chats/hike/sessions")
        .json(&json!({ "duration_s": 600, "user": "cem" }))
        .send(server.ready.control);
    assert_eq!(answer.status, 429, "{answer:?}");
    // One device stops the other's session, and there is room again.
    let path = format!("/v1/chats/hike/sessions/{}", second.session);
    Request::new("DELETE", &path)
        .token(&server.token("ana"))
        .send(server.ready.http)
        .expect_success("a stop by the other device");
    watch.expect("the end", |update| match update {
        Update::ShareEnded(ended) if ended.share == second.share => Some(()),
        _ => None,
    });
    connect("cem").share("hike", 600, "phone");
}

fn watch(server: &Server) -> WatchRun {
    server.add_member("hike", "viewer");
    WatchRun::start(&server.quic_url(), "hike", &server.token("viewer"), &[])
}

fn kinds(watch: &WatchRun, session: &str) -> Vec<String> {
    let all = watch.changes();
    let of = all.iter().filter(|change| change.session() == session);
    of.map(|change| change.kind().to_owned()).collect()
}

fn who_stands_still_is_not_dead(cores: Cores) {
    /// A logged heartbeat every 20 seconds says that somebody is still there.
    const STILL_MAX: Duration = Duration::from_secs(60);
    let server = with_limits(cores, "stale_after_ms = 4000");
    server.add_member("hike", "ana");
    let watch = watch(&server);
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 600, "walk");
    ana.point(shared.share, point_at(1, 1));
    let session = shared.session.to_string();
    watch.wait("the point", PATIENCE, |_| {
        (watch.points_of(&session).len() == 1).then_some(())
    });
    let since = Instant::now();
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    while !kinds(&watch, &session).contains(&"heartbeat".to_owned()) {
        assert!(since.elapsed() < STILL_MAX, "{:?}", kinds(&watch, &session));
        ana.send(&[Ask::Heartbeat(Heartbeat {
            share: shared.share,
            counter: Counter(1),
        })]);
        longest = longest.max(last.elapsed());
        last = Instant::now();
        thread::sleep(Duration::from_millis(200));
    }
    // A machine on which this test itself fell silent says nothing about the server.
    if longest < Duration::from_secs(3) {
        assert!(!kinds(&watch, &session).contains(&"stale".to_owned()));
    }
    // Real silence is told, by the server's clock, and the next word ends it.
    let stale = || {
        kinds(&watch, &session)
            .iter()
            .filter(|kind| *kind == "stale")
            .count()
    };
    let before = stale();
    wait::until("the silence is told", PATIENCE, || stale() > before);
    ana.point(shared.share, point_at(1, 2));
    watch.wait("the next word", PATIENCE, |_| {
        (watch.points_of(&session).len() == 2).then_some(())
    });
}

fn demand(talker: &mut Talker, what: &str, wanted: impl Fn(u32) -> bool) {
    talker.expect(what, |update| match update {
        Update::Demand(demand) => wanted(demand.interval_ms).then_some(()),
        _ => None,
    });
}

fn senders_are_told_whether_anybody_looks(cores: Cores) {
    let server = Server::start(cores);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let started = server.start_session("hike", "ana", &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    let session = started["session"].as_str().expect("an id").parse();
    let session = session.expect("an id");
    for transport in TRANSPORTS {
        let mut sender = Talker::connect(&server, transport, &server.token("ana"));
        sender.send(Ask::ShareResume(skein_wire::request::ShareResume {
            request: skein_wire::ids::RequestNumber(1),
            chat: name("hike"),
            session,
        }));
        demand(&mut sender, "nobody looks", |interval_ms| interval_ms == 0);
        let mut viewer = Talker::connect(&server, transport, &server.token("ben"));
        viewer.send(Ask::Watch(Watch {
            request: skein_wire::ids::RequestNumber(1),
            chat: name("hike"),
            session: None,
            view: None,
            cursor: None,
            delivery: Delivery::Latest,
            trail: 0,
            interval_ms: 4_000,
        }));
        viewer.expect("the chat", |update| {
            matches!(update, Update::Watching(_)).then_some(())
        });
        demand(&mut sender, "somebody looks now and then", |ms| ms == 5_000);
        let mut eager = Peer::connect(server.ready.http, &server.token("ben"));
        eager.watch("hike", None, Delivery::Latest);
        demand(&mut sender, "somebody follows", |ms| ms == 1_000);
        drop(eager);
        demand(&mut sender, "only now and then again", |ms| ms == 5_000);
        drop(viewer);
        demand(&mut sender, "nobody looks any more", |ms| ms == 0);
    }
}

fn after_an_outage_the_newest_comes_first_and_the_rest_moves_nothing(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let viewer = watch(&server);
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 600, "walk");
    let session = shared.session.to_string();
    // Who sees the session before its first point misses none.
    assert_eq!(viewer.wait_session_of("ana"), session);
    ana.durable_point(shared.share, point_at(1, 1));
    drop(ana);
    // She comes back: the newest fix, then what was collected meanwhile, in one message.
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.try_resume("hike", shared.session).expect("her session");
    ana.durable_point(shared.share, point_at(1, 30));
    let shown = || {
        let answer = server.positions("hike", "ana");
        answer["positions"][0]["point"]["counter"].as_u64()
    };
    wait::until("the newest is shown", PATIENCE, || shown() == Some(30));
    let mut backlog: Vec<_> = (2..30).map(|counter| point_at(1, counter)).collect();
    // One was there, and stands for whatever a phone sends twice.
    backlog.insert(0, point_at(1, 1));
    ana.send(&[Ask::Points(SharePoints {
        share: shared.share,
        historical: true,
        durable: false,
        points: backlog,
    })]);
    let verdicts = ana.expect("the verdict", |update| match update {
        Update::Accepted(accepted) if !accepted.verdicts.is_empty() => {
            Some(accepted.verdicts.clone())
        }
        _ => None,
    });
    let verdicts: Vec<(u64, Code)> = verdicts.iter().map(|it| (it.counter.0, it.code)).collect();
    assert_eq!(verdicts, [(1, Code::OutsideWindow)], "each point by itself");
    viewer.wait("all that was collected", PATIENCE, |_| {
        (viewer.points_of(&session).len() == 30).then_some(())
    });
    assert_eq!(shown(), Some(30), "the marker has not moved");
    let order: Vec<u64> = viewer
        .points_of(&session)
        .iter()
        .map(|it| it.counter)
        .collect();
    let newest = order.iter().position(|counter| *counter == 30);
    assert!(
        newest <= Some(1),
        "the newest came before the backlog: {order:?}"
    );
    // The same by HTTP: what is late has a verdict, and does not stand in the way of the others.
    let point = |counter: u64| {
        let at = point_at(1, counter).captured_at_ms;
        json!({ "counter": counter, "captured_at": at, "lat": 45.5, "lon": 13.0 })
    };
    let upload = |historical: bool, counters: &[u64]| {
        let points: Vec<Value> = counters.iter().map(|counter| point(*counter)).collect();
        Request::new("POST", "/v1/points")
            .token(&server.token("ana"))
            .json(&json!({
                "chat": "hike", "session": session, "historical": historical, "points": points,
            }))
            .send(server.ready.http)
            .expect_success("points")
            .json()
    };
    let answer = upload(false, &[51, 40, 60]);
    assert_eq!(answer["accepted"], 2, "{answer}");
    assert_eq!(
        answer["verdicts"],
        json!([{ "counter": 40, "code": "superseded" }])
    );
    let answer = upload(true, &[52, 51, 53]);
    assert_eq!(answer["accepted"], 2, "{answer}");
    assert_eq!(
        answer["verdicts"],
        json!([{ "counter": 51, "code": "outside_window" }])
    );
    wait::until("the newest is shown", PATIENCE, || shown() == Some(60));
    // Nor does one that is nowhere on the globe.
    let mut nowhere = point(62);
    nowhere["lat"] = json!(90.5);
    let answer = Request::new("POST", "/v1/points")
        .token(&server.token("ana"))
        .json(&json!({
            "chat": "hike", "session": session, "points": [point(61), nowhere, point(63)],
        }))
        .send(server.ready.http)
        .expect_success("points")
        .json();
    assert_eq!(answer["accepted"], 2, "{answer}");
    let expected = json!([{ "counter": 62, "code": "bad_point" }]);
    assert_eq!(answer["verdicts"], expected);
    wait::until("the newest is shown", PATIENCE, || shown() == Some(63));
}
