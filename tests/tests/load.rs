//! The load generator against the real server, and against one that does something wrong: what it
//! claims to check it must find.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use skein_tests::batch_proxy::{BatchProxy, Fault};
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::{Ended, Process};
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

/// Longest run of these tests.
const RUN: Duration = Duration::from_secs(150);

fn load(arguments: &[&str]) -> Ended {
    let mut command = Command::new(binary::skein_load());
    command.args(arguments);
    Process::start("skein-load", command).wait(RUN)
}

fn report(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn whole(report: &Value, pointer: &str) -> u64 {
    let found = report.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no whole number at {pointer} in {report:#}"))
}

/// Arguments that point it at a server, by way of a proxy where there is one.
fn target(server: &Server, ws: std::net::SocketAddr) -> Vec<String> {
    let ready = &server.ready;
    let data_dir = server.data_dir().display().to_string();
    let mut arguments = Vec::new();
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("--ws", ws.to_string());
    flag("--quic", format!("localhost:{}", ready.quic.port()));
    flag("--control", ready.control.to_string());
    flag("--data-dir", data_dir);
    if let Some(https) = ready.https {
        flag("--wss", format!("localhost:{}", https.port()));
    }
    arguments
}

fn everything_arrives_over_every_transport(cores: Cores) {
    let mut options = Options::new(cores);
    options.https = true;
    let server = Server::start_with(options);
    for delivery in ["latest", "every"] {
        let json = server.scratch().join(format!("{delivery}.json"));
        let svg = server.scratch().join(format!("{delivery}.svg"));
        let mut arguments = target(&server, server.ready.http);
        let words = format!(
            "--senders 30 --rate 2-6 --viewers-ws 30 --viewers-wss 10 --viewers-quic 10 --workers 2 \
             --chats 4,1 --churn 3 --slow 4 --slow-for 1s --duration 4s --patience 30s \
             --delivery {delivery} --json {} --svg {}",
            json.display(),
            svg.display()
        );
        arguments.extend(words.split_whitespace().map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        load(&arguments).expect_success("a run against a healthy server");
        let report = report(&json);
        let sent = whole(&report, "/summary/sending/sent");
        assert!((400..560).contains(&sent), "{sent}");
        assert_eq!(whole(&report, "/summary/verdicts/accepted"), sent);
        assert_eq!(whole(&report, "/summary/missing"), 0);
        assert_eq!(whole(&report, "/summary/viewers"), 50);
        assert!(whole(&report, "/summary/churned_viewers") >= 6);
        // Nearly all viewers read all the time and are on time.
        let delivered = whole(&report, "/summary/totals/delivered");
        assert!(delivered > sent * 15, "{delivered} of {sent}");
        assert!(whole(&report, "/summary/last/count") > 0);
        let picture = std::fs::read_to_string(&svg).expect("a picture");
        assert!(picture.starts_with("<svg") && picture.contains("p99"));
    }
    // A shard tells its figures at intervals.
    wait::until("it ends its sessions", PATIENCE, || {
        server.metrics().sum("skein_sessions_live") == 0.0
    });
}

on_one_and_two_shards!(everything_arrives_over_every_transport);

/// Runs through a proxy; `None` when all is well, else what is said to be wrong.
fn breaches(fault: Fault, delivery: &str) -> Vec<String> {
    let server = Server::start(Cores::One);
    let proxy = BatchProxy::start(server.ready.http, fault);
    let json = server.scratch().join("report.json");
    let mut arguments = target(&server, proxy.address);
    let words = format!(
        "--senders 5 --rate 10 --viewers-ws 8 --duration 4s --patience 2s --delivery {delivery} --json {}",
        json.display()
    );
    arguments.extend(words.split_whitespace().map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = load(&arguments);
    let report = report(&json);
    let breaches = report["breaches"].as_array().expect("a list");
    let breaches: Vec<String> = breaches
        .iter()
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect();
    let code = i32::from(!breaches.is_empty());
    assert_eq!(ended.code(), Some(code), "{breaches:?}\n{}", ended.stdout);
    breaches
}

#[test]
fn a_proxy_that_does_nothing_wrong_is_not_accused() {
    assert_eq!(breaches(Fault::None, "every"), [""; 0]);
}

#[test]
fn batches_that_do_not_arrive_are_missing() {
    for delivery in ["latest", "every"] {
        let breaches = breaches(Fault::AllLost, delivery);
        let missing = breaches
            .iter()
            .any(|text| text.contains("points are missing"));
        assert!(missing, "{delivery}: {breaches:?}");
    }
}

#[test]
fn a_lost_batch_is_found_although_the_server_mends_it() {
    let breaches = breaches(Fault::OneLost, "every");
    let gap = breaches
        .iter()
        .any(|text| text.contains("a gap between two batches"));
    assert!(gap, "{breaches:?}");
}

#[test]
fn a_doubled_and_a_swapped_batch_are_found() {
    let doubled = breaches(Fault::OneDoubled, "latest");
    let twice = doubled.iter().any(|text| text.contains("came twice"));
    assert!(twice, "{doubled:?}");
    let swapped = breaches(Fault::OneSwapped, "latest");
    let gap = swapped
        .iter()
        .any(|text| text.contains("a gap between two batches"));
    assert!(gap, "{swapped:?}");
}

/// Starts a spike of these people.
fn spike(server: &Server, json: &Path, who: &str) -> Process {
    let mut command = Command::new(binary::skein_load());
    let words = format!("{who} --json {}", json.display());
    command
        .arg("spike")
        .args(target(server, server.ready.http))
        .args(words.split_whitespace());
    Process::start("skein-load spike", command)
}

/// What must hold, and whether it does.
fn verdicts(report: &Value) -> Vec<(String, bool)> {
    let verdicts = report["verdicts"].as_array().expect("a list");
    let verdict = |verdict: &Value| {
        let what = verdict["what"].as_str().expect("a text").to_owned();
        (what, verdict["holds"].as_bool().expect("yes or no"))
    };
    verdicts.iter().map(verdict).collect()
}

#[test]
fn a_spike_is_twice_what_was_found_and_accounts_for_every_point() {
    let server = Server::start(Cores::Two);
    let json = server.scratch().join("spike.json");
    let who = "--senders 40 --viewers-ws 40 --rate 4 --spike 4s";
    let ended = spike(&server, &json, who).wait(RUN);
    let report = report(&json);
    let verdicts = verdicts(&report);
    assert_eq!(verdicts.len(), 5, "{verdicts:?}");
    let sums = verdicts.iter().find(|(what, _)| what.starts_with("sent ="));
    assert!(sums.is_some_and(|(_, holds)| *holds), "{}", ended.stdout);
    // How quick a busy machine is, is not for a test to say; whether it is told right, is.
    let all = verdicts.iter().all(|(_, holds)| *holds);
    assert_eq!(ended.code(), Some(i32::from(!all)), "{}", ended.stdout);
    assert_eq!(ended.stdout.contains("FAILS"), !all, "{}", ended.stdout);
    // More than the first rate was tried, and something stood in the way of still more.
    let found = report["sustainable_by"].as_str().expect("how it was found");
    let by_a_limit = found.starts_with("found; above it") || found.starts_with("half of what");
    assert!(
        by_a_limit && ended.stderr.contains("sustained"),
        "{found}\n{}",
        ended.stderr
    );
    // 6 s and 7 s at that rate, 4 s at twice as much.
    let sustainable = report["sustainable"].as_f64().expect("a rate");
    assert!(
        sustainable >= 80.0,
        "{sustainable}: half of the first rate at least"
    );
    let driven = ["sent", "unsent"].map(|it| whole(&report, &format!("/run/summary/sending/{it}")));
    let (driven, expected) = (driven.iter().sum::<u64>() as f64, sustainable * 21.0);
    assert!(
        (driven / expected - 1.0).abs() < 0.05,
        "{driven} of {expected}"
    );
}

#[test]
fn a_server_that_stands_still_in_a_spike_is_said_to() {
    let server = Server::start(Cores::One);
    let json = server.scratch().join("spike.json");
    let who = "--senders 20 --viewers-ws 20 --sustainable 100 --spike 5s";
    let mut running = spike(&server, &json, who);
    // The spike begins 6 s after the first point.
    let in_spike = |line: &String| {
        let seconds = line.split_whitespace().next()?.parse::<f64>().ok()?;
        (6.5..8.8).contains(&seconds).then_some(())
    };
    let found = running
        .stderr
        .wait(RUN, |lines| lines.iter().find_map(in_spike));
    assert!(found.is_some(), "{}", running.stderr.text());
    server.process.freeze();
    std::thread::sleep(Duration::from_millis(1_900));
    server.process.thaw();
    let ended = running.wait(RUN);
    assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
    let report = report(&json);
    for (what, holds) in verdicts(&report) {
        let slow = what.contains("each control command") || what.contains("newest point");
        assert!(!(slow && holds), "{what}\n{}", ended.stdout);
    }
}

#[test]
fn what_is_not_possible_is_said_with_what_to_do() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--ws", "nowhere"], 2, "write HOST:PORT"),
        (&["--ws", "127.0.0.1:1"], 1, "--data-dir DIR"),
        (&["--rate", "0"], 2, "write 1 or 0.2-2"),
        (&["--chats", "0"], 2, "write 10"),
        (
            &["--tracks", "/nonexistent"],
            1,
            "--tracks /nonexistent is no folder",
        ),
        (
            &["--spawn", "/nonexistent/skein"],
            1,
            "cannot start /nonexistent/skein",
        ),
    ];
    for (arguments, code, hint) in cases {
        let ended = load(arguments);
        assert_eq!(ended.code(), Some(*code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(hint),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}
