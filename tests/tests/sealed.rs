//! End-to-end encryption: who has the key sees every point exactly, nobody else sees any, the server
//! and its disk included, and a chat that is sealed takes nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::binary;
use skein_tests::cli::{Change, PointLine, ShareOptions, ShareRun, WatchRun, accepted};
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::gpx;
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::plaintext::{count, count_in};
use skein_tests::process::{self, Ended, Process};
use skein_tests::procfs;
use skein_tests::python::{self, Environment};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;

on_one_and_two_shards!(
    a_sealed_track_arrives_exactly_and_is_nowhere_readable,
    a_new_epoch_shuts_out_whoever_does_not_get_its_key,
    a_sealed_chat_takes_sealed_points_only_by_every_way_in,
    a_program_of_others_opens_what_ours_sealed,
);

/// Longest that a replay may take.
const REPLAY: Duration = Duration::from_secs(120);

/// A server that keeps all it can, and says all it can.
fn server(cores: Cores) -> Server {
    let mut options = Options::new(cores);
    options.https = true;
    options.configuration = "[shards]\npartitions = 2\n[history]\nenabled = true\nevery = \"1s\"\n\
                             [views]\nretain = \"1h\"\n"
        .to_owned();
    options.wrapper = vec!["env".to_owned(), "SKEIN_LOG=trace".to_owned()];
    Server::start_with(options)
}

fn seal(arguments: &[&str]) -> Ended {
    process::run(["seal"].iter().chain(arguments))
}

/// Makes a file with the first key of a chat.
fn new_keys(server: &Server, chat: &str, name: &str) -> String {
    let file = server.scratch().join(name).display().to_string();
    seal(&["new", "--chat", chat, &file]).expect_success("a key");
    file
}

fn settings(server: &Server, chat: &str) -> bool {
    let path = format!("/v1/chats/{chat}/settings");
    let answer = Request::new("GET", &path).send(server.ready.control);
    let answer = answer.expect_success("settings").json();
    answer["sealed"].as_bool().expect("a flag")
}

fn set_sealed(server: &Server, chat: &str, sealed: bool) {
    let control = server.ready.control.to_string();
    let word = if sealed { "only" } else { "any" };
    let ended = seal(&["chat", "--chat", chat, word, "--control", &control]);
    ended.expect_success("a setting");
    assert_eq!(settings(server, chat), sealed);
}

fn share(server: &Server, chat: &str, gpx: &Path, speed: f64, extra: &[&str]) -> ShareRun {
    server.add_member(chat, "ana");
    let options = ShareOptions {
        chat: chat.to_owned(),
        token: server.token("ana"),
        gpx: gpx.to_owned(),
        speed,
        extra: extra.iter().map(|text| (*text).to_owned()).collect(),
    };
    ShareRun::start(&server.quic_url(), server.scratch(), &options)
}

fn watch(server: &Server, url: &str, chat: &str, extra: &[&str]) -> WatchRun {
    server.add_member(chat, "ben");
    WatchRun::start(url, chat, &server.token("ben"), extra)
}

/// The counters of a session's points that were opened.
fn opened(watch: &WatchRun, session: &str) -> Vec<u64> {
    let all = watch.changes();
    let own = all.iter().filter(|change| change.session() == session);
    own.filter(|change| change.0.get("lat").is_some())
        .filter_map(|change| change.0["counter"].as_u64())
        .collect()
}

/// The points of a session that stayed sealed, each with the reason.
fn closed(watch: &WatchRun, session: &str) -> Vec<(u64, String)> {
    let all = watch.changes();
    let own = all.iter().filter(|change| change.session() == session);
    own.filter(|change| change.kind() == "point" && !change.text("sealed").is_empty())
        .map(|change: &Change| {
            assert!(change.0.get("lat").is_none(), "{:?}", change.0);
            let counter = change.0["counter"].as_u64().expect("a counter");
            (counter, change.text("unopened").to_owned())
        })
        .collect()
}

/// Some places of a track, far from one another.
fn places(track: &[PointLine]) -> Vec<(f64, f64)> {
    let step = (track.len() / 4).max(1);
    let degrees = |e6: i64| e6 as f64 / 1e6;
    let some = track.iter().step_by(step);
    some.map(|point| (degrees(point.lat_e6), degrees(point.lon_e6)))
        .collect()
}

/// Whatever the process has mapped for writing and shares with files lies where the test looks.
fn assert_mapped_files_are_in(server: &Server, data: &Path) {
    let mapped = procfs::mapped_files(server.process.id());
    let logs = mapped.iter().filter(|path| path.starts_with(data)).count();
    assert!(logs > 0, "the log is mapped: {mapped:?}");
    let others: Vec<&PathBuf> = mapped
        .iter()
        .filter(|path| !path.starts_with(data))
        .collect();
    assert_eq!(others, [] as [&PathBuf; 0], "mapped, but not in {data:?}");
}

fn track(server: &Server) -> PathBuf {
    match skip::tracks() {
        Some(tracks) => tracks.join("visnjan-car.gpx"),
        None => gpx::write(server.scratch(), "track", &gpx::synthetic(3, 120, 5_000)),
    }
}

fn a_sealed_track_arrives_exactly_and_is_nowhere_readable(cores: Cores) {
    let mut server = server(cores);
    let data = server.data_dir();
    let keys = new_keys(&server, "trip", "trip.keys");
    set_sealed(&server, "trip", true);
    let track = track(&server);

    let urls = [server.quic_url(), server.ws_url(), server.wss_url()];
    let open = ["--seal", keys.as_str()];
    let every: Vec<WatchRun> = urls
        .iter()
        .map(|url| watch(&server, url, "trip", &open))
        .collect();
    let latest = [&open[..], &["--delivery", "latest"]].concat();
    let latest = watch(&server, &server.quic_url(), "trip", &latest);
    let keyless = watch(&server, &server.ws_url(), "trip", &[]);
    for watch in every.iter().chain([&latest, &keyless]) {
        wait::until("the watch is on", PATIENCE, || {
            watch.process.stderr.text().contains("records who watches")
        });
    }
    let sharing = share(&server, "trip", &track, 50.0, &open);
    let session = every[0].wait_session_of("ana");
    // Somebody who comes later gets a trail, and can open it.
    every[0].wait("ten points", REPLAY, |_| {
        (every[0].points_of(&session).len() >= 10).then_some(())
    });
    let trail = [&open[..], &["--trail", "5"]].concat();
    let late = watch(&server, &server.ws_url(), "trip", &trail);
    late.wait("a trail", PATIENCE, |_| {
        (late.points_of(&session).len() >= 6).then_some(())
    });
    let (_, report) = sharing.finish(REPLAY);
    let accepted = accepted(&report);
    assert!(accepted.len() > 50, "{} accepted", accepted.len());
    for watch in &every {
        watch.wait_ended(&session, REPLAY);
        assert_eq!(watch.points_of(&session), accepted);
    }
    for watch in [&latest, &late] {
        watch.wait_ended(&session, REPLAY);
        let seen = watch.points_of(&session);
        assert!(seen.iter().all(|point| accepted.contains(point)));
        assert_eq!(seen.last(), accepted.last());
    }
    keyless.wait_ended(&session, REPLAY);
    let unread = closed(&keyless, &session);
    assert_eq!(unread.len(), accepted.len());
    assert!(unread.iter().all(|(_, reason)| reason.is_empty()));

    // What the history has is sealed as well.
    let path = "/v1/chats/trip/history";
    wait::until("the history has rows", PATIENCE, || {
        let answer = Request::new("GET", path).send(server.ready.control).json();
        answer["points"]
            .as_array()
            .is_some_and(|points| !points.is_empty())
    });
    let kept = Request::new("GET", path).send(server.ready.control).json();
    let kept = kept["points"].as_array().expect("points").clone();
    let is_sealed =
        |row: &Value| row["point"]["sealed"].is_string() && row["point"].get("lat").is_none();
    assert!(kept.iter().all(is_sealed), "{kept:?}");

    let places = places(&accepted);
    let found = |data: &Path| {
        places
            .iter()
            .map(|place| count(data, *place))
            .sum::<usize>()
    };
    assert_mapped_files_are_in(&server, &data);
    assert_eq!(found(&data), 0, "while it runs");
    let said = server.process.stderr.text();
    assert!(said.contains("TRACE"), "it says what it can");
    for place in &places {
        assert_eq!(count_in(said.as_bytes(), *place), 0, "in its own words");
    }

    // The proof that the search would have found them: the same track, plain.
    share(&server, "open", &track, 50.0, &["--duration", "4s"]).finish(REPLAY);
    let first = &places[..1];
    assert!(count(&data, first[0]) > 0, "the search sees plain points");
    server.stop().expect_success("a stop");
}

fn a_new_epoch_shuts_out_whoever_does_not_get_its_key(cores: Cores) {
    let server = server(cores);
    let keys = new_keys(&server, "walk", "mine.keys");
    let old = server.scratch().join("theirs.keys");
    fs::copy(&keys, &old).expect("copied, with its mode");
    let old = old.display().to_string();
    let strange = new_keys(&server, "walk", "strange.keys");
    let track = gpx::synthetic(5, 400, 1_000);
    let track = gpx::write(server.scratch(), "walk", &track);

    let theirs = watch(&server, &server.ws_url(), "walk", &["--seal", &old]);
    let wrong = watch(&server, &server.quic_url(), "walk", &["--seal", &strange]);
    let sharing = share(&server, "walk", &track, 20.0, &["--seal", &keys]);
    let session = theirs.wait_session_of("ana");
    theirs.wait("points of the first epoch", PATIENCE, |_| {
        (opened(&theirs, &session).len() >= 10).then_some(())
    });
    wrong.wait("points that stay sealed", PATIENCE, |_| {
        let closed = closed(&wrong, &session);
        assert!(
            closed.iter().all(|(_, reason)| reason == "not_authentic"),
            "{closed:?}"
        );
        (closed.len() >= 10).then_some(())
    });
    // The sender has it within a second; who has left sees points go by and no more.
    seal(&["rotate", "--chat", "walk", &keys]).expect_success("a new epoch");
    theirs.wait("points that stay sealed", PATIENCE, |_| {
        let closed = closed(&theirs, &session);
        assert!(
            closed.iter().all(|(_, reason)| reason == "unknown_key"),
            "{closed:?}"
        );
        (closed.len() >= 10).then_some(())
    });
    let said = theirs.process.stderr.text();
    assert_eq!(
        said.matches("no key of epoch 2").count(),
        1,
        "once, and goes on: {said}"
    );
    // Somebody hands the key over: an envelope, on stdin.
    let text = fs::read_to_string(&keys).expect("read");
    let line = text.lines().last().expect("a key");
    let before = opened(&theirs, &session).len();
    let mut command = Command::new(binary::skein());
    command.args(["seal", "add", &old]);
    let mut add = Process::start_talking("skein seal add", command);
    add.say(line);
    add.wait(PATIENCE).expect_success("a key that was added");
    theirs.wait("points again", PATIENCE, |_| {
        (opened(&theirs, &session).len() >= before + 10).then_some(())
    });
    drop(sharing);
    for file in [&keys, &old] {
        let ended = seal(&["show", file]).expect_success("keys");
        assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout);
        assert!(!ended.stdout.contains("skein-key"), "fingerprints only");
    }
    let text = process::run(["seal", "new", "--chat", "walk", &keys]);
    assert_eq!(text.code(), Some(1), "{text:?}");
}

/// A program that was written from the document alone, in another language, on another library.
fn a_program_of_others_opens_what_ours_sealed(cores: Cores) {
    let Some(python) = Environment::find("skein_seal", "the Python opener") else {
        return;
    };
    let server = server(cores);
    let track = gpx::synthetic(7, 30, 1_000);
    let track = gpx::write(server.scratch(), "others", &track);
    for suite in ["aes-ctr-hmac-80", "aes-ctr-hmac-64", "aes-gcm-128"] {
        let keys = server.scratch().join(suite).display().to_string();
        seal(&["new", "--chat", suite, "--suite", suite, &keys]).expect_success("a key");
        let keyless = watch(&server, &server.ws_url(), suite, &[]);
        let sharing = share(&server, suite, &track, 20.0, &["--seal", &keys]);
        let (_, report) = sharing.finish(REPLAY);
        let session = keyless.wait_session_of("ana");
        keyless.wait_ended(&session, REPLAY);
        let seen = server.scratch().join(format!("{suite}.jsonl"));
        fs::write(&seen, keyless.process.stdout.text()).expect("written");
        let mut command = python.python();
        command.arg(python::file("skein_seal.py")).arg(&keys);
        command.stdin(fs::File::open(&seen).expect("it is there"));
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let line =
            |point: &PointLine| format!("{} {} {}", point.counter, point.lat_e6, point.lon_e6);
        let expect: Vec<String> = accepted(&report).iter().map(line).collect();
        assert!(expect.len() >= 30, "{report:?}");
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            expect,
            "{suite}: {output:?}"
        );
    }
}

/// Plain points, tried in every way; each must be refused.
fn assert_plain_is_refused(server: &Server, chat: &str, sealed_session: &str) {
    let token = server.token("ana");
    let start = |to, body: Value| {
        let path = format!("/v1/chats/{chat}/sessions");
        let mut request = Request::new("POST", &path);
        if to == server.ready.http {
            request = request.token(&token);
        }
        request.json(&body).send(to)
    };
    let is_refused = |answer: &Response| {
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert_eq!(answer.json()["code"], "wrong_sealing", "{}", answer.body);
    };
    is_refused(&start(server.ready.http, json!({ "duration_s": 60 })));
    is_refused(&start(
        server.ready.control,
        json!({ "duration_s": 60, "user": "ana" }),
    ));
    let mut peer = Peer::connect(server.ready.http, &token);
    let refused = peer.try_share(chat, 60, "").expect_err("by WebSocket");
    assert_eq!(refused.code, Code::WrongSealing, "{}", refused.text);
    let track = gpx::write(server.scratch(), "plain", &gpx::synthetic(5, 5, 1_000));
    for url in [server.quic_url(), server.wss_url()] {
        let gpx = track.display().to_string();
        let share = ["share", "--chat", chat, "--token", &token, "--server", &url];
        let ended = process::run(share.iter().chain(&["--insecure", "--gpx", &gpx]));
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains("sealed sessions only"),
            "{}",
            ended.stderr
        );
    }
    // In a session that is sealed a plain point is refused by itself.
    let point = json!({ "counter": 1_000, "captured_at": now_ms(), "lat": 45.0, "lon": 13.0 });
    let body = json!({ "chat": chat, "session": sealed_session, "points": [point] });
    let answer = Request::new("POST", "/v1/points").token(&token).json(&body);
    let answer = answer
        .send(server.ready.http)
        .expect_success("verdicts")
        .json();
    assert_eq!(answer["accepted"], 0, "{answer}");
    assert_eq!(answer["verdicts"][0]["code"], "wrong_sealing", "{answer}");
    let session = sealed_session.parse().expect("an id");
    let shared = peer.try_resume(chat, session).expect("the own session");
    peer.point(shared.share, point_at(0, 2_000));
    let verdict = peer.expect("a verdict", |update| match update {
        skein_wire::update::Update::Accepted(accepted) => accepted.verdicts.first().copied(),
        _ => None,
    });
    assert_eq!(verdict.code, Code::WrongSealing);
}

fn a_sealed_chat_takes_sealed_points_only_by_every_way_in(cores: Cores) {
    let mut server = server(cores);
    server.add_member("vault", "ana");
    server.add_member("vault", "ben");
    let start = |body: Value| {
        let started = server.start_session("vault", "ana", &body);
        let started = started.expect_success("a start").json();
        started["session"].as_str().expect("an id").to_owned()
    };
    let plain = start(json!({ "duration_s": 600 }));
    let sealed = start(json!({ "duration_s": 600, "sealed": true }));
    let watching = watch(&server, &server.ws_url(), "vault", &[]);
    watching.wait_session_of("ana");
    assert!(!settings(&server, "vault"));
    set_sealed(&server, "vault", true);
    assert_eq!(watching.wait_ended(&plain, PATIENCE), "stopped");
    assert_plain_is_refused(&server, "vault", &sealed);
    server.crash_and_restart();
    assert!(settings(&server, "vault"));
    assert_plain_is_refused(&server, "vault", &sealed);
    let unknown = Request::new("GET", "/v1/chats/nowhere/settings");
    assert_eq!(unknown.send(server.ready.control).status, 404);
    let path = "/v1/chats/vault/settings";
    // Members read it, so that an application knows what to start; they do not change it.
    let by_ana = |method: &str| {
        let request = Request::new(method, path).token(&server.token("ana"));
        request
            .json(&json!({ "sealed": false }))
            .send(server.ready.http)
    };
    assert_eq!(
        by_ana("GET").expect_success("settings").json()["sealed"],
        true
    );
    assert_eq!(by_ana("PUT").status, 405);
    assert!(settings(&server, "vault"));
    set_sealed(&server, "vault", false);
    let started = server.start_session("vault", "ana", &json!({ "duration_s": 60 }));
    started.expect_success("a plain session");
}
