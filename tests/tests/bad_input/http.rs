//! Bodies that are wrong: each gets a status, a code and a sentence, and nothing is appended.

use serde_json::json;
use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::Server;

use crate::Bystanders;

on_one_and_two_shards!(
    bad_points_by_http_are_refused_whole,
    odd_requests_have_answers
);

fn bad_points_by_http_are_refused_whole(cores: Cores) {
    let server = Server::start(cores);
    let mut bystanders = Bystanders::start(&server);
    server.add_member("post", "ana");
    let token = server.token("ana");
    let mut ana = Peer::connect(server.ready.http, &token);
    let shared = ana.share("post", 600, "walk");
    ana.durable_point(shared.share, point_at(1, 1));
    let session = shared.session.to_string();
    let body =
        |points: &str| format!(r#"{{"chat":"post","session":"{session}","points":{points}}}"#);
    let fix = |lat: &str, lon: &str| {
        body(&format!(
            r#"[{{"counter":5,"captured_at":0,"lat":{lat},"lon":{lon}}}]"#
        ))
    };
    let cases = [
        (fix("NaN", "1"), 400),
        (fix("1e999", "1"), 400),
        (fix("\"1\"", "1"), 400),
        (fix("90.1", "1"), 422),
        (fix("1", "-180.1"), 422),
        (fix("0", "0"), 422),
        (body("[]"), 400),
        (body("[{}]"), 400),
        (
            body(r#"[{"counter":0,"captured_at":0,"lat":1,"lon":1}]"#),
            422,
        ),
        (
            body(r#"[{"counter":5,"captured_at":99999999999999999,"lat":1,"lon":1}]"#),
            422,
        ),
        (
            body(r#"[{"counter":5,"captured_at":0,"lat":1,"lon":1,"colour":"red"}]"#),
            400,
        ),
        (
            r#"{"chat":"post","session":"zz","points":[]}"#.to_owned(),
            400,
        ),
        ("{".to_owned(), 400),
        (format!("[{}]", "0,".repeat(60_000)), 413),
    ];
    for (body, status) in cases {
        let shown = &body[..body.len().min(120)];
        let answer = Request::new("POST", "/v1/points")
            .token(&token)
            .text(&body)
            .send(server.ready.http);
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        let json = answer.json();
        assert!(
            json["code"].is_string() && json["text"].is_string(),
            "{shown}: {answer:?}"
        );
    }
    let good = fix("45.5", "13.5");
    let answer = Request::new("POST", "/v1/points")
        .token(&token)
        .text(&good)
        .send(server.ready.http);
    assert_eq!(answer.status, 200, "{answer:?}");
    let positions = server.positions("post", "ana").to_string();
    assert!(positions.contains("45.5"), "{positions}");
    bystanders.assert_unharmed("bad bodies");
}

fn odd_requests_have_answers(cores: Cores) {
    let server = Server::start(cores);
    let token = server.token("ana");
    server.add_member("post", "ana");
    let long = format!("/v1/chats/{}/positions", "x".repeat(300));
    let cases = [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/health", 405),
        ("GET", long.as_str(), 400),
        ("GET", "/v1/chats/post/sessions/xyz", 405),
        ("GET", "/metrics", 404),
        ("GET", "/v1/chats/post/members", 404),
    ];
    for (method, path, status) in cases {
        let answer = Request::new(method, path)
            .token(&token)
            .send(server.ready.http);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let health = Request::new("GET", "/v1/health").send(server.ready.http);
    assert_eq!(health.status, 200, "{health:?}");
    let rights = json!({ "rights": ["fly"] });
    let answer = Request::new("PUT", "/v1/chats/post/members/ana")
        .json(&rights)
        .send(server.ready.control);
    assert_eq!(answer.status, 400, "{answer:?}");
}
