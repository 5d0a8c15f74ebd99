//! A wall clock that jumps, forth and back, under a running server and between two starts: nobody's session
//! ends early, nothing that has ended comes back, and what should have ended ends once.
//!
//! The clock is libfaketime's (`apt install faketime`), the monotonic one stays the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::events;
use skein_tests::fleet::point_at;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    a_clock_that_jumps_under_a_running_server_changes_nothing,
    a_clock_that_jumped_between_two_starts_ends_what_is_over_and_revives_nothing,
);

/// Where distributions put it.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The wall clock of the servers of one test.
struct WallClock {
    library: PathBuf,
    folder: tempfile::TempDir,
}

impl WallClock {
    /// One that goes right; `None`, said aloud, where there is no libfaketime.
    fn find() -> Option<Self> {
        let library = PLACES.iter().map(Path::new).find(|path| path.exists());
        let Some(library) = library else {
            skip::say("clock jumps", "there is no libfaketime; install `faketime`");
            return None;
        };
        let clock = Self {
            library: library.to_owned(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        clock.jump("+0");
        Some(clock)
    }

    /// From now on it is off by so much (`+1d`, `-2d`), for whoever reads it next.
    fn jump(&self, offset: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, offset).expect("written");
        fs::rename(new, self.file()).expect("renamed");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    fn server(&self, cores: Cores) -> Server {
        let set = |name: &str, value: &str| format!("{name}={value}");
        let wrapper = vec![
            "env".to_owned(),
            set("LD_PRELOAD", &self.library.display().to_string()),
            set(
                "FAKETIME_TIMESTAMP_FILE",
                &self.file().display().to_string(),
            ),
            set("FAKETIME_NO_CACHE", "1"),
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Server::start_with(Options {
            wrapper,
            ..Options::new(cores)
        })
    }
}

/// Long enough for timers that a jump could have set off.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn sessions(server: &Server) -> Vec<String> {
    let answer = Request::new("GET", "/v1/chats/hike/sessions").send(server.ready.control);
    let answer = answer.expect_success("sessions").json();
    let all = answer["sessions"].as_array().expect("a list");
    let id = |session: &Value| session["session"].as_str().expect("an id").to_owned();
    all.iter().map(id).collect()
}

/// Everything that the feed says until a member comes who marks the end.
fn feed(server: &Server, mark: &str) -> Vec<Value> {
    server.add_member("hike", mark);
    events::read(server.ready.control, 0, PATIENCE, |events| {
        events.last().is_some_and(|event| event["user"] == mark)
    })
}

fn times(events: &[Value]) -> Vec<u64> {
    let times = events.iter().map(|event| event["at"].as_u64());
    times.map(|at| at.expect("a time")).collect()
}

fn a_clock_that_jumps_under_a_running_server_changes_nothing(cores: Cores) {
    let Some(clock) = WallClock::find() else {
        return;
    };
    let server = clock.server(cores);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 600, "walk");
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    ben.watch("hike", None, Delivery::Every);
    let mut counter = 0;
    for offset in ["+1d", "-2d", "+3650d", "+0"] {
        clock.jump(offset);
        thread::sleep(A_WHILE);
        assert_eq!(sessions(&server), [shared.session.to_string()], "{offset}");
        counter += 1;
        ana.durable_point(shared.share, point_at(1, counter));
        let seen = wait::until_some("the point is shown", PATIENCE, || ben.batch(PATIENCE));
        assert!(seen.header.to > 0, "{offset}");
        // Whoever comes with a good token is let in, and begins a session of the right length.
        let mut again = Peer::connect(server.ready.http, &server.token("ben"));
        let other = again.share("hike", 60, offset);
        let length_ms = other.expires_at_ms.abs_diff(shared.expires_at_ms);
        assert!(length_ms < 700_000, "{offset}: {other:?} after {shared:?}");
        again.stop(other.share);
    }
    let all = feed(&server, "end");
    let times = times(&all);
    assert!(times.is_sorted(), "time does not go back: {all:?}");
    let span_ms = times[times.len() - 1] - times[0];
    assert!(span_ms < 120_000, "nor forth: {all:?}");
}

fn a_clock_that_jumped_between_two_starts_ends_what_is_over_and_revives_nothing(cores: Cores) {
    let Some(clock) = WallClock::find() else {
        return;
    };
    let mut server = clock.server(cores);
    server.add_member("hike", "ana");
    let start = |server: &Server, duration_s: u32| {
        let body = json!({ "user": "ana", "duration_s": duration_s });
        let started = Request::new("POST", "/v1/chats/hike/sessions").json(&body);
        let started = started.send(server.ready.control).expect_success("a start");
        started.json()["session"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (short, long) = (start(&server, 1), start(&server, 3_600));
    wait::until("the short one is over", PATIENCE, || {
        sessions(&server) == [long.clone()]
    });
    // A day back: what is over is over, and the other one goes on.
    clock.jump("-1d");
    server.crash_and_restart();
    thread::sleep(A_WHILE);
    assert_eq!(sessions(&server), std::slice::from_ref(&long));
    let back = feed(&server, "back");
    assert!(times(&back).is_sorted(), "time does not go back: {back:?}");
    // A day forth: its hour is over, once.
    clock.jump("+1d");
    server.crash_and_restart();
    wait::until("the long one is over", PATIENCE, || {
        sessions(&server).is_empty()
    });
    // And back again.
    clock.jump("+0");
    server.crash_and_restart();
    thread::sleep(A_WHILE);
    assert_eq!(sessions(&server), [""; 0]);
    let all = feed(&server, "end");
    for session in [&short, &long] {
        let ends = all.iter().filter(|event| event["session"] == **session);
        let kinds: Vec<&str> = ends.filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(kinds, ["started", "expired"], "{session}");
    }
    assert!(times(&all).is_sorted(), "time does not go back: {all:?}");
}
