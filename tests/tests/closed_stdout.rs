//! Whoever reads a command's output may have read enough (`skein … | head`): the command does its
//! work, ends with 0, and says nothing.

use std::process::Command;

use serde_json::Value;
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::gpx;
use skein_tests::http::Request;
use skein_tests::process::{self, Process};
use skein_tests::server::{Options, Server};
use skein_tests::wait::PATIENCE;

/// Runs a command whose output nobody reads. A panic would be 101, an error 1.
fn unheard(arguments: &[&str]) {
    let mut command = Process::skein_unheard("skein, unheard", arguments);
    let ended = command.wait(PATIENCE);
    assert_eq!(ended.code(), Some(0), "{arguments:?}: {}", ended.stderr);
    for word in ["panicked", "error", "pipe"] {
        let said = ended.stderr.to_lowercase();
        assert!(!said.contains(word), "{arguments:?}: {}", ended.stderr);
    }
}

fn server_with_history() -> Server {
    let mut options = Options::new(Cores::One);
    options.arguments = vec!["--history".to_owned()];
    Server::start_with(options)
}

#[test]
fn operators_commands_end_quietly_and_have_done_their_work() {
    let mut server = server_with_history();
    let control = server.ready.control.to_string();
    let at = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--control", &control]);
        unheard(&all);
    };
    let (chat, ana) = (["--chat", "hike"], ["--user", "ana"]);
    let of = |command: &[&'static str], more: &[&str]| {
        let mut all = command.to_vec();
        all.extend(chat);
        all.extend_from_slice(more);
        at(&all);
    };
    of(&["member", "add"], &ana);
    let members = server.member(&["list", "--chat", "hike"]);
    assert_eq!(
        members.expect_success("the members").stdout,
        "ana\tshare,watch"
    );
    of(&["member", "list"], &[]);
    let lines = server.scratch().join("members.jsonl");
    std::fs::write(&lines, "{\"user\":\"ben\",\"rights\":[\"watch\"]}\n").expect("written");
    of(&["member", "import"], &[&lines.display().to_string()]);
    of(&["member", "remove"], &["--user", "ben"]);

    of(&["session", "start"], &ana);
    let started = server.session(&["start", "--chat", "hike", "--user", "ana"]);
    let session = started.expect_success("a session").stdout;
    let session = ["--session", session.trim()];
    of(&["session", "list"], &[]);
    of(
        &["session", "extend"],
        &[&session[..], &["--duration", "1h"]].concat(),
    );
    of(&["session", "stop"], &session);

    of(&["guest", "create"], &[]);
    let guests = process::run(["guest", "list", "--chat", "hike", "--control", &control]);
    let guests = guests.expect_success("a link").stdout;
    let guest = guests.split('\t').next().expect("its id");
    of(&["guest", "list"], &[]);
    of(&["guest", "revoke"], &["--guest", guest]);

    of(&["history", "query"], &["--format", "gpx"]);
    of(&["history", "erase"], &[]);

    let place = server.data_dir().display().to_string();
    let place = ["--data-dir", &place];
    unheard(&[&["token"][..], &ana, &place].concat());
    for verb in ["stat", "verify", "scrub", "dump", "export"] {
        unheard(&[&["log", verb][..], &place].concat());
    }
    server.stop().expect_success("skein serve after SIGTERM");
    unheard(&[&["log", "erase"][..], &chat, &place].concat());
}

#[test]
fn peoples_commands_end_quietly() {
    let server = Server::start(Cores::One);
    server.add_member("hike", "ana");
    let (url, token) = (server.quic_url(), server.token("ana"));
    let track = gpx::write(server.scratch(), "track", &gpx::synthetic(1, 3, 100));
    let track = track.display().to_string();
    let connected = [
        "--chat",
        "hike",
        "--token",
        &token,
        "--server",
        &url,
        "--insecure",
    ];
    let watch = [&["watch", "--format", "jsonl"][..], &connected].concat();
    let mut watching = Process::skein_unheard("skein watch, unheard", &watch);
    unheard(&[&["share", "--gpx", &track][..], &connected].concat());
    let ended = watching.wait(PATIENCE);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    // It does not wait for its own end: nobody sees what it would show.
    unheard(&["demo", "--walkers", "2"]);
    unheard(&["serve", "--print-limits"]);
}

#[test]
fn a_server_serves_also_when_nobody_reads_that_it_is_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("data").display().to_string();
    let mut arguments = vec!["serve", "--dev", "--data-dir", &place, "--cores", "0"];
    for flag in ["--quic", "--http", "--control"] {
        arguments.extend([flag, "127.0.0.1:0"]);
    }
    let mut server = Process::skein_unheard("skein serve, unheard", &arguments);
    let said = server.stderr.wait(PATIENCE, |lines| {
        lines
            .iter()
            .find(|line| line.contains("cannot say on stdout"))
            .cloned()
    });
    assert!(said.is_some(), "{}", server.stderr.text());
    assert!(server.is_running(), "{}", server.stderr.text());
    server
        .terminate(PATIENCE)
        .expect_success("skein serve after SIGTERM");
}

/// A log on a full disk, or a pipe to a program that is gone, costs lines and nothing else.
#[test]
fn a_server_serves_also_when_its_log_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("data").display().to_string();
    let lost = "exec \"$0\" serve --dev --data-dir \"$1\" --quic 127.0.0.1:0 --http 127.0.0.1:0 --control 127.0.0.1:0 2>/dev/full";
    let mut command = Command::new("sh");
    command.args(["-c", lost]).arg(binary::skein()).arg(place);
    let mut server = Process::start("skein serve, its log lost", command);
    let ready = server.stdout.wait(PATIENCE, |lines| lines.first().cloned());
    let ready: Value = serde_json::from_str(&ready.expect("the ready line")).expect("JSON");
    let http = ready["http"].as_str().expect("an address");
    let http = http.parse().expect("an address");
    // Refusals and requests that are logged, too.
    for path in ["/v1/health", "/v1/chats/hike/positions", "/nowhere"] {
        let answer = Request::new("GET", path).send(http);
        assert!(answer.status >= 200, "{path}");
    }
    assert!(server.is_running());
    server
        .terminate(PATIENCE)
        .expect_success("skein serve after SIGTERM");
}
