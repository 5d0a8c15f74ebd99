//! What people are told when something does not work: with what was tried, and what to do next.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use skein_tests::binary;
use skein_tests::cli::{ShareOptions, ShareRun, WatchRun};
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::gpx;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::{self, Ended, Process};
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;

on_one_and_two_shards!(
    a_limit_is_told_with_its_value,
    operators_learn_which_right_is_missing,
    a_watch_that_never_began_says_whom_to_ask,
    a_goodbye_is_told_without_advice_to_programs,
);

fn assert_says(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "no `{word}` in {}",
            ended.stderr
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = closed.local_addr().expect("bound");
    let hint = "is `skein serve` running there, and is --server its address?";
    let watch = |url: &str, more: &[&str]| {
        let base = ["watch", "--chat", "ride", "--token", "t", "--server", url];
        process::run([&base[..], more].concat())
    };
    let url = format!("ws://{closed}");
    assert_says(&watch(&url, &[]), &["cannot watch ride", &url, hint]);
    let url = "ws://nowhere.invalid:80";
    assert_says(&watch(url, &[]), &["cannot watch ride", url, hint]);

    // It takes packets and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let url = format!("quic://{}", silent.local_addr().expect("bound"));
    let folder = tempfile::tempdir().expect("a folder");
    let track = gpx::write(folder.path(), "track", &gpx::synthetic(1, 2, 100));
    let track = track.display().to_string();
    let ended = process::run([
        "share",
        "--chat",
        "ride",
        "--token",
        "t",
        "--server",
        &url,
        "--insecure",
        "--gpx",
        &track,
    ]);
    let waits = format!("connecting to {url}");
    assert_says(&ended, &["cannot share in ride", &url, hint, &waits]);
}

fn a_limit_is_told_with_its_value(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration =
        "[limits]\nduration_s_max = 3600\nsessions_per_user_max = 1\n".to_owned();
    let server = Server::start_with(options);
    server.add_member("ride", "ana");
    let start = |duration: &str| {
        server.session(&[
            "start",
            "--chat",
            "ride",
            "--user",
            "ana",
            "--duration",
            duration,
        ])
    };
    assert_says(&start("2h"), &["bad_duration", "1 to 3600 seconds"]);
    let track = gpx::write(server.scratch(), "track", &gpx::synthetic(1, 2, 100));
    let (url, token, track) = (
        server.quic_url(),
        server.token("ana"),
        track.display().to_string(),
    );
    let share = process::run([
        "share",
        "--chat",
        "ride",
        "--token",
        &token,
        "--server",
        &url,
        "--insecure",
        "--gpx",
        &track,
        "--duration",
        "2h",
    ]);
    assert_says(&share, &["bad_duration", "1 to 3600 seconds"]);
    start("1h").expect_success("within the limit");
    assert_says(
        &start("1h"),
        &["limit_reached", "ana has 1 live sessions here"],
    );
}

fn operators_learn_which_right_is_missing(cores: Cores) {
    let server = Server::start(cores);
    server
        .put_member("ride", "bo", &["watch"])
        .expect_success("a member");
    let started = server.session(&["start", "--chat", "ride", "--user", "bo"]);
    let words = ["bo may not share in ride", "`skein member add --rights"];
    assert_says(&started, &words);
    // The same question by somebody else is answered as ever.
    let public = server.start_session("ride", "bo", &json!({ "duration_s": 60 }));
    let absent = json!({ "code": "not_found", "text": Code::NotFound.text() });
    assert_eq!((public.status, public.json()), (404, absent));
}

#[test]
fn the_wrong_listener_and_the_missing_token_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("control.token");
    std::fs::write(&token, "a-token-of-26-letters-say\n").expect("written");
    let token = token.display().to_string();
    let mut options = Options::new(Cores::One);
    options.arguments = vec!["--control-token".to_owned(), token.clone()];
    let server = Server::start_with(options);
    let list = |control: String, more: &[&str]| {
        let base = ["member", "list", "--chat", "ride", "--control", &control];
        process::run([&base[..], more].concat())
    };
    let (http, control) = (
        server.ready.http.to_string(),
        server.ready.control.to_string(),
    );
    assert_says(
        &list(http, &[]),
        &["no such path", "is --control the control listener?"],
    );
    assert_says(&list(control.clone(), &[]), &["give --control-token FILE"]);
    let other = folder.path().join("other.token");
    std::fs::write(&other, "another-token-of-29-letters\n").expect("written");
    let other = ["--control-token", &other.display().to_string()];
    assert_says(
        &list(control.clone(), &other),
        &["is --control-token the file of"],
    );
    // With the right one the server is asked, and knows no such chat.
    assert_says(
        &list(control, &["--control-token", &token]),
        &["no such chat"],
    );
}

#[test]
fn another_number_of_partitions_is_told_by_its_key() {
    let mut server = Server::start(Cores::One);
    server.stop().expect_success("skein serve after SIGTERM");
    let place = server.data_dir().display().to_string();
    let file = server.scratch().join("other.toml");
    std::fs::write(&file, "[shards]\npartitions = 3\n").expect("written");
    let file = file.display().to_string();
    let mut arguments = vec!["serve", "--dev", "--data-dir", &place, "--config", &file];
    for flag in ["--quic", "--http", "--control"] {
        arguments.extend([flag, "127.0.0.1:0"]);
    }
    assert_says(
        &process::run(arguments),
        &["64 partitions, not 3", "set `shards.partitions = 64`"],
    );
}

fn a_watch_that_never_began_says_whom_to_ask(cores: Cores) {
    let server = Server::start(cores);
    let (url, token) = (server.ws_url(), server.token("bo"));
    let ended = process::run([
        "watch", "--chat", "ride", "--token", &token, "--server", &url,
    ]);
    assert_says(&ended, &["cannot watch ride: ", "ask for membership"]);
    assert!(!ended.stderr.contains("is over"), "{}", ended.stderr);
}

fn a_goodbye_is_told_without_advice_to_programs(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "ride", 1);
    fleet.publish();
    server.add_member("ride", "ana");
    let token = server.token("ana");
    let by_quic = WatchRun::start(&server.quic_url(), "ride", &token, &[]);
    let by_ws = WatchRun::start(&server.ws_url(), "ride", &token, &[]);
    let track = gpx::write(server.scratch(), "track", &gpx::synthetic(1, 600, 1_000));
    let track = track.display().to_string();
    let url = server.quic_url();
    let share = Process::skein(
        "skein share",
        [
            "share",
            "--chat",
            "ride",
            "--token",
            &token,
            "--server",
            &url,
            "--insecure",
            "--gpx",
            &track,
        ],
    );
    for watch in [&by_quic, &by_ws] {
        watch.wait_session_of("ana");
    }
    server.stop().expect_success("skein serve after SIGTERM");
    for process in [&by_quic.process, &by_ws.process, &share] {
        let name = process.name();
        wait::until(&format!("{name} says goodbye"), PATIENCE, || {
            process.stderr.text().contains("(going_away)")
        });
        let said = process.stderr.text();
        for advice in ["reconnect", "cursor"] {
            assert!(!said.contains(advice), "{name}: {said}");
        }
    }
}

#[test]
fn who_asks_twice_does_not_wait_for_a_server_that_says_nothing() {
    let server = Server::start(Cores::One);
    server.add_member("ride", "ana");
    let (url, token) = (server.quic_url(), server.token("ana"));
    let track = gpx::write(server.scratch(), "track", &gpx::synthetic(1, 600, 100));
    let options = ShareOptions {
        chat: "ride".to_owned(),
        token,
        gpx: track,
        speed: 1.0,
        extra: vec![],
    };
    let mut share = ShareRun::start(&url, server.scratch(), &options).process;
    let has_said = |share: &Process, words: &str| share.stderr.text().contains(words);
    wait::until("it shares", PATIENCE, || {
        has_said(&share, "sharing as session")
    });
    assert!(has_said(&share, "--retime"), "an old track, and what to do");
    server.process.freeze();
    share.signal(Signal::INT);
    wait::until("it stops", PATIENCE, || has_said(&share, "Ctrl-C again"));
    share.signal(Signal::INT);
    let ended = share.wait(PATIENCE);
    server.process.thaw();
    assert_says(&ended, &["given up", "skein session stop"]);
}

#[test]
fn a_filter_of_the_log_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary::skein());
    command.args(["serve", "--dev", "--data-dir"]);
    command.arg(folder.path().join("data"));
    command.env("SKEIN_LOG", "[[[");
    let ended = Process::start("skein serve, a wrong filter", command).wait(PATIENCE);
    assert_says(&ended, &["SKEIN_LOG", "[[[", "write a level"]);
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}
