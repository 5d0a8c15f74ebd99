//! Clients in another language, written from the protocol's document alone: one sees what ours sees, and what
//! one shares ours sees.

use std::time::Duration;

use serde_json::{Value, json};
use skein_server::access::signer::TokenSigner;
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, now_ms};
use skein_tests::on_one_and_two_shards;
use skein_tests::process::Process;
use skein_tests::python;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::ids::UserName;

on_one_and_two_shards!(
    the_python_client_sees_what_ours_sees,
    what_the_python_client_shares_ours_sees,
);

/// Rounds of points that both clients watch.
const ROUNDS: u64 = 30;

fn the_python_client_sees_what_ours_sees(cores: Cores) {
    if !python::is_there("the Python client") {
        return;
    }
    let server = Server::start(cores);
    server.add_member("duet", "viewer");
    let token = server.token("viewer");
    let mut fleet = Fleet::start(&server, "duet", 6);
    fleet.publish();
    fleet.settle();
    let ours = WatchRun::start(&server.ws_url(), "duet", &token, &[]);
    let mut command = python::command();
    command.arg(python::file("skein_watch.py"));
    command.args([
        "--url",
        &format!("{}/v1/ws", server.ws_url()),
        "--chat",
        "duet",
    ]);
    command.args(["--token", &token, "--delivery", "every", "--for", "60"]);
    let python = Process::start("skein_watch.py", command);
    for line in [&ours.process.stdout, &python.stdout] {
        let began = line.wait(PATIENCE, |lines| (lines.len() >= 12).then_some(()));
        assert!(began.is_some(), "both clients see the first points");
    }
    for _ in 1..ROUNDS {
        fleet.publish();
        std::thread::sleep(Duration::from_millis(20));
    }
    let (one, other) = (|| points(&ours.process), || points(&python));
    let complete = 6 * ROUNDS as usize;
    wait::until("both clients have every point", PATIENCE, || {
        one().len() == complete && other().len() == complete
    });
    assert_eq!(one(), other());
}

/// Points as both clients print them, by session and counter.
fn points(process: &Process) -> Vec<(String, i64, i64, String, String)> {
    let lines = process.stdout.since(0);
    let mut found: Vec<_> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|change| change["type"] == "point")
        .map(|change| {
            let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
            let whole = |key: &str| change[key].as_i64().expect("a whole number");
            let degrees = |key: &str| format!("{:.6}", change[key].as_f64().expect("degrees"));
            let place = (degrees("lat"), degrees("lon"));
            (
                text("session"),
                whole("counter"),
                whole("captured_at"),
                place.0,
                place.1,
            )
        })
        .collect();
    found.sort();
    found
}

/// Of the token that the sharer connects with, seconds.
const TOKEN_S: u64 = 5;

fn what_the_python_client_shares_ours_sees(cores: Cores) {
    if !python::is_there("the Python client that shares") {
        return;
    }
    let server = Server::start_with(Options {
        configuration: "[access]\nclock_skew = \"0s\"\n".to_owned(),
        ..Options::new(cores)
    });
    server.add_member("duet", "viewer");
    server.add_member("duet", "ana");
    let key = server.data_dir().join("keys").join("token.pem");
    let signer = TokenSigner::open(&key).expect("the server's key");
    let ana = UserName::new("ana").expect("a name");
    let token = |ttl_s| signer.mint(&ana, ttl_s, now_ms()).expect("a token");
    let ours = WatchRun::start(&server.ws_url(), "duet", &server.token("viewer"), &[]);
    let mut command = python::command();
    command.arg(python::file("skein_share.py"));
    let url = format!("{}/v1/ws", server.ws_url());
    let pause = (TOKEN_S + 1).to_string();
    command.args(["--url", &url, "--chat", "duet", "--for", &pause]);
    command.args(["--token", &token(TOKEN_S), "--renewal", &token(600)]);
    let mut python = Process::start_talking("skein_share.py", command);
    let session = ours.wait_session_of("ana");
    python.say("go on");
    let ended = python.wait(PATIENCE).expect_success("skein_share.py");
    let said: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let of = |kind: &str| -> Vec<&Value> { said.iter().filter(|it| it["type"] == kind).collect() };
    // Started, the same again, extended, resumed: one session.
    assert_eq!(of("shared").len(), 4);
    assert!(
        of("shared")
            .iter()
            .all(|it| it["session"] == session.as_str()),
        "{said:?}"
    );
    // A point that is none was judged, and not accepted.
    assert_eq!(of("shared")[3]["counter"], 29);
    let expired = |at: usize| of("shared")[at]["expires_at"].as_u64().expect("a time");
    assert!(expired(2) > expired(0) + 500_000, "it goes on for longer");
    assert_eq!(
        of("verdicts")[0]["verdicts"],
        json!([
            { "counter": 12, "code": "outside_window" },
            { "counter": 30, "code": "no_fix" },
        ])
    );
    assert_eq!((of("renewed").len(), of("durable").len()), (1, 1));
    assert_eq!(of("stopped")[0]["durable"], true);

    assert_eq!(ours.wait_ended(&session, PATIENCE), "stopped");
    let seen = ours.process.stdout.since(0);
    let seen: Vec<Value> = seen
        .iter()
        .filter_map(|it| serde_json::from_str(it).ok())
        .collect();
    let is_heartbeat = |it: &&Value| it["type"] == "heartbeat" && it["session"] == session.as_str();
    assert_eq!(seen.iter().filter(is_heartbeat).count(), 1, "{seen:?}");
    let of = |all: &[Value], kind: &str| -> Vec<Value> {
        let mut of: Vec<Value> = all
            .iter()
            .filter(|it| it["type"] == kind)
            .cloned()
            .collect();
        of.sort_by_key(|it| it["counter"].as_u64());
        of
    };
    let (sent, seen) = (of(&said, "sent"), of(&seen, "point"));
    let counters = |all: &[Value]| -> Vec<Option<u64>> {
        all.iter().map(|it| it["counter"].as_u64()).collect()
    };
    assert_eq!(counters(&seen), counters(&sent));
    for (sent, seen) in sent.iter().zip(&seen) {
        assert_eq!(sent["captured_at"], seen["captured_at"], "{sent} {seen}");
        let late = seen["historical"].as_bool().unwrap_or(false);
        assert_eq!(sent["historical"], late, "{sent} {seen}");
        // Places are exact; what is quantised differs by half a step at most.
        for (key, step) in [
            ("lat", 0.5e-6),
            ("lon", 0.5e-6),
            ("heading", 0.71),
            ("speed", 0.25),
            ("accuracy", 0.25),
            ("battery", 0.5),
        ] {
            match (sent[key].as_f64(), seen[key].as_f64()) {
                (Some(one), Some(other)) => assert!((one - other).abs() < step, "{sent} {seen}"),
                (one, other) => assert_eq!(one, other, "{sent} {seen}"),
            }
        }
    }
}
