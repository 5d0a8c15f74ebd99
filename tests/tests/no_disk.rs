//! The disk takes nothing: positions go on, and nobody is promised what cannot be kept.
//!
//! A reserve larger than any disk stands for a full one; what the log does then is its own tests' matter.

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(positions_go_on_and_are_not_called_durable);

/// Bytes that no file system has free.
const RESERVE_BYTES: u64 = 1 << 60;

fn positions_go_on_and_are_not_called_durable(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration = format!("[log]\ndisk_reserve_bytes = {RESERVE_BYTES}\n");
    let server = Server::start_with(options);
    server
        .put_member("ride", "ana", &["share", "watch"])
        .expect_success("a member");
    let started = server.start_session("ride", "ana", &json!({ "duration_s": 600 }));
    let started = started.expect_success("a session is a promise of the control log");
    let session = started.json()["session"]
        .as_str()
        .expect("an id")
        .to_owned();

    for counter in 1..=3 {
        let answer = post(&server, &session, counter);
        assert_eq!(answer["accepted"], 1, "{answer}");
        assert_eq!(answer["durable"], false, "{answer}");
    }
    let positions = server.positions("ride", "ana");
    assert_eq!(positions["positions"][0]["point"]["counter"], 3);

    wait::until("health tells of it", PATIENCE, || !log_durable(&server));
    let degraded = server.metrics().sum("skein_log_degraded");
    assert!(degraded >= 1.0, "so do the metrics");
}

fn post(server: &Server, session: &str, counter: u64) -> Value {
    let body = json!({
        "chat": "ride",
        "session": session,
        "durable": true,
        "points": [{ "counter": counter, "captured_at": 1_700_000_000_000_u64 + counter, "lat": 45.1, "lon": 13.6 }],
    });
    let posted = Request::new("POST", "/v1/points")
        .token(&server.quick_token("ana"))
        .json(&body)
        .send(server.ready.http);
    posted.expect_success("points without a disk").json()
}

fn log_durable(server: &Server) -> bool {
    let health = Request::new("GET", "/v1/health").send(server.ready.http);
    health.expect_success("health").json()["log_durable"] == true
}
