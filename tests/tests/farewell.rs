//! A command that ends says farewell, however it ends: the server keeps no connection for it.

use rustix::process::Signal;
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::gpx;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::{self, Process};
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_refused_command_leaves_no_connection,
    a_revoked_watch_leaves_no_connection,
);

#[test]
fn a_tail_of_the_log_ends_in_good_order() {
    let server = Server::start(Cores::One);
    server.add_member("club", "ben");
    let place = server.data_dir().display().to_string();
    for signal in [Signal::TERM, Signal::INT] {
        let mut tail = Process::skein(
            "skein log tail",
            [
                "log",
                "tail",
                "--control",
                "--from",
                "1",
                "--data-dir",
                &place,
            ],
        );
        let line = tail.stdout.wait(PATIENCE, |lines| lines.first().cloned());
        assert!(line.is_some(), "{}", tail.stderr.text());
        tail.signal(signal);
        let ended = tail.wait(PATIENCE);
        assert_eq!(ended.code(), Some(0), "{signal:?}: {}", ended.stderr);
        assert_eq!(ended.stderr, "");
    }
}

/// Waits until the server has exactly so many QUIC connections. One that is not told of the end
/// keeps its place for longer than this waits.
fn await_connections(server: &Server, count: f64, when: &str) {
    wait::until(&format!("{count} connections {when}"), PATIENCE, || {
        server.metrics().sum("skein_quic_connections") == count
    });
}

fn a_refused_command_leaves_no_connection(cores: Cores) {
    let server = Server::start(cores);
    server
        .put_member("club", "ben", &["watch"])
        .expect_success("a member");
    let (url, token) = (server.quic_url(), server.token("ben"));
    let track = gpx::write(server.scratch(), "track", &gpx::synthetic(1, 3, 100));
    let track = track.display().to_string();
    for arguments in [
        &["watch", "--chat", "nowhere"][..],
        &["share", "--chat", "club", "--gpx", &track][..],
    ] {
        let mut all = arguments.to_vec();
        all.extend(["--token", &token, "--server", &url, "--insecure"]);
        let ended = process::run(all);
        assert_eq!(ended.code(), Some(1), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("no such chat"), "{}", ended.stderr);
        await_connections(&server, 0.0, "after a refusal");
    }
}

fn a_revoked_watch_leaves_no_connection(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "club", 1);
    fleet.publish();
    server.add_member("club", "ben");
    let token = server.token("ben");
    let mut watch = WatchRun::start(&server.quic_url(), "club", &token, &[]);
    watch.wait("the chat", PATIENCE, |changes| {
        (!changes.is_empty()).then_some(())
    });
    await_connections(&server, 1.0, "during a watch");
    server.remove_member("club", "ben");
    let ended = watch.process.wait(PATIENCE);
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("membership_revoked"),
        "{}",
        ended.stderr
    );
    await_connections(&server, 0.0, "after the revocation");
}
