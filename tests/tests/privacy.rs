//! What is at rest: nothing after a stop and the retention, nothing for others' eyes, nothing in what a
//! server says, and an erase that finds every record.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::now_ms;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::plaintext::{count, count_in, files};
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::webhook::Receiver;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    after_a_stop_and_the_retention_nothing_is_left,
    nothing_in_the_data_directory_is_for_others,
    an_erase_of_a_user_finds_every_chat_and_every_record,
    the_place_of_an_alert_that_has_ended_goes_with_its_retention,
    what_was_noted_about_a_link_goes_when_it_has_ended,
);

/// A place that lies in no file by chance.
const ANA: (f64, f64) = (47.123_457, 8.765_431);
/// A name that lies in no file by chance.
const BEN_NAME: &str = "benjamin-the-other";
const BEN: (f64, f64) = (51.987_643, 13.135_799);

/// The retention of the test, and what its parts need to act: writers look every ten seconds.
const GONE: Duration = Duration::from_secs(90);

/// One that says all it can.
fn server(cores: Cores, configuration: &str) -> Server {
    Server::start_with(Options {
        configuration: configuration.to_owned(),
        wrapper: vec!["env".to_owned(), "SKEIN_LOG=trace".to_owned()],
        ..Options::new(cores)
    })
}

/// Shares some points in a chat; the session.
fn walk(server: &Server, chat: &str, user: &str, at: (f64, f64)) -> String {
    server.add_member(chat, user);
    let started = server.start_session(chat, user, &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    let session = started["session"].as_str().expect("an id").to_owned();
    let point = |counter: u64| json!({ "counter": counter, "captured_at": now_ms(), "lat": at.0, "lon": at.1 });
    let points: Vec<Value> = (1..=5).map(point).collect();
    let body = json!({ "chat": chat, "session": session, "points": points, "durable": true });
    let sent = Request::new("POST", "/v1/points").token(&server.token(user));
    let sent = sent.json(&body).send(server.ready.http);
    sent.expect_success("points");
    session
}

fn end(server: &Server, chat: &str, session: &str) {
    let path = format!("/v1/chats/{chat}/sessions/{session}");
    let ended = Request::new("DELETE", &path).send(server.ready.control);
    ended.expect_success("an end");
}

/// While it runs, without an erase, a restart or any further word from anybody. Others go on in the same
/// partitions.
fn after_a_stop_and_the_retention_nothing_is_left(cores: Cores) {
    let mut server = server(
        cores,
        "[shards]\npartitions = 2\n[limits]\ntombstone_age_ms_max = 1000\n\
         [log]\nsegment_age_ms = 1000\nretention_age_ms = 4000\n",
    );
    let data = server.data_dir();
    let ana = walk(&server, "hike", "ana", ANA);
    walk(&server, "hike", "ben", BEN);
    walk(&server, "club", "ben", BEN);
    assert!(count(&data, ANA) > 0, "the test would see them");
    end(&server, "hike", &ana);
    wait::until("nothing is left of who has stopped", GONE, || {
        count(&data, ANA) == 0
    });
    assert!(count(&data, BEN) > 0, "who shares is still there");
    server.stop().expect_success("a stop");
    assert_eq!(count(&data, ANA), 0, "after the stop");
    server.restart();
    let positions = server.positions("hike", "ben");
    let point = &positions["positions"][0]["point"];
    assert_eq!(point["lat"].as_f64(), Some(BEN.0), "{positions}");
}

/// The place of an alert is where somebody lives as a rule. Nothing more happens after it has ended.
fn the_place_of_an_alert_that_has_ended_goes_with_its_retention(cores: Cores) {
    let mut server = server(
        cores,
        "[shards]\npartitions = 2\n[log]\ncontrol_retention_age_ms = 4000\n",
    );
    let data = server.data_dir();
    server.add_member("hike", "ana");
    let path = "/v1/chats/hike/alerts/home";
    let circle = json!({ "lat": ANA.0, "lon": ANA.1, "radius_m": 500 });
    Request::new("PUT", path)
        .json(&json!({ "circle": circle, "owner": "ana", "duration_s": 600 }))
        .send(server.ready.control)
        .expect_success("an alert");
    assert!(count(&data, ANA) > 0, "the test would see it");
    Request::new("DELETE", &format!("{path}?owner=ana"))
        .send(server.ready.control)
        .expect_success("its end");
    wait::until("nothing is left of it", GONE, || count(&data, ANA) == 0);
    server.crash_and_restart();
    assert_eq!(count(&data, ANA), 0, "after a crash");
    let members = Request::new("GET", "/v1/chats/hike/members").send(server.ready.control);
    let members = members.expect_success("members").json();
    assert_eq!(members["members"][0]["user"], "ana", "{members}");
}

/// Nobody revokes a link whose time is over, or that shows a session which is; and nothing more happens.
fn what_was_noted_about_a_link_goes_when_it_has_ended(cores: Cores) {
    const EXPIRED: &str = "for-the-granny-of-ana";
    const OVER: &str = "for-the-uncle-of-ana";
    const GOOD: &str = "for-all-the-parents";
    let mut server = server(
        cores,
        "[shards]\npartitions = 2\n[limits]\ntombstone_age_ms_max = 1000\n\
         [log]\ncontrol_retention_age_ms = 4000\n",
    );
    let data = server.data_dir();
    let session = walk(&server, "hike", "ana", ANA);
    for (label, duration_s, session) in [
        (EXPIRED, 2, None),
        (OVER, 600, Some(&session)),
        (GOOD, 600, None),
    ] {
        let mut body = json!({ "duration_s": duration_s, "label": label });
        if let Some(session) = session {
            body["session"] = json!(session);
        }
        let made = Request::new("POST", "/v1/chats/hike/guests").json(&body);
        made.send(server.ready.control).expect_success("a link");
        assert!(has_name(&data, "control", label), "the test would see it");
    }
    end(&server, "hike", &session);
    wait::until("nothing is left of those that are over", GONE, || {
        [EXPIRED, OVER]
            .iter()
            .all(|label| !has_name(&data, "control", label))
    });
    assert!(has_name(&data, "control", GOOD), "that is good still");
    server.crash_and_restart();
    for label in [EXPIRED, OVER] {
        assert!(!has_name(&data, "control", label), "after a crash: {label}");
    }
    let links = Request::new("GET", "/v1/chats/hike/guests").send(server.ready.control);
    let links = links.expect_success("links").json();
    assert_eq!(links["guests"].as_array().map(Vec::len), Some(1), "{links}");
}

fn nothing_in_the_data_directory_is_for_others(cores: Cores) {
    let mut server = server(
        cores,
        "[shards]\npartitions = 2\n[history]\nenabled = true\nevery = \"1s\"\n[views]\nretain = \"1h\"\n",
    );
    let data = server.data_dir();
    let session = walk(&server, "hike", "ana", ANA);
    server.add_member("hike", "ben");
    let mut viewer = Peer::connect(server.ready.http, &server.token("ben"));
    viewer.watch("hike", None, Delivery::Latest);
    wait::until("the history has rows", PATIENCE, || {
        count(&data.join("history"), ANA) > 0
    });
    wait::until("the record of views is written", PATIENCE, || {
        data.join("views").join("views.db-wal").exists()
    });
    let all = files(&data);
    for part in ["log", "control", "keys", "history", "views"] {
        let folder = data.join(part);
        assert!(all.iter().any(|path| path.starts_with(&folder)), "{part}");
    }
    for path in &all {
        // A spare segment may be put to use meanwhile.
        let Ok(metadata) = fs::metadata(path) else {
            continue;
        };
        assert_eq!(metadata.mode() & 0o777, 0o600, "{}", path.display());
        for folder in path
            .ancestors()
            .skip(1)
            .take_while(|it| it.starts_with(&data))
        {
            let mode = fs::metadata(folder).expect("a folder").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        }
    }
    // Neither places nor tokens are in what it says, and it leaves no core.
    let said = server.process.stderr.text();
    assert_eq!(count_in(said.as_bytes(), ANA), 0, "{said}");
    assert!(!said.contains(&server.token("ben")), "a token");
    let metrics = Request::new("GET", "/metrics")
        .send(server.ready.control)
        .body;
    assert_eq!(count_in(metrics.as_bytes(), ANA), 0, "{metrics}");
    for name in ["hike", "ana", session.as_str()] {
        assert!(!metrics.contains(name), "{name} in the metrics");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process.id()));
    let limits = limits.expect("of a running process");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{core:?}");
    server.process.signal(Signal::ABORT);
    let ended = server.process.wait(PATIENCE);
    assert_eq!(ended.code(), None, "{ended:?}");
    server.restart();
}

/// The views of a session, by the names of the viewers.
fn viewers_of(server: &Server, chat: &str, session: &str) -> Option<Vec<String>> {
    let path = format!("/v1/chats/{chat}/sessions/{session}/views");
    let answer = Request::new("GET", &path).send(server.ready.control);
    let views = (answer.status == 200).then(|| answer.json()["views"].clone())?;
    let all = views.as_array().expect("a list").iter();
    let name = |view: &Value| view["user"].as_str().unwrap_or_default().to_owned();
    Some(all.map(name).collect())
}

fn has_name(data: &std::path::Path, part: &str, name: &str) -> bool {
    let name = name.as_bytes();
    files(&data.join(part)).iter().any(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(name.len()).any(|it| it == name)
    })
}

fn an_erase_of_a_user_finds_every_chat_and_every_record(cores: Cores) {
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("closed");
    let receiver = Receiver::start();
    receiver.answer(500);
    let mut server = server(
        cores,
        &format!(
            "[shards]\npartitions = 4\n[history]\nenabled = true\nevery = \"1s\"\n[views]\nretain = \"1h\"\n\
             [webhook]\nurls = [{:?}]\nsecret = {:?}\ntries_max = 1\n",
            receiver.url(),
            secret.display().to_string(),
        ),
    );
    let data = server.data_dir();
    let chats = ["hike", "club", "walk"];
    let sessions = chats.map(|chat| walk(&server, chat, "ana-the-erased", ANA));
    let other = walk(&server, "hike", BEN_NAME, BEN);
    // Each watches the other for a moment.
    for (viewer, session) in [(BEN_NAME, &sessions[0]), ("ana-the-erased", &other)] {
        let mut peer = Peer::connect(server.ready.http, &server.token(viewer));
        peer.watch("hike", None, Delivery::Latest);
        wait::until("the view is recorded", PATIENCE, || {
            viewers_of(&server, "hike", session).is_some_and(|names| names == [viewer])
        });
    }
    wait::until("both have gone", PATIENCE, || {
        let path = format!("/v1/chats/hike/sessions/{other}/viewers");
        let present = Request::new("GET", &path).send(server.ready.control).json();
        present["total"] == 0
    });
    for (chat, session) in chats.iter().zip(&sessions) {
        end(&server, chat, session);
    }
    wait::until(
        "the history and the dead letters have them",
        PATIENCE,
        || count(&data.join("history"), ANA) > 0 && has_name(&data, "webhook", "ana-the-erased"),
    );
    wait::until("the webhook has given up all of them", PATIENCE, || {
        let hooks = Request::new("GET", "/v1/webhooks").send(server.ready.control);
        hooks.json()["webhooks"][0]["lag"] == 0
    });

    let erase = Request::new("DELETE", "/v1/log/users/ana-the-erased/points");
    let report = erase
        .send(server.ready.control)
        .expect_success("an erase")
        .json();
    assert_eq!(report["chats"], 3, "{report}");
    assert_eq!(report["records_left"], 0, "{report}");
    assert!(report["records_removed"].as_u64() >= Some(15), "{report}");
    assert!(report["history"]["rows"].as_u64() >= Some(3), "{report}");
    assert_eq!(report["views"]["sessions"], 3, "{report}");
    assert!(report["views"]["views"].as_u64() >= Some(1), "{report}");
    assert!(
        report["dead_letters"]["events"].as_u64() >= Some(6),
        "{report}"
    );
    assert_eq!(count(&data, ANA), 0, "in any file");
    for part in ["views", "webhook"] {
        assert!(!has_name(&data, part, "ana-the-erased"), "in {part}");
    }
    assert!(count(&data, BEN) > 0, "the others stay");
    assert_eq!(
        viewers_of(&server, "hike", &other),
        Some(Vec::new()),
        "only she looked"
    );
    let nobody = Request::new("DELETE", "/v1/log/users/nobody/points");
    let report = nobody
        .send(server.ready.control)
        .expect_success("an erase")
        .json();
    assert_eq!(
        (&report["chats"], &report["records_removed"]),
        (&json!(0), &json!(0))
    );

    // The same of the others by the command for a stopped server.
    end(&server, "hike", &other);
    server.stop().expect_success("a stop");
    let dir = data.display().to_string();
    let ended = process::run(["log", "erase", "--user", BEN_NAME, "--data-dir", &dir]);
    let report: Value =
        serde_json::from_str(&ended.expect_success("an erase").stdout).expect("json");
    assert_eq!(report["chats"], 1, "{report}");
    assert!(report["views"]["views"].as_u64() >= Some(1), "{report}");
    assert!(
        report["dead_letters"]["events"].as_u64() >= Some(1),
        "{report}"
    );
    assert_eq!(count(&data, BEN), 0, "{report}");
    for part in ["views", "webhook"] {
        assert!(!has_name(&data, part, BEN_NAME), "in {part}");
    }
}
