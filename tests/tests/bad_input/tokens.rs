//! Who is not who they say, and who asks for what is not theirs.

use skein_server::access::bad_tokens::{BAD_RIGHTS, BAD_TOKENS};
use skein_server::access::signer::TokenSigner;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::websocket::Options;
use skein_wire::error::Code;
use skein_wire::ids::UserName;
use skein_wire::limits::TOKEN_BYTES_MAX;
use skein_wire::request::Delivery;
use skein_wire::update::Shared;

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

/// A token as a line of [`BAD_TOKENS`] says, made from one that is good.
fn bad_token(how: &str, good: &str, server: &Server) -> String {
    match how {
        "none" => String::new(),
        "noise" => "not a token".to_owned(),
        "unsigned" => good.rsplit_once('.').expect("parts").0.to_owned(),
        "forged" => {
            let mut forged = good.to_owned();
            // The last characters are the signature's; turn one that is not padding.
            let at = forged.len() - 10;
            let other = if &forged[at..=at] == "A" { "B" } else { "A" };
            forged.replace_range(at..=at, other);
            forged
        }
        "foreign" => signed(&server.scratch().join("other.pem"), 0),
        "expired" => signed(&server.data_dir().join("keys").join("token.pem"), 3_600),
        "too long" => "x".repeat(TOKEN_BYTES_MAX),
        other => panic!("the list has a token that this test cannot make: {other}"),
    }
}

fn wrong_tokens_are_refused_everywhere(cores: Cores) {
    let server = Server::start(cores);
    let mut bystanders = Bystanders::start(&server);
    let good = server.token("mallory");
    for bad in BAD_TOKENS {
        let (what, token) = (bad.what, bad_token(bad.input, &good, &server));
        let closed = Peer::try_connect(server.ready.http, &token, &Options::default());
        let closed = closed.err().unwrap_or_else(|| panic!("{what} was taken"));
        let code = closed.protocol_code().map(Code::name);
        assert_eq!(code, Some(bad.code), "{what}: {closed:?}");
        assert!(closed.text.contains(bad.text), "{what}: {closed:?}");
        assert!(
            !closed.text.contains(&token) || token.is_empty(),
            "{what}: it is repeated"
        );
        let answer = Request::new("GET", "/v1/chats/bystanders/positions")
            .token(&token)
            .send(server.ready.http);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.json()["code"], bad.code, "{what}: {answer:?}");
        assert!(answer.body.contains(bad.text), "{what}: {answer:?}");
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

/// What is said to somebody who asks for what is not theirs: code and text.
fn refused(input: &str, server: &Server, shared: &Shared) -> (String, String) {
    let (who, what) = input.split_once(": ").expect("who: what");
    let user = match who {
        "stranger" => "mallory",
        "member" => "ben",
        other => panic!("the list has somebody that this test does not know: {other}"),
    };
    let token = server.token(user);
    let mut peer = Peer::connect(server.ready.http, &token);
    let said = match what {
        "watch" => peer.try_watch("inside", None, Delivery::Latest).err(),
        "share" => peer.try_share("inside", 600, "x").err(),
        "resume" => peer.try_resume("inside", shared.session).err(),
        _ => {
            let answer = ask_over_http(what, &token, server, shared);
            assert_eq!(answer.status, 404, "{input}: {answer:?}");
            let said = answer.json();
            let part = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
            return (part("code"), part("text"));
        }
    };
    let said = said.unwrap_or_else(|| panic!("{input}: it was granted"));
    (said.code.name().to_owned(), said.text)
}

fn ask_over_http(what: &str, token: &str, server: &Server, shared: &Shared) -> Response {
    let session = format!("/v1/chats/inside/sessions/{}", shared.session);
    let points = serde_json::json!({
        "chat": "inside",
        "session": shared.session.to_string(),
        "points": [{ "counter": 9, "captured_at": 0, "lat": 1.0, "lon": 1.0 }],
    });
    let request = match what {
        "stop" => Request::new("DELETE", &session),
        "points" => Request::new("POST", "/v1/points").json(&points),
        "positions" => Request::new("GET", "/v1/chats/inside/positions"),
        "positions of nowhere" => Request::new("GET", "/v1/chats/nowhere/positions"),
        other => panic!("the list has a request that this test cannot make: {other}"),
    };
    request.token(token).send(server.ready.http)
}

fn what_is_not_yours_does_not_exist(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("inside", "ana");
    server.add_member("inside", "ben");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("inside", 600, "walk");
    ana.durable_point(shared.share, point_at(1, 1));
    for bad in BAD_RIGHTS {
        let (code, text) = refused(bad.input, &server, &shared);
        assert_eq!(code, bad.code, "{}: {text}", bad.input);
        assert!(text.contains(bad.text), "{}: {text}", bad.input);
    }
    // Nothing of it touched the session.
    ana.durable_point(shared.share, point_at(1, 2));
    let seen = server.positions("inside", "ana").to_string();
    assert!(seen.contains(&shared.session.to_string()), "{seen}");
}
