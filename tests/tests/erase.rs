//! What is erased is in no file: places not as text, not as a float, not as a scaled integer, names not at
//! all; and it does not come back with a checkpoint, a restart or an event on its way. An erase that was
//! killed can be repeated. What is not erased stays.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::now_ms;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::plaintext::{count, files};
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::webhook::Receiver;

on_one_and_two_shards!(
    points_of_a_member_are_in_no_file_after_an_erase,
    names_are_in_no_file_after_an_erase,
    notes_about_links_go_with_an_erase,
    an_erase_that_was_killed_can_be_repeated,
    events_on_their_way_to_a_webhook_are_forgotten_too,
    old_points_are_thinned_and_the_newest_stay,
    a_backlog_that_came_within_a_second_is_thinned_to_its_trail,
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

/// How often a name is in the files of a folder and of those below it.
fn named(folder: &Path, name: &str) -> usize {
    let mut found = 0;
    for path in files(folder) {
        // One that is gone meanwhile holds nothing.
        let bytes = fs::read(path).unwrap_or_default();
        found += named_in(&bytes, name);
    }
    found
}

/// Most of a log's files is empty: pages of zeros are passed over.
fn named_in(bytes: &[u8], name: &str) -> usize {
    const PAGE: usize = 4096;
    let is_there = |window: &&[u8]| *window == name.as_bytes();
    let mut found = 0;
    for begin in (0..bytes.len()).step_by(PAGE) {
        let page = &bytes[begin..bytes.len().min(begin + PAGE)];
        if page != &[0; PAGE][..page.len()] {
            // The last name of a page may end in the next one.
            let end = bytes.len().min(begin + page.len() + name.len() - 1);
            let windows = bytes[begin..end].windows(name.len());
            found += windows.filter(is_there).count();
        }
    }
    found
}

fn erase(server: &Server, user: &str) -> Value {
    let path = format!("/v1/log/users/{user}/points");
    let erase = Request::new("DELETE", &path).send(server.ready.control);
    erase.expect_success("an erase").json()
}

fn alert(server: &Server, owner: &str, about: Option<&str>) {
    let mut body = json!({
        "circle": { "lat": 47.1, "lon": 8.7, "radius_m": 500 },
        "owner": owner, "duration_s": 600,
    });
    if let Some(about) = about {
        body["user"] = json!(about);
    }
    Request::new("PUT", "/v1/chats/hike/alerts/there")
        .json(&body)
        .send(server.ready.control)
        .expect_success("an alert");
}

fn names_are_in_no_file_after_an_erase(cores: Cores) {
    const GONE: &str = "wilhelmina-of-old";
    const STAYS: &str = "konstantin-the-next";
    let mut options = Options::new(cores);
    options.configuration = "[shards]\npartitions = 4\n".to_owned();
    let mut server = Server::start_with(options);
    let (data, control) = (server.data_dir(), server.data_dir().join("control"));
    for user in [GONE, STAYS] {
        server.add_member("hike", user);
    }
    let body = json!({ "duration_s": 600, "idempotency_key": "once" });
    let started = server.start_session("hike", GONE, &body).json();
    alert(&server, STAYS, Some(GONE));
    let started = started["session"].as_str().expect("an id").to_owned();
    end(&server, &started);
    server.remove_member("hike", GONE);
    assert!(named(&control, GONE) > 2, "the test would see it");
    let log = data.join("log");
    assert!(named(&log, GONE) > 1, "a start and a membership");

    let report = erase(&server, GONE);
    assert_eq!(report["alerts"], 1, "{report}");
    let of_control = &report["control"];
    assert!(of_control["records_removed"].as_u64() > Some(4), "{report}");
    assert_eq!(of_control["records_left"], 0, "{report}");
    assert_eq!(of_control["names_left"], 0, "{report}");
    assert_eq!(named(&data, GONE), 0, "at once");
    assert!(named(&control, STAYS) > 0, "the others stay");
    assert!(named(&log, STAYS) > 0, "here too");

    // What is left is whole: after a crash the others are members, and she is not.
    server.crash_and_restart();
    assert_eq!(named(&data, GONE), 0, "after a crash");
    let stays = server.start_session("hike", STAYS, &json!({ "duration_s": 600 }));
    stays.expect_success("a start");
    let gone = server.start_session("hike", GONE, &json!({ "duration_s": 600 }));
    assert_eq!(gone.status, 404, "{gone:?}");

    // Who is still a member is named as such, and said to be.
    let report = erase(&server, STAYS);
    assert!(
        report["control"]["names_left"].as_u64() >= Some(2),
        "{report}"
    );
    assert_eq!(named(&data, GONE), 0, "{report}");
    alert(&server, STAYS, None);
    server.stop().expect_success("a stop");
    let folder = data.display().to_string();
    let ended = process::run(["log", "erase", "--user", STAYS, "--data-dir", &folder]);
    let report: Value = serde_json::from_str(ended.stdout.trim()).expect("a report");
    assert_eq!(report["alerts"], 1, "{report}");
    assert_eq!(report["control"]["records_left"], 0, "{report}");
    server.restart();
    let alerts = Request::new("GET", "/v1/chats/hike/alerts").send(server.ready.control);
    assert_eq!(alerts.json()["alerts"], json!([]), "they are over");
    // Checkpoints of before, which the erases wrote, have the names of then, and go as well.
    server.remove_member("hike", STAYS);
    let report = erase(&server, STAYS);
    assert_eq!(report["control"]["names_left"], 0, "{report}");
    assert_eq!(named(&data, STAYS), 0, "{report}");
}

/// Makes a link for guests with a note about it; its id.
fn link(server: &Server, session: Option<&str>, label: &str) -> String {
    let mut body = json!({ "duration_s": 600, "label": label });
    if let Some(session) = session {
        body["session"] = json!(session);
    }
    let made = Request::new("POST", "/v1/chats/hike/guests").json(&body);
    let made = made.send(server.ready.control).expect_success("a link");
    made.json()["guest"].as_str().expect("an id").to_owned()
}

fn links(server: &Server) -> Vec<Value> {
    let listed = Request::new("GET", "/v1/chats/hike/guests").send(server.ready.control);
    let listed = listed.expect_success("links").json();
    listed["guests"].as_array().expect("a list").clone()
}

fn notes_about_links_go_with_an_erase(cores: Cores) {
    const OF_SESSION: &str = "for-the-granny-of-wilhelmina";
    const OF_CHAT: &str = "for-all-the-parents";
    const REVOKED: &str = "for-a-friend-of-wilhelmina";
    let mut options = Options::new(cores);
    options.configuration = "[shards]\npartitions = 4\n".to_owned();
    let mut server = Server::start_with(options);
    let data = server.data_dir();
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let start = |server: &Server, user| {
        let started = server.start_session("hike", user, &json!({ "duration_s": 600 }));
        let started = started.expect_success("a start").json();
        started["session"].as_str().expect("an id").to_owned()
    };
    let session = start(&server, "ana");
    link(&server, Some(&session), OF_SESSION);
    link(&server, None, OF_CHAT);
    let revoked = link(&server, None, REVOKED);
    let revoke = Request::new("DELETE", &format!("/v1/chats/hike/guests/{revoked}"));
    revoke.send(server.ready.control).expect_success("revoked");
    end(&server, &session);
    assert!(named(&data, OF_SESSION) > 0, "the test would see it");
    assert!(named(&data, REVOKED) > 0, "the test would see it");

    // The link showed a session of hers, and has nothing to show any more.
    let report = erase(&server, "ana");
    assert_eq!(report["control"]["records_left"], 0, "{report}");
    assert_eq!(named(&data, OF_SESSION), 0, "{report}");
    assert_eq!(named(&data, REVOKED), 0, "whom it named nobody knows");
    let left = links(&server);
    assert_eq!((left.len(), &left[0]["label"]), (1, &json!(OF_CHAT)));

    // The same while the server is stopped.
    let session = start(&server, "ben");
    link(&server, Some(&session), OF_SESSION);
    end(&server, &session);
    server.stop().expect_success("a stop");
    assert!(named(&data, OF_SESSION) > 0, "the test would see it");
    let folder = data.display().to_string();
    process::run(["log", "erase", "--user", "ben", "--data-dir", &folder]);
    assert_eq!(named(&data, OF_SESSION), 0, "while it is stopped");
    server.restart();
    assert_eq!(links(&server).len(), 1);
    assert_eq!(named(&data, OF_SESSION), 0, "after a start");
    assert!(named(&data, OF_CHAT) > 0, "a link that is good is kept");
}

/// Pauses between the wish and the kill, milliseconds: before, while and after anything is rewritten.
const KILLS_AFTER_MS: [u64; 4] = [0, 110, 180, 300];

fn an_erase_that_was_killed_can_be_repeated(cores: Cores) {
    const GONE: &str = "wilhelmina-of-old";
    let mut options = Options::new(cores);
    options.configuration = "[shards]\npartitions = 2\n[history]\nenabled = true\nevery = \"1s\"\n\
                             [views]\nretain = \"30d\"\n"
        .to_owned();
    let mut server = Server::start_with(options);
    let data = server.data_dir();
    for pause_ms in KILLS_AFTER_MS {
        let session = walk(&server, GONE, ANA);
        end(&server, &session);
        server.remove_member("hike", GONE);
        assert!(
            named(&data, GONE) > 0 && count(&data, ANA) > 0,
            "they are there"
        );
        let path = format!("/v1/log/users/{GONE}/points");
        let control = server.ready.control;
        // Whether it is answered depends on the kill.
        let wish = thread::spawn(move || Request::new("DELETE", &path).try_send(control));
        thread::sleep(Duration::from_millis(pause_ms));
        server.crash_and_restart();
        let _ = wish.join();
        let report = erase(&server, GONE);
        for (what, left) in [
            ("records", &report["records_left"]),
            ("sessions", &report["sessions_live"]),
            (
                "records of the control log",
                &report["control"]["records_left"],
            ),
            ("names", &report["control"]["names_left"]),
        ] {
            assert_eq!(*left, 0, "{what} after {pause_ms} ms: {report}");
        }
        // The history notes whom not to take until it has read what is not durable yet.
        wait::until("no name is left", PATIENCE, || named(&data, GONE) == 0);
        assert_eq!(count(&data, ANA), 0, "after {pause_ms} ms: {report}");
    }
}

fn events_on_their_way_to_a_webhook_are_forgotten_too(cores: Cores) {
    const GONE: &str = "wilhelmina-of-old";
    const STAYS: &str = "konstantin-the-next";
    let receiver = Receiver::start();
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("written");
    let mut options = Options::new(cores);
    options.configuration = format!(
        "[webhook]\nurls = [{:?}]\nsecret = {:?}\ntries_max = 3\n",
        receiver.url(),
        secret.path().display().to_string(),
    );
    let server = Server::start_with(options);
    let data = server.data_dir();
    receiver.answer(503);
    for user in [GONE, STAYS] {
        server.add_member("hike", user);
    }
    server.remove_member("hike", GONE);
    wait::until("a try that failed", PATIENCE, || {
        receiver.posts().iter().any(|post| post.body.contains(GONE))
    });
    let report = erase(&server, GONE);
    assert_eq!(report["control"]["names_left"], 0, "{report}");
    let letters = || {
        let answer = Request::new("GET", "/v1/webhooks/dead").send(server.ready.control);
        answer.expect_success("the list").json()["dead_letters"].clone()
    };
    wait::until("what is left is given up", PATIENCE, || {
        letters().as_array().is_some_and(|list| !list.is_empty())
    });
    assert_eq!(named(&data, GONE), 0, "{}", letters());
    // The others' events are still to be had, and only once in the list.
    receiver.answer(200);
    for letter in letters().as_array().expect("a list") {
        let path = format!("/v1/webhooks/dead/{}/retry", letter["id"]);
        let retry = Request::new("POST", &path).send(server.ready.control);
        assert_eq!(retry.status, 202, "{retry:?}");
    }
    wait::until("they arrive", PATIENCE, || {
        receiver.events().iter().any(|event| event["user"] == STAYS)
    });
    assert!(receiver.events().iter().all(|event| event["user"] != GONE));
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

/// Uploads a backlog of ten minutes, a point each ten seconds, an hour old; the session's id.
fn backlog(server: &Server, user: &str, historical: bool) -> String {
    const MINUTE_MS: u64 = 60_000;
    server.add_member("hike", user);
    let started = server.start_session("hike", user, &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    let session = started["session"].as_str().expect("an id").to_owned();
    let began = (now_ms() - 60 * MINUTE_MS) / MINUTE_MS * MINUTE_MS;
    let at = |counter, captured_at: u64| json!({ "counter": counter, "captured_at": captured_at, "lat": 47, "lon": 8 });
    let upload = |historical, points: Vec<Value>| {
        let body = json!({
            "chat": "hike", "session": session, "historical": historical, "points": points,
        });
        let post = Request::new("POST", "/v1/points").token(&server.token(user));
        let posted = post.json(&body).send(server.ready.http);
        let accepted = posted.expect_success("points").json()["accepted"].as_u64();
        assert_eq!(accepted, Some(points.len() as u64));
    };
    if historical {
        upload(false, vec![at(100, now_ms())]);
    }
    let points = (1..=60).map(|counter| at(counter, began + (counter - 1) * 10_000));
    upload(historical, points.collect());
    session
}

/// How many points of a session the log holds.
fn points_in_log(server: &Server, session: &str) -> usize {
    let points = |partition| {
        let path = format!("/v1/log/{partition}?after=0&limit=10000");
        let page = Request::new("GET", &path).send(server.ready.control).body;
        let lines = page.lines().filter(|line| line.contains(session));
        lines.filter(|line| line.contains("point\",")).count()
    };
    (0..2).map(points).sum()
}

fn a_backlog_that_came_within_a_second_is_thinned_to_its_trail(cores: Cores) {
    let mut options = Options::new(cores);
    let configuration = "[shards]\npartitions = 2\n[log]\nthin_after_ms = 1000\n";
    configuration.clone_into(&mut options.configuration);
    let mut server = Server::start_with(options);
    let (marked, unmarked) = (
        backlog(&server, "ana", true),
        backlog(&server, "ben", false),
    );
    let held = |server: &Server| [&marked, &unmarked].map(|it| points_in_log(server, it));
    assert_eq!(held(&server), [61, 60]);
    // An erase writes a checkpoint and closes the segment: what lies before is ready to be thinned.
    walk(&server, "cem", BEN);
    for _ in 0..2 {
        let erase = Request::new("DELETE", "/v1/log/chats/hike/points?user=cem");
        erase.send(server.ready.control).expect_success("an erase");
    }
    let thinned = |server: &Server| server.metrics().sum("skein_log_thinned_records_total");
    wait::until("both are thinned", PATIENCE, || thinned(&server) >= 100.0);
    assert_eq!(
        held(&server),
        [11, 10],
        "one a minute, and one that was live"
    );
    // How far it is survives a restart, and another interval begins anew.
    let log = Request::new("GET", "/v1/log").send(server.ready.control);
    let consumer = &log.json()["consumers"][0];
    assert_eq!(consumer["name"], "thinner-60000", "{consumer}");
    let places = consumer["places"].as_array().expect("places");
    let moved = places
        .iter()
        .any(|place| place["next"].as_u64() > Some(100));
    assert!(moved, "{consumer}");
    server.configure(&format!("{configuration}thin_every_ms = 300000\n"));
    server.crash_and_restart();
    wait::until("it is thinner now", PATIENCE, || {
        let [marked, unmarked] = held(&server);
        marked <= 4 && unmarked <= 3
    });
}

#[test]
fn the_command_erases_from_a_running_server_and_says_what_is_left() {
    let mut options = Options::new(Cores::One);
    options.configuration = "[history]\nenabled = true\nevery = \"1s\"\n".to_owned();
    let server = Server::start_with(options);
    let ana = walk(&server, "ana", ANA);
    let (data, control) = (server.data_dir(), server.ready.control.to_string());
    wait::until("the history has rows", PATIENCE, || {
        count(&data.join("history"), ANA) > 0
    });
    let erase = || process::run(["erase", "--user", "ana", "--control", &control]);
    let early = erase();
    assert_eq!(early.code(), Some(1), "{}", early.stderr);
    for words in ["sessions go on", "memberships"] {
        assert!(early.stderr.contains(words), "{}", early.stderr);
    }
    end(&server, &ana);
    server.remove_member("hike", "ana");
    let report = erase().expect_success("skein erase").stdout;
    let report: Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["control"]["names_left"], 0, "{report}");
    assert_eq!(count(&data, ANA), 0, "{report}");
}
