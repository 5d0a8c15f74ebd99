//! Geofences and alerts on a real track: who comes and goes is told once to everybody who may know, by
//! every way, across kills, and to nobody else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::events;
use skein_tests::fleet::now_ms;
use skein_tests::gpx::{self, TrackPoint};
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, point};
use skein_tests::process::{self, Ended};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::webhook::Receiver;
use skein_wire::ids::{Counter, SessionId};
use skein_wire::point::{Accuracy, Payload, Position};
use skein_wire::update::{Shared, Update};

on_one_and_two_shards!(
    a_track_crosses_what_lies_on_it_and_everybody_who_may_know_is_told_once,
    an_alert_reaches_its_owner_alone_and_goes_with_the_right,
    sealed_is_refused_and_an_erase_takes_crossings_and_alerts,
    who_was_away_reads_what_happened_meanwhile,
);

fn who_was_away_reads_what_happened_meanwhile(cores: Cores) {
    let mut server = Server::start(cores);
    for user in ["ana", "ben", "cem"] {
        server.add_member("hike", user);
    }
    let put = [
        "put", "--chat", "hike", "--name", "hut", "--circle", "47.0,8.0", "--radius", "100",
    ];
    geofence(&server, &put).expect_success("skein geofence put");
    let circle = json!({ "circle": { "lat": 47.0, "lon": 8.0, "radius_m": 100 }, "once": false });
    let alert = ask(
        &server,
        "PUT",
        "/v1/chats/hike/alerts/mine",
        "ben",
        Some(circle),
    );
    alert.expect_success("an alert");
    let look = |server: &Server, user: &str, after: &str| {
        let path = format!("/v1/chats/hike/crossings{after}");
        let answer = ask(server, "GET", &path, user, None).expect_success("crossings");
        answer.json()
    };
    let told = |answer: &Value| -> Vec<String> {
        let list = answer["crossings"].as_array().expect("a list");
        let text = |it: &Value| {
            let name = it["geofence"].as_str().or(it["alert"].as_str());
            let (kind, user) = (it["type"].as_str(), it["user"].as_str());
            format!(
                "{} {} {}",
                name.unwrap_or("-"),
                kind.unwrap_or("-"),
                user.unwrap_or("-")
            )
        };
        list.iter().map(text).collect()
    };
    // Where the viewer was; then it is away.
    let before = look(&server, "ben", "");
    assert_eq!(told(&before), Vec::<String>::new());
    let after = |answer: &Value| format!("?after={}", answer["next"].as_str().expect("a place"));
    let mut ana = Walker::start(&server, "hike", "ana");
    let inside = Position {
        lat_e6: 47_000_000,
        lon_e6: 8_000_000,
    };
    let outside = Position {
        lat_e6: 47_010_000,
        lon_e6: 8_000_000,
    };
    for place in [outside, inside, outside] {
        ana.go(place);
        ana.settle();
    }
    let mut expect = vec![
        "hut enter ana",
        "hut exit ana",
        "mine enter ana",
        "mine exit ana",
    ];
    expect.sort_unstable();
    wait::until("the crossings are there", PATIENCE, || {
        let mut found = told(&look(&server, "ben", &after(&before)));
        found.sort();
        found == expect
    });
    // An alert is its owner's alone, operators excepted; and it comes once.
    let of_cem = look(&server, "cem", &after(&before));
    assert_eq!(told(&of_cem), ["hut enter ana", "hut exit ana"]);
    let of_ben = look(&server, "ben", &after(&before));
    assert_eq!(
        told(&look(&server, "ben", &after(&of_ben))),
        Vec::<String>::new()
    );
    let path = format!("/v1/chats/hike/crossings{}", after(&before));
    let all = Request::new("GET", &path).send(server.ready.control);
    assert_eq!(told(&all.expect_success("all").json()).len(), 4);
    // The same after a kill, and a place of another log is said to be a gap.
    server.crash_and_restart();
    assert_eq!(told(&look(&server, "cem", &after(&before))), told(&of_cem));
    let elsewhere = look(&server, "cem", "?after=00000000000000ff-1");
    assert_eq!(elsewhere["gap"], true, "{elsewhere}");
    let bad = ask(
        &server,
        "GET",
        "/v1/chats/hike/crossings?after=x",
        "cem",
        None,
    );
    assert_eq!(bad.status, 400, "{bad:?}");
    server.remove_member("hike", "cem");
    let gone = ask(&server, "GET", &path, "cem", None);
    assert_eq!(gone.status, 404, "{gone:?}");
}

/// Kinds of crossings.
const CROSSINGS: [&str; 4] = ["enter", "exit", "near", "far"];

fn geofence(server: &Server, arguments: &[&str]) -> Ended {
    command(server, "geofence", arguments)
}

fn command(server: &Server, command: &str, arguments: &[&str]) -> Ended {
    let control = server.ready.control.to_string();
    let mut all = vec![command];
    all.extend_from_slice(arguments);
    all.extend_from_slice(&["--control", &control]);
    process::run(all)
}

fn ask(server: &Server, method: &str, path: &str, user: &str, body: Option<Value>) -> Response {
    let request = Request::new(method, path).token(&server.token(user));
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    request.send(server.ready.http)
}

/// The track that comes with the project, and a real one where there are some.
fn tracks() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/walk.gpx");
    let real = skip::tracks().map(|folder| folder.join("visnjan-car.gpx"));
    std::iter::once(own).chain(real).collect()
}

/// A server that tells a receiver, too.
fn start(cores: Cores, receiver: &Receiver, folder: &Path) -> Server {
    let secret = folder.join("secret");
    fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("written");
    let (urls, secret) = (vec![receiver.url()], secret.display().to_string());
    Server::start_with(Options {
        configuration: format!("[webhook]\nurls = {urls:?}\nsecret = {secret:?}\n"),
        ..Options::new(cores)
    })
}

/// Somebody who walks along a track.
struct Walker {
    peer: Peer,
    shared: Shared,
    counter: u64,
}

impl Walker {
    fn start(server: &Server, chat: &str, user: &str) -> Self {
        let mut peer = Peer::connect(server.ready.http, &server.token(user));
        let shared = peer.share(chat, 3_600, user);
        Self {
            peer,
            shared,
            counter: 0,
        }
    }

    fn session(&self) -> SessionId {
        self.shared.session
    }

    fn go(&mut self, position: Position) {
        self.counter += 1;
        let mut sent = point(self.counter, position, now_ms() as i64);
        if let Payload::Fix(fix) = &mut sent.payload {
            fix.accuracy = Accuracy::from_metres(5.0);
        }
        self.peer.point(self.shared.share, sent);
    }

    /// All that was sent is accepted.
    fn settle(&mut self) {
        self.peer.accepted(self.shared.share, Counter(self.counter));
    }
}

/// Metres between two places, on a sphere, by the textbook.
fn metres(a: Position, b: Position) -> f64 {
    let (lat_a, lat_b) = (a.lat().to_radians(), b.lat().to_radians());
    let (lat, lon) = (lat_b - lat_a, (b.lon() - a.lon()).to_radians());
    let half = (lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (lon / 2.0).sin().powi(2);
    2.0 * 6_371_008.8 * half.sqrt().asin()
}

/// What a track does at a circle: 10 m of margin, and the way between two points counts only where it is
/// longer than the circle is wide, which these tracks do not have.
fn expected(track: &[TrackPoint], middle: Position, radius_m: f64) -> Vec<&'static str> {
    let margin_m = (radius_m / 10.0).clamp(10.0, 200.0);
    let (mut told, mut is_in) = (Vec::new(), false);
    for point in track {
        let outside_m = metres(point.position, middle) - radius_m;
        if !is_in && outside_m <= 0.0 {
            told.push("enter");
            is_in = true;
        } else if is_in && outside_m > margin_m {
            told.push("exit");
            is_in = false;
        }
    }
    told
}

fn crossings(events: &[Value]) -> Vec<Value> {
    let is_crossing = |event: &&Value| CROSSINGS.iter().any(|kind| event["type"] == *kind);
    events.iter().filter(is_crossing).cloned().collect()
}

fn kinds(crossings: &[Value]) -> Vec<&str> {
    let kinds = crossings.iter().map(|event| event["type"].as_str());
    kinds.map(|kind| kind.expect("a type")).collect()
}

/// Everything that the feed says until a member comes who marks the end.
fn feed(server: &Server, mark: &str) -> Vec<Value> {
    server.add_member("mark", mark);
    events::read(server.ready.control, 0, PATIENCE, |events| {
        events.last().is_some_and(|event| event["user"] == mark)
    })
}

fn watch_kinds(watch: &WatchRun) -> Vec<String> {
    let changes = watch.changes();
    let kinds = changes.iter().map(|change| change.kind().to_owned());
    kinds
        .filter(|kind| CROSSINGS.contains(&kind.as_str()))
        .collect()
}

fn a_track_crosses_what_lies_on_it_and_everybody_who_may_know_is_told_once(cores: Cores) {
    for gpx in tracks() {
        let track = gpx::read(&gpx);
        let middle = track[track.len() * 3 / 5].position;
        // Wide enough that no two points of the track lie on different sides of it.
        let longest = longest_step(&track);
        let radius_m = 20f64.max(metres(longest.0, longest.1)).ceil();
        let expect = expected(&track, middle, radius_m);
        assert!(
            expect.len() >= 2,
            "{}: it passes: {expect:?}",
            gpx.display()
        );
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::start();
        let mut server = start(cores, &receiver, folder.path());
        for user in ["ana", "ben"] {
            server.add_member("hike", user);
        }
        let circle = format!("{},{}", middle.lat(), middle.lon());
        let radius = radius_m.to_string();
        let put = [
            "put", "--chat", "hike", "--name", "hut", "--circle", &circle, "--radius", &radius,
        ];
        geofence(&server, &put).expect_success("skein geofence put");
        put_on_the_way(&server, longest);
        let line = ["enter", "exit"];
        let token = server.token("ben");
        let watches: Vec<WatchRun> = [server.quic_url(), server.ws_url()]
            .iter()
            .map(|url| WatchRun::start(url, "hike", &token, &[]))
            .collect();
        let mut ana = Walker::start(&server, "hike", "ana");
        for watch in &watches {
            watch.wait_session_of("ana");
        }
        for point in &track {
            ana.go(point.position);
        }
        ana.settle();
        for watch in &watches {
            let is_whole = || watch_kinds(watch).len() == expect.len() + line.len();
            wait::until("all is shown", PATIENCE, is_whole);
            let changes = watch.changes();
            let of_hut = changes.iter().filter(|it| it.text("geofence") == "hut");
            let of_hut: Vec<&str> = of_hut.map(|change| change.kind()).collect();
            assert_eq!(of_hut, expect);
            assert!(
                changes
                    .iter()
                    .any(|it| it.kind() == "enter" && it.text("user") == "ana")
            );
        }
        let told = crossings(&feed(&server, "first"));
        let (told, of_line): (Vec<Value>, Vec<Value>) = told
            .into_iter()
            .partition(|event| event["geofence"] == "hut");
        assert_eq!(kinds(&told), expect, "{}", gpx.display());
        assert_eq!(kinds(&of_line), line, "{}", gpx.display());
        remove_line(&server);
        for event in &told {
            assert_eq!(event["geofence"], "hut", "{event}");
            assert_eq!(event["session"], ana.session().to_string(), "{event}");
            assert_eq!(event["user"], "ana", "{event}");
            let text = event.to_string();
            assert!(
                !text.contains("lat") && !text.contains(&circle),
                "no place: {text}"
            );
        }
        wait::until("all is pushed", PATIENCE, || {
            let pushed = crossings(&receiver.events());
            let of_hut = pushed.iter().filter(|event| event["geofence"] == "hut");
            of_hut.eq(&told)
        });
        still_there_after_a_kill(&mut server, &track, &mut ana, middle, &told);
    }
}

/// The two points of a track that lie farthest apart, of those that follow each other.
fn longest_step(track: &[TrackPoint]) -> (Position, Position) {
    let steps = track
        .windows(2)
        .map(|two| (two[0].position, two[1].position));
    let longest = steps.max_by(|a, b| metres(a.0, a.1).total_cmp(&metres(b.0, b.1)));
    longest.expect("a track of some points")
}

/// A small geofence half-way between two points: on the real track no point is near it.
fn put_on_the_way(server: &Server, (from, to): (Position, Position)) {
    let middle = Position {
        lat_e6: (from.lat_e6 + to.lat_e6) / 2,
        lon_e6: (from.lon_e6 + to.lon_e6) / 2,
    };
    let place = format!("{},{}", middle.lat(), middle.lon());
    let put = [
        "put", "--chat", "hike", "--name", "line", "--circle", &place, "--radius", "10",
    ];
    geofence(server, &put).expect_success("skein geofence put");
}

fn remove_line(server: &Server) {
    let removed = geofence(server, &["remove", "--chat", "hike", "--name", "line"]);
    removed.expect_success("skein geofence remove");
}

/// A restart repeats nothing, remembers who is inside, and goes on.
fn still_there_after_a_kill(
    server: &mut Server,
    track: &[TrackPoint],
    ana: &mut Walker,
    middle: Position,
    told: &[Value],
) {
    ana.go(middle);
    ana.settle();
    let inside = |server: &Server| {
        let answer = ask(server, "GET", "/v1/chats/hike/geofences", "ben", None);
        answer.expect_success("geofences").json()["geofences"][0]["inside_total"].clone()
    };
    wait::until("she is inside", PATIENCE, || inside(server) == 1);
    let before = crossings(&feed(server, "second"));
    server.crash_and_restart();
    assert_eq!(inside(server), 1);
    let listed = geofence(server, &["list", "--chat", "hike"]).expect_success("a list");
    assert!(
        listed.stdout.starts_with("hut\t1\t-\t"),
        "{}",
        listed.stdout
    );
    let mut again = Peer::connect(server.ready.http, &server.token("ana"));
    ana.shared = again
        .try_resume("hike", ana.session())
        .expect("her session");
    ana.peer = again;
    ana.go(middle);
    ana.settle();
    assert_eq!(crossings(&feed(server, "third")), before, "nothing new");
    // Far from where it was: no way leads there.
    ana.go(Position {
        lat_e6: track[0].position.lat_e6 - 3_000_000,
        lon_e6: 0,
    });
    ana.settle();
    wait::until("she has left", PATIENCE, || inside(server) == 0);
    let after = crossings(&feed(server, "fourth"));
    assert_eq!(after[..before.len()], before);
    assert_eq!(kinds(&after[before.len()..]), ["exit"]);
    assert!(before.len() >= told.len());
    let removed = geofence(server, &["remove", "--chat", "hike", "--name", "hut"]);
    removed.expect_success("skein geofence remove");
    ana.go(middle);
    ana.settle();
    assert_eq!(crossings(&feed(server, "fifth")), after, "it is no more");
}

/// Frames about crossings that a peer got within a moment.
fn told(peer: &mut Peer, limit: Duration) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(text) = peer.pick(limit, |update| match update {
        Update::Crossing(it) => Some(format!("{} {} {}", it.name, it.kind.name(), it.subject.1)),
        _ => None,
    }) {
        all.push(text);
    }
    all
}

fn an_alert_reaches_its_owner_alone_and_goes_with_the_right(cores: Cores) {
    const SOON: Duration = Duration::from_millis(400);
    let server = Server::start(cores);
    for user in ["ana", "ben", "cem"] {
        server.add_member("hike", user);
    }
    let here = Position {
        lat_e6: 45_000_000,
        lon_e6: 13_000_000,
    };
    let away = |metres: i32| Position {
        lat_e6: here.lat_e6 + metres * 9,
        ..here
    };
    let near = json!({ "near_m": 200, "user": "ana", "once": false });
    let path = "/v1/chats/hike/alerts/ana";
    let alone = ask(&server, "PUT", path, "ben", Some(near.clone()));
    assert_eq!(alone.status, 404, "he shares nothing: {alone:?}");
    assert!(alone.body.contains("start one first"), "{alone:?}");
    let mut ben = Walker::start(&server, "hike", "ben");
    ben.go(here);
    ben.settle();
    ask(&server, "PUT", path, "ben", Some(near)).expect_success("an alert");
    let about = ask(&server, "GET", "/v1/chats/hike/alerts", "ana", None).json();
    assert_eq!(
        (&about["alerts"], &about["about_me"][0]["owner"]),
        (&json!([]), &json!("ben"))
    );
    let mut watchers: Vec<Peer> = ["ben", "cem", "ben"]
        .iter()
        .map(|user| {
            let mut peer = Peer::connect(server.ready.http, &server.token(user));
            peer.watch("hike", None, skein_wire::request::Delivery::Latest);
            peer
        })
        .collect();
    let mut ana = Walker::start(&server, "hike", "ana");
    ana.go(away(1_000));
    ana.go(away(150));
    ana.settle();
    for (watcher, expect) in
        watchers
            .iter_mut()
            .zip([vec!["ana near ana"], vec![], vec!["ana near ana"]])
    {
        assert_eq!(told(watcher, SOON), expect);
    }
    let near = crossings(&feed(&server, "first"));
    assert_eq!(kinds(&near), ["near"]);
    let event = &near[0];
    assert_eq!(
        (&event["alert"], &event["owner"]),
        (&json!("ana"), &json!("ben")),
        "{event}"
    );
    assert_eq!(
        (&event["user"], &event["other_user"]),
        (&json!("ana"), &json!("ben")),
        "{event}"
    );
    // By the operator on behalf of a member, and only of a member.
    let put = |owner: &str| {
        let place = format!("{},{}", here.lat(), here.lon());
        let arguments = [
            "put", "--chat", "hike", "--owner", owner, "--name", "spring", "--circle", &place,
            "--radius", "100",
        ];
        command(&server, "alert", &arguments)
    };
    put("cem").expect_success("skein alert put");
    assert!(put("dan").stderr.contains("not_found"), "no member");
    let listed = command(&server, "alert", &["list", "--chat", "hike"]);
    let listed = listed.expect_success("skein alert list").stdout;
    assert!(listed.contains("ben\tana\t"), "{listed}");
    // Ben stands there already: cem was told at once, and once is over.
    let list = |user: &str| ask(&server, "GET", "/v1/chats/hike/alerts", user, None);
    wait::until("it is over", PATIENCE, || {
        list("cem").json()["alerts"] == json!([])
    });
    assert_eq!(told(&mut watchers[1], SOON), ["spring enter ben"]);
    // Without the right to watch there is no alert, and it does not come back with the right.
    server
        .put_member("hike", "ben", &["share"])
        .expect_success("less");
    assert_eq!(list("ben").status, 404);
    ana.go(away(2_000));
    ana.settle();
    server
        .put_member("hike", "ben", &["share", "watch"])
        .expect_success("more");
    assert_eq!(list("ben").json()["alerts"], json!([]));
    ana.go(away(0));
    ana.settle();
    std::thread::sleep(SOON);
    let after = crossings(&feed(&server, "second"));
    assert_eq!(kinds(&after), ["near", "enter"], "{after:?}");
}

fn sealed_is_refused_and_an_erase_takes_crossings_and_alerts(cores: Cores) {
    let server = Server::start(cores);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let circle = json!({ "circle": { "lat": 45.0, "lon": 13.0, "radius_m": 100 }, "user": "ana" });
    let gate = "/v1/chats/hike/geofences/gate";
    let put = |circle: &Value| {
        Request::new("PUT", gate)
            .json(circle)
            .send(server.ready.control)
    };
    put(&circle).expect_success("a geofence");
    let path = "/v1/chats/hike/alerts/ana";
    ask(
        &server,
        "PUT",
        path,
        "ben",
        Some(json!({ "circle": { "lat": 1, "lon": 1, "radius_m": 10 }, "user": "ana" })),
    )
    .expect_success("an alert");
    let mut ana = Walker::start(&server, "hike", "ana");
    ana.go(Position {
        lat_e6: 45_000_000,
        lon_e6: 13_000_000,
    });
    let records = |server: &Server| -> usize {
        let log = Request::new("GET", "/v1/log")
            .send(server.ready.control)
            .json();
        let partitions = log["partitions"].as_array().expect("a list").len();
        let read = |partition| {
            let path = format!("/v1/log/{partition}?after=0&limit=10000");
            Request::new("GET", &path).send(server.ready.control).body
        };
        (0..partitions)
            .map(|it| read(it).matches(r#""kind":"crossed""#).count())
            .sum()
    };
    wait::until("it is in the log", PATIENCE, || records(&server) == 1);
    ana.peer.stop(ana.shared.share);
    let erase = Request::new("DELETE", "/v1/log/chats/hike/points?user=ana");
    let report = erase
        .send(server.ready.control)
        .expect_success("an erase")
        .json();
    assert_eq!(
        (&report["alerts"], &report["records_left"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    assert_eq!(records(&server), 0);
    let alerts = ask(&server, "GET", "/v1/chats/hike/alerts", "ben", None).json();
    assert_eq!(alerts["alerts"], json!([]));
    // Sealing the chat ends what is there, and refuses more.
    let settings = Request::new("PUT", "/v1/chats/hike/settings").json(&json!({ "sealed": true }));
    settings.send(server.ready.control).expect_success("sealed");
    let list = ask(&server, "GET", "/v1/chats/hike/geofences", "ben", None).json();
    assert_eq!(list["geofences"], json!([]));
    for refused in [
        put(&circle),
        ask(&server, "PUT", path, "ben", Some(circle.clone())),
    ] {
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json()["code"], "wrong_sealing", "{refused:?}");
        assert!(refused.body.contains("cannot read"), "{refused:?}");
    }
}
