//! The disk takes nothing: positions go on, and nobody is promised what cannot be kept. When it works
//! again, so do the promises, and what was not kept meanwhile is made up for.
//!
//! A reserve larger than any disk stands for one that is full for good; system calls that fail, injected into the
//! running server, for one that is full or broken for a while. What the log does then is its own
//! tests' matter.

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{Options, Server};
use skein_tests::small_disk::SmallDisk;
use skein_tests::strace::Failing;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    positions_go_on_and_are_not_called_durable,
    a_disk_that_fails_for_a_while,
    a_disk_that_is_full_for_a_while,
    a_start_after_a_crash_on_a_disk_without_a_free_byte,
);

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
    let session = id_of(&started.json());

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

fn a_disk_that_fails_for_a_while(cores: Cores) {
    survive(cores, &["fdatasync:error=EIO"]);
}

fn a_disk_that_is_full_for_a_while(cores: Cores) {
    // A file that is there could still be written: only one that has failed asks for another.
    survive(cores, &["fdatasync:error=EIO", "fallocate:error=ENOSPC"]);
}

fn survive(cores: Cores, rules: &[&str]) {
    let mut server = Server::start(cores);
    server
        .put_member("ride", "ana", &["share", "watch"])
        .expect_success("a member");
    let started = server.start_session("ride", "ana", &json!({ "duration_s": 600 }));
    let session = id_of(&started.expect_success("a session").json());
    let mut viewer = Viewer::watch(&server);
    let mut counter = 1;
    assert_eq!(post(&server, &session, counter)["durable"], true);

    let pid = server.process.id();
    let what = "a disk that fails under a running server";
    let Some(failing) = Failing::begin(what, pid, rules, server.scratch()) else {
        return;
    };
    wait::until("health tells of it", PATIENCE, || {
        counter += 1;
        let answer = post(&server, &session, counter);
        assert_eq!(answer["accepted"], 1, "{answer}");
        assert_eq!(answer["durable"], false, "{answer}");
        viewer.sees(counter);
        !log_durable(&server)
    });
    drop(failing);
    let quiet_since = counter;
    // Nothing is shared any more: the server finds out by itself.
    wait::until("health tells that it is over", PATIENCE, || {
        log_durable(&server)
    });
    let checkpoints = || server.metrics().sum("skein_checkpoints_total");
    wait::until("what was lost is written again", PATIENCE, || {
        checkpoints() > 0.0
    });
    server.crash_and_restart();
    let positions = server.positions("ride", "ana");
    let newest = &positions["positions"][0]["point"]["counter"];
    assert_eq!(*newest, quiet_since, "{positions}");
    assert_eq!(post(&server, &session, counter + 1)["durable"], true);
}

fn a_start_after_a_crash_on_a_disk_without_a_free_byte(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration = "[shards]\npartitions = 8\n[log]\ndisk_reserve_bytes = 0\n\
                             segment_bytes_min = 262144\nsegment_bytes_max = 1048576\n"
        .to_owned();
    let mut server = Server::start_with(options);
    let start = |server: &Server, chat: &str| {
        let member = server.put_member(chat, "ana", &["share", "watch"]);
        member.expect_success("a member");
        let started = server.start_session(chat, "ana", &json!({ "duration_s": 600 }));
        id_of(&started.expect_success("a session").json())
    };
    let session = start(&server, "ride");
    assert_eq!(post(&server, &session, 1)["durable"], true);
    server.stop().expect_success("a stop");
    let folder = server.data_dir().join("log");
    let what = "a start on a disk without a free byte";
    let Some(disk) = SmallDisk::under(what, &folder, 8) else {
        return;
    };
    server.restart();
    assert_eq!(post(&server, &session, 2)["durable"], true);
    server.process.kill();
    disk.fill();
    server.restart();
    disk.fill();

    let mut viewer = Viewer::watch(&server);
    assert_eq!(post(&server, &session, 3)["accepted"], 1);
    viewer.sees(3);
    // Sooner or later one needs a file.
    let mut chats = 0;
    wait::until("health tells of it", PATIENCE, || {
        chats += 1;
        start(&server, &format!("ride{chats}"));
        !log_durable(&server)
    });
    assert!(server.metrics().sum("skein_log_degraded") >= 1.0);
    assert!(server.metrics().sum("skein_log_refusals_total") >= 1.0);
    let said = server.process.stderr.text();
    assert!(said.contains("the disk refuses the event log"), "{said}");
    assert_eq!(post(&server, &session, 4)["accepted"], 1);
    viewer.sees(4);

    disk.empty();
    wait::until("health tells that it is over", PATIENCE, || {
        log_durable(&server)
    });
    wait::until("promises are kept again", PATIENCE, || {
        chats += 1;
        post(&server, &session, 4 + chats)["durable"] == true
    });
    server.process.kill();
}

/// A viewer of the chat.
struct Viewer {
    peer: Peer,
    table: Table,
}

impl Viewer {
    fn watch(server: &Server) -> Self {
        let mut peer = Peer::connect(server.ready.http, &server.token("ana"));
        peer.watch("ride", None, Delivery::Latest);
        let table = Table::default();
        Self { peer, table }
    }

    /// Waits until a point of the only session has come.
    fn sees(&mut self, counter: u64) {
        wait::until("the viewer has the point", PATIENCE, || {
            if let Some(batch) = self.peer.batch(PATIENCE) {
                self.table.apply(batch);
            }
            let mut rows = self.table.live();
            rows.any(|row| row.counter == counter)
        });
    }
}

fn id_of(started: &Value) -> String {
    let id = started["session"].as_str();
    id.expect("an id").to_owned()
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
