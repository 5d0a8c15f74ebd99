//! A kernel (or a sandbox) that refuses to steer QUIC packets: the server says so, and serves all
//! who stay where they are.

use std::path::Path;

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::server::{Options, Server};
use skein_tests::strace;
use skein_tests::wait::{self, PATIENCE};

/// Enough that the kernel's hash spreads them over both shards.
const VIEWERS: usize = 6;

const ROUNDS: u64 = 5;

#[test]
fn without_steering_the_server_warns_and_serves() {
    if !strace::is_there("a kernel that refuses to steer") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let calls = folder.path().join("calls.txt");
    let traced = start(&["--trace", "setsockopt"], &calls);
    assert!(!warns(&traced));
    drop(traced);
    let text = std::fs::read_to_string(&calls).expect("what strace has seen");
    let number = number_of_call(&text, "SO_ATTACH_REUSEPORT_CBPF");
    let fault = format!("setsockopt:error=EPERM:when={number}");
    let server = start(&["--trace", "setsockopt", "--inject", &fault], &calls);
    assert!(warns(&server), "{}", server.process.stderr.text());

    server.add_member("still", "viewer");
    let mut fleet = Fleet::start(&server, "still", 1);
    fleet.publish();
    fleet.settle();
    let token = server.token("viewer");
    let watches: Vec<WatchRun> = (0..VIEWERS)
        .map(|_| WatchRun::start(&server.quic_url(), "still", &token, &[]))
        .collect();
    let shows = |watch: &WatchRun, counter| {
        let changes = watch.changes();
        let mut points = changes.iter().filter_map(|change| change.point());
        points.any(|point| point.counter == counter)
    };
    wait::until("the first point is shown", PATIENCE, || {
        watches.iter().all(|watch| shows(watch, 1))
    });
    for _ in 0..ROUNDS {
        fleet.publish();
    }
    wait::until("the last point is shown", PATIENCE, || {
        watches.iter().all(|watch| shows(watch, 1 + ROUNDS))
    });
}

/// Starts a server of two shards under strace.
fn start(how: &[&str], calls: &Path) -> Server {
    let mut options = Options::new(Cores::Two);
    let output = calls.display().to_string();
    let first = ["strace", "--daemonize", "--follow-forks", "--quiet=all"];
    let last = ["--output", &output];
    let all = first.iter().chain(how).chain(&last);
    options.wrapper = all.map(|text| (*text).to_owned()).collect();
    Server::start_with(options)
}

fn warns(server: &Server) -> bool {
    let said = server.process.stderr.text();
    said.contains("QUIC packets are not steered")
}

/// The how manieth call of its thread the first one is that names `option`.
fn number_of_call(text: &str, option: &str) -> usize {
    let found = text.lines().find(|line| line.contains(option));
    let found = found.unwrap_or_else(|| panic!("no {option} in\n{text}"));
    let thread = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let own: Vec<&str> = text
        .lines()
        .filter(|line| thread(line) == thread(found) && line.contains("setsockopt("))
        .collect();
    let place = own.iter().position(|line| *line == found);
    1 + place.expect("it is one of them")
}
