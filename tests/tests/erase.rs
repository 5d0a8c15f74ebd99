//! What is erased is in no file: not as text, not as a float, not as a scaled integer, and it does not
//! come back with a checkpoint or a restart. What is not erased stays.

use std::path::Path;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::now_ms;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::plaintext::count;
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    points_of_a_member_are_in_no_file_after_an_erase,
    old_points_are_thinned_and_the_newest_stay,
);

/// Where a member is: no pattern that lies in a file by chance.
const ANA: (f64, f64) = (47.123_457, 8.765_431);
const BEN: (f64, f64) = (51.987_643, 13.135_799);

/// Points of a session: more than its trail holds.
const POINTS: u64 = 40;

/// Starts a session and has all its points appended; its id.
fn walk(server: &Server, user: &str, at: (f64, f64)) -> String {
    server.add_member("hike", user);
    let started = server.start_session("hike", user, &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    let session = started["session"].as_str().expect("an id").to_owned();
    let points: Vec<Value> = (1..=POINTS)
        .map(|counter| {
            json!({
                "counter": counter,
                "captured_at": now_ms(),
                "lat": at.0,
                "lon": at.1,
                "accuracy": 5.0,
            })
        })
        .collect();
    let body = json!({ "chat": "hike", "session": session, "points": points, "durable": true });
    Request::new("POST", "/v1/points")
        .token(&server.token(user))
        .json(&body)
        .send(server.ready.http)
        .expect_success("points");
    session
}

fn end(server: &Server, session: &str) {
    let path = format!("/v1/chats/hike/sessions/{session}");
    let ended = Request::new("DELETE", &path).send(server.ready.control);
    ended.expect_success("an end");
}

fn points_of_a_member_are_in_no_file_after_an_erase(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration =
        "[shards]\npartitions = 4\n[history]\nenabled = true\nevery = \"1s\"\n".to_owned();
    let mut server = Server::start_with(options);
    let (ana, ben) = (walk(&server, "ana", ANA), walk(&server, "ben", BEN));
    end(&server, &ana);
    let data = server.data_dir();
    assert!(count(&data, ANA) > 0, "the test would see them");
    let history = data.join("history");
    wait::until("the history has rows of both", PATIENCE, || {
        count(&history, ANA) > 0 && count(&history, BEN) > 0
    });

    let nobody = Request::new("DELETE", "/v1/log/chats/nowhere/points");
    assert_eq!(nobody.send(server.ready.control).status, 404);
    let erase = Request::new("DELETE", "/v1/log/chats/hike/points?user=ana");
    let report = erase.send(server.ready.control).expect_success("an erase");
    let report = report.json();
    assert!(
        report["records_removed"].as_u64() >= Some(POINTS),
        "{report}"
    );
    assert_eq!(report["records_left"], 0, "{report}");
    assert_eq!(report["sessions_live"], 0, "{report}");
    let rows = &report["history"];
    assert!(rows["rows"].as_u64() > Some(0), "{report}");
    assert_eq!(
        (&rows["sessions"], &rows["scrubbed"]),
        (&json!(1), &json!(true))
    );
    server.stop().expect_success("a stop");
    assert_eq!(count(&data, ANA), 0, "after the stop");
    assert!(count(&data, BEN) > 0, "the other member's points stay");

    // With the table comes nothing back, and the other goes on where he was.
    server.restart();
    let positions = server.positions("hike", "ben");
    let point = &positions["positions"][0]["point"];
    assert_eq!(point["lat"].as_f64(), Some(BEN.0), "{positions}");
    let log = Request::new("GET", "/v1/log")
        .send(server.ready.control)
        .json();
    assert_eq!(log["partitions"].as_array().map(Vec::len), Some(4), "{log}");
    end(&server, &ben);
    let running = erase_stopped(&data);
    assert!(running.0 != Some(0), "a server runs on it: {running:?}");
    server.stop().expect_success("a stop");
    let stopped = erase_stopped(&data);
    assert_eq!(stopped.0, Some(0), "{stopped:?}");
    assert!(stopped.1.contains("\"history\":{\"rows\":"), "{stopped:?}");
    assert_eq!(count(&data, BEN), 0, "{stopped:?}");
    server.restart();
    server.stop().expect_success("a stop");
    assert_eq!(count(&data, ANA) + count(&data, BEN), 0, "after a restart");
}

/// `skein log erase`: its exit code, and what it said.
fn erase_stopped(data: &Path) -> (Option<i32>, String) {
    let data = data.display().to_string();
    let ended = process::run(["log", "erase", "--chat", "hike", "--data-dir", &data]);
    (ended.code(), format!("{}{}", ended.stdout, ended.stderr))
}

fn old_points_are_thinned_and_the_newest_stay(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration = "[shards]\npartitions = 2\n[log]\nsegment_age_ms = 1000\n\
                             thin_after_ms = 2000\nthin_every_ms = 3600000\n"
        .to_owned();
    let mut server = Server::start_with(options);
    let ana = walk(&server, "ana", ANA);
    walk(&server, "ben", BEN);
    end(&server, &ana);
    // An erase writes a checkpoint and closes the segment: what lies before is ready to be thinned.
    let erase = Request::new("DELETE", "/v1/log/chats/hike/points?user=ana");
    let erased = erase.send(server.ready.control).expect_success("an erase");
    assert_eq!(erased.json()["records_left"], 0);
    let again = Request::new("DELETE", "/v1/log/chats/hike/points?user=ana");
    again.send(server.ready.control).expect_success("an erase");
    wait::until("points are thinned", PATIENCE, || {
        server.metrics().sum("skein_log_thinned_records_total") > 0.0
    });
    server.stop().expect_success("a stop");
    server.restart();
    let positions = server.positions("hike", "ben");
    let point = &positions["positions"][0]["point"];
    assert_eq!(point["counter"].as_u64(), Some(POINTS), "{positions}");
}
