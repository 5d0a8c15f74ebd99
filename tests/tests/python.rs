//! A client in another language, written from the protocol's document alone, sees what ours sees.

use std::time::Duration;

use serde_json::Value;
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::Process;
use skein_tests::python;
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(the_python_client_sees_what_ours_sees);

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
