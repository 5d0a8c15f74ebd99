//! A sender's frames, recorded and sent again on other connections, by every transport and over HTTP: nothing
//! counts twice, and no session that is over comes back.

use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::Request as Http;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, live, name};
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::ids::{Counter, RequestNumber, SessionId, ShareNumber};
use skein_wire::request::{
    Delivery, Heartbeat, Request, ShareExtend, SharePoints, ShareResume, ShareStart, ShareStop,
};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_stream_that_is_sent_again_counts_once,
    requests_over_http_that_are_sent_again_count_once,
);

/// Live points of the recorded stream; those behind them are historical.
const LIVE: [u64; 4] = [3, 4, 8, 9];
const HISTORICAL: [u64; 3] = [5, 6, 7];

/// How long the viewer waits for a batch before it looks at what it has.
const LOOK: Duration = Duration::from_millis(50);

/// The number that a connection's first session has.
const SHARE: ShareNumber = ShareNumber(1);

/// What a sender sends from the start to the end of a session. Frames of one stream come in order.
fn recorded() -> Vec<Request> {
    let mut all = vec![Request::ShareStart(ShareStart {
        request: RequestNumber(1),
        chat: name("hike"),
        duration_s: 600,
        idempotency_key: "walk".to_owned(),
        sealed: false,
    })];
    all.extend(LIVE.map(|counter| live(SHARE, point_at(1, counter), false)));
    all.push(Request::Points(SharePoints {
        share: SHARE,
        historical: true,
        durable: false,
        points: HISTORICAL.map(|counter| point_at(1, counter)).to_vec(),
    }));
    all.push(Request::Heartbeat(Heartbeat {
        share: SHARE,
        counter: Counter(9),
    }));
    all.push(Request::ShareExtend(ShareExtend {
        request: RequestNumber(2),
        share: SHARE,
        duration_s: 900,
    }));
    all
}

/// Sends the first frame, waits for what it is answered, and sends the others; the session.
fn play(talker: &mut Talker) -> Result<SessionId, Code> {
    let mut frames = recorded().into_iter();
    talker.send(frames.next().expect("a start"));
    let shared = answer(talker, 1);
    for frame in frames {
        talker.send(frame);
    }
    // The last one is answered behind the others.
    let extended = answer(talker, 2);
    assert_eq!(shared.is_ok(), extended.is_ok(), "{shared:?} {extended:?}");
    shared
}

fn answer(talker: &mut Talker, number: u32) -> Result<SessionId, Code> {
    talker.expect("an answer", |update| match update {
        Update::Shared(shared) if shared.request.0 == number => {
            assert_eq!(shared.share, SHARE);
            Some(Ok(shared.session))
        }
        Update::Refused(refused) if refused.request.0 == number => Some(Err(refused.code)),
        _ => None,
    })
}

/// What became of the points, until each of them has a verdict.
fn verdicts(talker: &mut Talker) -> Vec<(u64, Code)> {
    let mut all = Vec::new();
    while all.len() < LIVE.len() + HISTORICAL.len() {
        talker.expect("verdicts", |update| match update {
            Update::Accepted(accepted) => {
                let new = accepted.verdicts.iter().map(|it| (it.counter.0, it.code));
                all.extend(new);
                Some(())
            }
            _ => None,
        });
    }
    all.sort_unstable_by_key(|(counter, _)| *counter);
    all
}

fn sessions(server: &Server) -> Vec<Value> {
    let listed = Http::new("GET", "/v1/chats/hike/sessions").send(server.ready.control);
    let listed = listed.expect_success("sessions").json();
    listed["sessions"].as_array().expect("a list").clone()
}

fn a_stream_that_is_sent_again_counts_once(cores: Cores) {
    let mut server = Server::start(cores);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let ana = server.token("ana");
    let mut viewer = Peer::connect(server.ready.http, &server.token("ben"));
    viewer.watch("hike", None, Delivery::Every);
    let mut first = Talker::connect(&server, TRANSPORTS[0], &ana);
    let session = play(&mut first).expect("a session");
    let mut table = Table::default();
    let mut shown = |viewer: &mut Peer| -> Vec<u64> {
        if let Some(batch) = viewer.batch(LOOK) {
            table.apply(batch);
        }
        let row = table.session(session);
        let mut counters: Vec<u64> = row
            .into_iter()
            .flat_map(|row| row.points.iter().map(|it| it.counter))
            .collect();
        counters.sort_unstable();
        counters
    };
    let all: Vec<u64> = (3..=9).collect();
    wait::until("all points are shown", PATIENCE, || {
        shown(&mut viewer) == all
    });
    for transport in TRANSPORTS.iter().cycle().take(6) {
        let mut again = Talker::connect(&server, *transport, &ana);
        assert_eq!(play(&mut again), Ok(session), "{transport:?}");
        let expect: Vec<(u64, Code)> = (3..=9)
            .map(|counter| match HISTORICAL.contains(&counter) {
                true => (counter, Code::OutsideWindow),
                false => (counter, Code::Superseded),
            })
            .collect();
        assert_eq!(verdicts(&mut again), expect, "{transport:?}");
    }
    // A point of now comes behind all of them.
    first.send(live(SHARE, point_at(1, 10), false));
    wait::until("it is shown", PATIENCE, || {
        shown(&mut viewer).last() == Some(&10)
    });
    let all: Vec<u64> = (3..=10).collect();
    assert_eq!(shown(&mut viewer), all, "each of them once");
    assert_eq!(sessions(&server).len(), 1);
    drop(viewer);

    first.send(Request::ShareStop(ShareStop {
        request: RequestNumber(9),
        share: SHARE,
    }));
    first.expect("the end", |update| match update {
        Update::Done(done) if done.durable => Some(()),
        _ => None,
    });
    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        let ana = server.token("ana");
        for transport in TRANSPORTS {
            let mut again = Talker::connect(&server, transport, &ana);
            assert_eq!(play(&mut again), Err(Code::SessionEnded), "{transport:?}");
            again.send(Request::ShareResume(ShareResume {
                request: RequestNumber(3),
                chat: name("hike"),
                session,
            }));
            let resumed = answer(&mut again, 3).expect_err("it is over");
            let is_gone = [Code::SessionEnded, Code::NotFound].contains(&resumed);
            assert!(is_gone, "{resumed} by {transport:?}");
        }
        assert_eq!(
            sessions(&server),
            [] as [Value; 0],
            "restarted: {restarted}"
        );
    }
}

fn requests_over_http_that_are_sent_again_count_once(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "ana");
    let ask = |server: &Server, method: &str, path: &str, body: &Value| {
        let asked = Http::new(method, path).token(&server.token("ana"));
        let answer = asked.json(body).send(server.ready.http);
        (answer.status, answer.json())
    };
    let start = json!({ "duration_s": 600, "idempotency_key": "walk" });
    let path = "/v1/chats/hike/sessions";
    let (_, started) = ask(&server, "POST", path, &start);
    let session = started["session"].as_str().expect("an id").to_owned();
    let point = |counter: u64| json!({ "counter": counter, "captured_at": now_ms(), "lat": 47.0, "lon": 8.0 });
    let points: Vec<Value> = (1..=5).map(point).collect();
    let points = json!({ "chat": "hike", "session": session, "points": points });
    let (_, taken) = ask(&server, "POST", "/v1/points", &points);
    assert_eq!(taken["accepted"], 5, "{taken}");
    let (_, again) = ask(&server, "POST", path, &start);
    assert_eq!(again["session"], started["session"]);
    let (_, again) = ask(&server, "POST", "/v1/points", &points);
    assert_eq!(again["accepted"], 0, "{again}");
    let all = again["verdicts"].as_array().expect("verdicts");
    assert!(all.iter().all(|it| it["code"] == "superseded"), "{again}");
    let one = format!("{path}/{session}");
    for _ in 0..2 {
        let (status, ended) = ask(&server, "DELETE", &one, &json!({}));
        assert_eq!(status, 200, "an end is repeated: {ended}");
    }
    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        for (method, path, body) in [
            ("POST", path, &start),
            ("POST", "/v1/points", &points),
            (
                "POST",
                &format!("{one}/extend"),
                &json!({ "duration_s": 900 }),
            ),
        ] {
            let (status, answer) = ask(&server, method, path, body);
            assert!([404, 410].contains(&status), "{method} {path}: {answer}");
        }
        assert_eq!(
            sessions(&server),
            [] as [Value; 0],
            "restarted: {restarted}"
        );
    }
}
