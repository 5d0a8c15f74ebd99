//! Who is not who they say, and who asks for what is not theirs.

use skein_server::access::signer::TokenSigner;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::websocket::Options;
use skein_wire::error::Code;
use skein_wire::ids::UserName;
use skein_wire::limits::TOKEN_BYTES_MAX;
use skein_wire::request::Delivery;

use crate::Bystanders;

on_one_and_two_shards!(
    wrong_tokens_are_refused_everywhere,
    what_is_not_yours_does_not_exist,
);

fn signed(path: &std::path::Path, age_s: u64) -> String {
    let signer = TokenSigner::open_or_create(path).expect("a key");
    let user = UserName::new("mallory").expect("a name");
    signer
        .mint(&user, 60, now_ms() - age_s * 1_000)
        .expect("a token")
}

fn wrong_tokens_are_refused_everywhere(cores: Cores) {
    let server = Server::start(cores);
    let mut bystanders = Bystanders::start(&server);
    let good = server.token("mallory");
    let mut forged = good.clone();
    // The last characters are the signature's; turn one that is not padding.
    let at = forged.len() - 10;
    let other = if &forged[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    let own_key = server.data_dir().join("keys").join("token.pem");
    let cases = [
        ("nothing", String::new(), Code::BadToken),
        ("noise", "not a token".to_owned(), Code::BadToken),
        (
            "one without a signature",
            good.rsplit_once('.').expect("parts").0.to_owned(),
            Code::BadToken,
        ),
        ("a forged one", forged, Code::BadToken),
        (
            "one of another key",
            signed(&server.scratch().join("other.pem"), 0),
            Code::BadToken,
        ),
        (
            "an expired one",
            signed(&own_key, 3_600),
            Code::TokenExpired,
        ),
        ("one too long", "x".repeat(TOKEN_BYTES_MAX), Code::BadToken),
    ];
    for (what, token, code) in cases {
        let closed = Peer::try_connect(server.ready.http, &token, &Options::default());
        let closed = closed.err().unwrap_or_else(|| panic!("{what} was taken"));
        assert_eq!(closed.protocol_code(), Some(code), "{what}: {closed:?}");
        assert!(
            !closed.text.contains(&token) || token.is_empty(),
            "{what}: it is repeated"
        );
        let answer = Request::new("GET", "/v1/chats/bystanders/positions")
            .token(&token)
            .send(server.ready.http);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.json()["code"], code.name(), "{what}: {answer:?}");
    }
    let none = Request::new("GET", "/v1/chats/bystanders/positions").send(server.ready.http);
    assert_eq!(none.status, 401, "{none:?}");
    bystanders.assert_unharmed("wrong tokens");
    let written = server.process.stderr.text();
    assert!(
        !written.contains(&good[good.len() - 40..]),
        "a token in the log"
    );
}

fn what_is_not_yours_does_not_exist(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("inside", "ana");
    server.add_member("inside", "ben");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("inside", 600, "walk");
    ana.durable_point(shared.share, point_at(1, 1));

    // Not a member: the chat is not there.
    let mut mallory = Peer::connect(server.ready.http, &server.token("mallory"));
    let refused = [
        mallory
            .try_watch("inside", None, Delivery::Latest)
            .expect_err("no member")
            .code,
        mallory
            .try_share("inside", 600, "x")
            .expect_err("no member")
            .code,
        mallory
            .try_resume("inside", shared.session)
            .expect_err("no member")
            .code,
    ];
    assert_eq!(refused, [Code::NotFound; 3]);
    // A member, but not of this session.
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let refused = ben
        .try_resume("inside", shared.session)
        .expect_err("not ben's");
    assert_eq!(refused.code, Code::NotFound);

    let session = format!("/v1/chats/inside/sessions/{}", shared.session);
    let positions = "/v1/chats/inside/positions".to_owned();
    let absent = "/v1/chats/nowhere/positions".to_owned();
    for (user, method, path) in [
        ("ben", "DELETE", &session),
        ("mallory", "DELETE", &session),
        ("mallory", "GET", &positions),
        ("mallory", "GET", &absent),
    ] {
        let answer = Request::new(method, path)
            .token(&server.token(user))
            .send(server.ready.http);
        assert_eq!(answer.status, 404, "{user} {method} {path}: {answer:?}");
        assert_eq!(
            answer.json()["code"],
            "not_found",
            "{user} {method} {path}: {answer:?}"
        );
    }
    let points = serde_json::json!({
        "chat": "inside",
        "session": shared.session.to_string(),
        "points": [{ "counter": 9, "captured_at": 0, "lat": 1.0, "lon": 1.0 }],
    });
    for user in ["ben", "mallory"] {
        let upload = Request::new("POST", "/v1/points")
            .token(&server.token(user))
            .json(&points);
        assert_eq!(upload.send(server.ready.http).status, 404, "{user}");
    }
    // Nothing of it touched the session.
    ana.durable_point(shared.share, point_at(1, 2));
    let seen = server.positions("inside", "ana").to_string();
    assert!(seen.contains(&shared.session.to_string()), "{seen}");
}
