//! WebTransport beside the bare protocol on one port, by a foreign client: what it sees, what
//! becomes of HTTP/3 that is none, and how it is told the end.
//!
//! The client is Python's aioquic, so that the server is not tested by the library it uses.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use skein_server::edge::webtransport_bad_input::WEBTRANSPORT_BAD_INPUTS;
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::Process;
use skein_tests::python::{self, Environment};
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_foreign_client_sees_what_ours_sees,
    nonsense_in_http3_has_its_code,
);

/// More than a datagram holds in a full batch.
const SESSIONS: usize = 60;

const ROUNDS: u64 = 20;
const PAUSE: Duration = Duration::from_millis(30);

fn a_foreign_client_sees_what_ours_sees(cores: Cores) {
    let Some(environment) = Environment::find("aioquic", "WebTransport of a foreign client") else {
        return;
    };
    let mut options = Options::new(cores);
    // A slow client shall not be cut.
    options.configuration = "[shards]\nstop_linger_ms = 20000\n".to_owned();
    let mut server = Server::start_with(options);
    server.add_member("walk", "viewer");
    let token = server.token("viewer");
    let mut fleet = Fleet::start(&server, "walk", SESSIONS);
    fleet.publish();
    fleet.settle();
    let ours = WatchRun::start(&server.quic_url(), "walk", &token, &[]);
    let mut theirs = start(&environment, &server, "watch", &token);
    wait::until("the first points arrive", PATIENCE, || {
        points(&theirs).len() == SESSIONS && points(&ours.process).len() == SESSIONS
    });
    wait::until("each transport has one connection", PATIENCE, || {
        let metrics = server.metrics();
        let count = |what: &str| metrics.sum(&format!("skein_{what}_connections"));
        (count("webtransport"), count("quic")) == (1.0, 1.0)
    });
    for _ in 1..ROUNDS {
        fleet.publish();
        std::thread::sleep(PAUSE);
    }
    fleet.settle();
    let complete = SESSIONS * ROUNDS as usize;
    wait::until("every point arrives once", PATIENCE, || {
        points(&theirs).len() == complete && points(&ours.process).len() == complete
    });
    assert_eq!(points(&theirs), points(&ours.process));
    assert_eq!(kind(&theirs, "skipped"), Vec::<Value>::new());
    // Few at once fit a datagram.
    let mut few = Fleet::start_from(&server, "walk", SESSIONS, 1);
    for _ in 0..ROUNDS {
        few.publish();
        std::thread::sleep(PAUSE);
    }
    few.settle();
    wait::until("the late session's points arrive", PATIENCE, || {
        points(&theirs).len() == complete + ROUNDS as usize
    });
    let metrics = server.metrics();
    let datagrams = metrics.sum("skein_webtransport_offers_datagram_total");
    assert!(datagrams > 0.0, "{datagrams} datagrams");
    let streams = metrics.sum("skein_webtransport_offers_stream_total");
    assert!(streams > 0.0, "{streams} streams");
    drop((fleet, few));
    server.stop();
    wait::until("the end is told", PATIENCE, || {
        !kind(&theirs, "terminated").is_empty()
    });
    theirs.kill();
    assert_eq!(kind(&theirs, "goodbye")[0]["code"], 1);
    let capsule = &kind(&theirs, "capsule")[0];
    assert_eq!(
        (&capsule["kind"], &capsule["code"]),
        (&json!(0x2843), &json!(1))
    );
    // The connection stays until the client has ended its half of the session: else a browser may see a
    // lost connection instead of the code.
    let kinds = kinds(&theirs);
    let last: Vec<_> = kinds.iter().rev().take(4).rev().collect();
    assert_eq!(last, ["goodbye", "capsule", "parting", "terminated"]);
    assert_eq!(kind(&theirs, "terminated")[0]["code"], 0x100);
}

fn nonsense_in_http3_has_its_code(cores: Cores) {
    let Some(environment) = Environment::find("aioquic", "nonsense in HTTP/3") else {
        return;
    };
    let server = Server::start(cores);
    server.add_member("walk", "viewer");
    let token = server.token("viewer");
    let mut fleet = Fleet::start(&server, "walk", 1);
    let ours = WatchRun::start(&server.quic_url(), "walk", &token, &[]);
    let mut stranger = start(&environment, &server, "nonsense", &token);
    let ended = stranger.wait(PATIENCE);
    let ended = ended.expect_success("the stranger");
    let found: BTreeMap<String, Value> = ended.stdout.lines().map(case).collect();
    for bad in WEBTRANSPORT_BAD_INPUTS {
        let expected = json!({
            "case": bad.input,
            "status": bad.status,
            "stopped": bad.refused,
            "capsule": bad.goodbye.map(|code| code as u16),
            "end": [bad.end, bad.text],
        });
        assert_eq!(found.get(bad.input), Some(&expected));
    }
    assert_eq!(found.len(), WEBTRANSPORT_BAD_INPUTS.len());
    // Whoever means it well has not noticed.
    fleet.publish();
    fleet.settle();
    wait::until("our viewer sees the point", PATIENCE, || {
        points(&ours.process).len() == 1
    });
    wait::until("the strangers are forgotten", PATIENCE, || {
        server.metrics().sum("skein_webtransport_connections") == 0.0
    });
}

fn case(line: &str) -> (String, Value) {
    let line: Value = serde_json::from_str(line).expect("a JSON line");
    (line["case"].as_str().expect("a name").to_owned(), line)
}

fn start(environment: &Environment, server: &Server, what: &str, token: &str) -> Process {
    let mut command = environment.python();
    command.arg(python::file("skein_web.py")).arg(what);
    command.args(["--to", &server.ready.quic.to_string(), "--chat", "walk"]);
    command.args(["--token", token]);
    Process::start_talking("skein_web.py", command)
}

/// What it has said, in order.
fn kinds(process: &Process) -> Vec<String> {
    let lines = process.stdout.since(0);
    let said = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    said.map(|line| line["type"].as_str().expect("a type").to_owned())
        .collect()
}

fn kind(process: &Process, kind: &str) -> Vec<Value> {
    let lines = process.stdout.since(0);
    let read = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    read.filter(|change| change["type"] == kind).collect()
}

/// Session, counter and place of each point, as often as it was printed.
fn points(process: &Process) -> Vec<(String, i64, String, String)> {
    let mut found: Vec<_> = kind(process, "point")
        .iter()
        .map(|change| {
            let degrees = |key: &str| format!("{:.6}", change[key].as_f64().expect("degrees"));
            let session = change["session"].as_str().expect("a session").to_owned();
            let counter = change["counter"].as_i64().expect("a counter");
            (session, counter, degrees("lat"), degrees("lon"))
        })
        .collect();
    found.sort();
    found
}
