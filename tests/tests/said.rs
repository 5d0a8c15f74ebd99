//! What a server says while it is told to say all: not where anybody is, not what let anybody in; whatever is
//! shared, watched, fenced, refused, erased or sent in a shape that it cannot read.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use skein_tests::cores::Cores;
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{live, name, point, watch};
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::PATIENCE;
use skein_wire::ids::{RequestNumber, ShareNumber};
use skein_wire::point::Position;
use skein_wire::request::{Delivery, Request as Ask, SharePoints, ShareStart, Token};
use skein_wire::update::Update;

on_one_and_two_shards!(neither_places_nor_tokens_are_said);

/// Places that are in no text by chance: shared by frames, by HTTP, of a geofence, of an alert, and in what
/// cannot be read.
const PLACES: [(f64, f64); 5] = [
    (47.123_457, 8.765_431),
    (51.987_643, 13.135_799),
    (45.246_813, 19.864_297),
    (-33.531_972, 70.642_813),
    (95.753_197, 16.428_639),
];

const CONTROL_TOKEN: &str = "control-token-that-nobody-says";

/// How a place may look in a text: degrees, cut off or not, and scaled.
fn texts((lat, lon): (f64, f64)) -> Vec<String> {
    let of = |degrees: f64| {
        let all = degrees.to_string();
        let scaled = format!("{:.0}", degrees.abs() * 1e6);
        [all[..all.len() - 2].to_owned(), scaled]
    };
    [of(lat), of(lon)].concat()
}

/// Who says something to the control API.
fn control(server: &Server, method: &str, path: &str, body: &str) -> Response {
    Request::new(method, path)
        .token(CONTROL_TOKEN)
        .text(body)
        .send(server.ready.control)
}

fn place(at: (f64, f64)) -> Position {
    Position::from_degrees(at.0, at.1).expect("a place")
}

fn neither_places_nor_tokens_are_said(cores: Cores) {
    let folder = tempfile::tempdir().expect("a directory");
    let secret = folder.path().join("control.token");
    fs::write(&secret, CONTROL_TOKEN).expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("closed");
    let mut server = Server::start_with(Options {
        https: true,
        configuration: format!(
            "[access]\ncontrol_token = {secret:?}\n[history]\nenabled = true\nevery = \"1s\"\n\
             [views]\nretain = \"1h\"\n"
        ),
        wrapper: vec!["env".to_owned(), "SKEIN_LOG=trace".to_owned()],
        ..Options::new(cores)
    });
    let mut tokens = vec![CONTROL_TOKEN.to_owned()];
    for user in ["ana", "ben"] {
        let rights = json!({ "rights": ["share", "watch"] }).to_string();
        let path = format!("/v1/chats/hike/members/{user}");
        control(&server, "PUT", &path, &rights).expect_success("a member");
        tokens.push(server.token(user));
    }
    let link = control(
        &server,
        "POST",
        "/v1/chats/hike/guests",
        r#"{"duration_s":600}"#,
    );
    let link = link.expect_success("a link").json();
    tokens.push(link["token"].as_str().expect("a token").to_owned());
    let mut forged = tokens[1].clone();
    forged.insert(forged.len() - 5, 'x');
    tokens.push(forged);

    for transport in TRANSPORTS {
        frames(&server, transport, &tokens);
    }
    requests(&server, &tokens);
    let erased = control(&server, "DELETE", "/v1/log/users/ana/points", "");
    assert!(erased.expect_success("an erase").json()["records_removed"].as_u64() > Some(0));
    let metrics = Request::new("GET", "/metrics").send(server.ready.control);
    let metrics = metrics.expect_success("metrics").body;
    let ended = server.stop().expect_success("a stop");
    assert!(
        ended.stderr.contains("TRACE") && ended.stderr.len() > 10_000,
        "it says all"
    );
    for (what, said) in [("the log", &ended.stderr), ("the metrics", &metrics)] {
        for token in &tokens {
            // Also not the part that proves it.
            let proof = token.rsplit('.').next().expect("a part");
            assert!(!said.contains(proof), "a token in {what}");
        }
        for text in PLACES.into_iter().flat_map(texts) {
            let line = said.lines().find(|line| line.contains(&text));
            assert_eq!(line, None, "a place in {what}");
        }
    }
}

/// Shares and watches by a transport, well and badly.
fn frames(server: &Server, transport: skein_tests::talker::Transport, tokens: &[String]) {
    let [_, ana, ben, guest, forged] = tokens else {
        panic!("{} tokens", tokens.len());
    };
    assert!(Talker::try_connect(server, transport, forged).is_err());
    let mut sender = Talker::connect(server, transport, ana);
    sender.send(Ask::ShareStart(ShareStart {
        request: RequestNumber(1),
        chat: name("hike"),
        duration_s: 600,
        idempotency_key: format!("{transport:?}"),
        sealed: false,
    }));
    let share = sender.expect("a session", |update| match update {
        Update::Shared(shared) => Some(shared.share),
        _ => None,
    });
    let mut viewers: Vec<Talker> = [ben, guest]
        .map(|token| {
            let mut viewer = Talker::connect(server, transport, token);
            viewer.send(watch(RequestNumber(1), "hike", None, Delivery::Every));
            viewer
        })
        .into();
    let at = place(PLACES[0]);
    sender.send(live(share, point(1, at, 1_000), true));
    sender.send(Ask::Points(SharePoints {
        share,
        historical: true,
        durable: true,
        points: vec![point(1, at, 1_000), point(2, at, i64::MAX)],
    }));
    // Nowhere to go, and a place that is none.
    sender.send(live(ShareNumber(99), point(3, at, 1_000), true));
    let nowhere = Position {
        lat_e6: 95_753_197,
        lon_e6: 16_428_639,
    };
    sender.send(live(share, point(4, nowhere, 1_000), true));
    for viewer in &mut viewers {
        viewer.expect("a batch", |update| {
            matches!(update, Update::Batch(_)).then_some(())
        });
    }
    sender.expect("a verdict", |update| match update {
        Update::Accepted(accepted) => (!accepted.verdicts.is_empty()).then_some(()),
        _ => None,
    });
    // A renewal that is none ends nothing, and one of another user does.
    sender.send(Ask::Auth(Token(forged.clone())));
    sender.send(Ask::Auth(Token(ben.clone())));
    sender.expect_close(PATIENCE);
}

/// Requests of both HTTP APIs, well and badly.
fn requests(server: &Server, tokens: &[String]) {
    let ana = &tokens[1];
    let ask = |method: &str, path: &str, body: &str| {
        let request = Request::new(method, path).token(ana).text(body);
        request.send(server.ready.http)
    };
    let at = |at: (f64, f64)| json!({ "lat": at.0, "lon": at.1 });
    let started = ask("POST", "/v1/chats/hike/sessions", r#"{"duration_s":600}"#);
    let session = started.expect_success("a start").json()["session"].clone();
    let mut point = at(PLACES[1]);
    point["counter"] = json!(1);
    point["captured_at"] = json!(1_000);
    let good = json!({ "chat": "hike", "session": session, "points": [point] });
    ask("POST", "/v1/points", &good.to_string()).expect_success("points");
    let circle = |place: (f64, f64)| {
        let mut circle = at(place);
        circle["radius_m"] = json!(100);
        json!({ "circle": circle }).to_string()
    };
    let fence = "/v1/chats/hike/geofences/home";
    control(server, "PUT", fence, &circle(PLACES[2])).expect_success("a geofence");
    ask("PUT", "/v1/chats/hike/alerts/near", &circle(PLACES[3])).expect_success("an alert");
    // What cannot be read, or cannot be.
    let nowhere = circle(PLACES[4]);
    for (method, path, body) in [
        (
            "POST",
            "/v1/points",
            good.to_string().replace("51.98", "\"51.98\"") + "}",
        ),
        (
            "POST",
            "/v1/points",
            good.to_string().replace("\"lat\"", "\"51.987643\""),
        ),
        ("PUT", "/v1/chats/hike/alerts/far", nowhere.clone()),
        (
            "PUT",
            "/v1/chats/hike/alerts/far",
            nowhere.replace("lon", "16.428639"),
        ),
    ] {
        let answer = ask(method, path, &body);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let refused = control(server, "PUT", fence, &nowhere);
    assert_eq!(refused.status, 400, "{refused:?}");
    for path in ["positions", "geofences", "alerts", "crossings?after=0"] {
        ask("GET", &format!("/v1/chats/hike/{path}"), "").expect_success(path);
    }
    control(server, "GET", "/v1/chats/hike/history", "").expect_success("the history");
    let forged = Request::new("GET", "/v1/chats/hike/positions").token(&tokens[4]);
    assert_eq!(forged.send(server.ready.http).status, 401);
}
