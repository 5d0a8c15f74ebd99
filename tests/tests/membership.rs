//! Members by the control API and by tokens: versions, pages, imports, and revocations that win.

use serde_json::{Value, json};
use skein_server::access::claims::{ChatClaim, ClaimedRight};
use skein_server::access::signer::{TokenSigner, TokenSpec};
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::wait::PATIENCE;
use skein_wire::error::Code;
use skein_wire::ids::UserName;
use skein_wire::request::Delivery;
use skein_wire::update::Update;

on_one_and_two_shards!(
    two_operators_do_not_overwrite_each_other,
    an_import_is_whole_in_each_batch,
    a_token_brings_rights_and_a_revocation_wins,
    rights_of_tokens_count_only_where_they_are_wanted,
    a_removal_says_whether_there_was_a_member,
);

fn a_removal_says_whether_there_was_a_member(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let remove = |user: &str| {
        let request = Request::new("DELETE", &format!("/v1/chats/hike/members/{user}"));
        let answer = request.send(server.ready.control);
        answer.expect_success("a removal").json()["was_member"].clone()
    };
    // A misspelt name is no removal, and a shell learns it.
    assert_eq!(remove("anna"), false);
    let misspelt = server.member(&["remove", "--chat", "hike", "--user", "anna"]);
    assert_eq!(misspelt.code(), Some(1), "{misspelt:?}");
    assert!(misspelt.stderr.contains("was not a member"), "{misspelt:?}");
    assert_eq!(remove("ana"), true);
    assert_eq!(remove("ana"), false, "repeated, it holds all the same");
}

fn members(server: &Server, chat: &str, query: &str) -> Value {
    let answer = Request::new("GET", &format!("/v1/chats/{chat}/members{query}"));
    answer
        .send(server.ready.control)
        .expect_success("members")
        .json()
}

fn put_if(server: &Server, user: &str, version: u64) -> Response {
    Request::new("PUT", &format!("/v1/chats/hike/members/{user}"))
        .header("if-match", &format!("\"{version}\""))
        .json(&json!({ "rights": ["watch"] }))
        .send(server.ready.control)
}

fn version(server: &Server) -> u64 {
    members(server, "hike", "")["version"]
        .as_u64()
        .expect("a version")
}

fn two_operators_do_not_overwrite_each_other(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "ana");
    let seen = version(&server);
    assert_eq!(put_if(&server, "ben", seen).status, 200);
    let late = put_if(&server, "cem", seen);
    assert_eq!(
        (late.status, &late.json()["code"]),
        (412, &json!("conflict"))
    );
    let late = Request::new("DELETE", "/v1/chats/hike/members/ana")
        .header("if-match", &format!("\"{seen}\""))
        .send(server.ready.control);
    assert_eq!(late.status, 412, "{late:?}");
    // Sessions are no members: they change nothing here.
    let seen = version(&server);
    server
        .start_session("hike", "ana", &json!({ "duration_s": 600 }))
        .expect_success("a session");
    assert_eq!(version(&server), seen);
    server.crash_and_restart();
    assert_eq!(version(&server), seen, "a version survives");
    assert_eq!(put_if(&server, "cem", seen).status, 200);
    // Of many who saw the same, one comes through.
    let seen = version(&server);
    let done: Vec<u16> = std::thread::scope(|scope| {
        let server = &server;
        let racers: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || put_if(server, &format!("racer-{n}"), seen).status))
            .collect();
        racers
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .collect()
    });
    assert_eq!(done.iter().filter(|it| **it == 200).count(), 1, "{done:?}");
    assert!(done.iter().all(|it| [200, 412].contains(it)), "{done:?}");
}

fn import(server: &Server, lines: &str) -> Response {
    Request::new("POST", "/v1/chats/hike/members")
        .text(lines)
        .send(server.ready.control)
}

fn line(user: &str, rights: &[&str]) -> String {
    json!({ "user": user, "rights": rights }).to_string() + "\n"
}

fn an_import_is_whole_in_each_batch(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "ana");
    let all: String = (0..3_000)
        .map(|n| line(&format!("user-{n:04}"), &["share", "watch"]))
        .collect();
    let report = import(&server, &all).expect_success("import").json();
    assert_eq!(
        (&report["accepted"], &report["refused_total"]),
        (&json!(3_000), &json!(0))
    );
    assert!(report["batches"].as_u64() >= Some(3), "{report}");
    assert_eq!(report["version"].as_u64(), Some(version(&server)));
    // An imported member is one: may share, may watch, and is in the list, page by page.
    let mut late = Peer::connect(server.ready.http, &server.quick_token("user-2999"));
    late.watch("hike", None, Delivery::Latest);
    late.share("hike", 600, "walk");
    server.crash_and_restart();
    let mut names = Vec::new();
    let mut query = "?limit=700".to_owned();
    loop {
        let page = members(&server, "hike", &query);
        let page_names = page["members"].as_array().into_iter().flatten();
        names.extend(page_names.filter_map(|it| it["user"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=700&after={next}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 3_001);
    assert!(names.is_sorted(), "pages are in order and do not overlap");

    // A line that would take a right leaves its batch out, and says which it is.
    let lines = line("new-1", &["watch"]) + &line("ana", &["watch"]) + &line("new-2", &["watch"]);
    let report = import(&server, &lines).json();
    assert_eq!(
        (&report["accepted"], &report["refused"][0]["line"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(report["refused"][0]["code"], "conflict");
    assert_eq!(report["skipped"], json!([{ "from": 1, "to": 3 }]));
    let again = members(&server, "hike", "?after=new&limit=10");
    assert!(
        !again.to_string().contains("new-"),
        "none of the batch: {again}"
    );

    // By the command line, with a line that is none.
    let file = server.scratch().join("members.jsonl");
    std::fs::write(&file, line("dora", &["watch"]) + "nonsense\n").expect("written");
    let address = server.ready.control.to_string();
    let file = file.display().to_string();
    let command = [
        "member",
        "import",
        "--chat",
        "hike",
        &file,
        "--control",
        &address,
    ];
    let ended = process::run(command);
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("line 2: bad_request"), "{ended:?}");
}

/// A token of the server's own key with rights in chats.
fn token_with(server: &Server, user: &str, chats: &[(&str, &[ClaimedRight])]) -> String {
    let path = server.data_dir().join("keys").join("token.pem");
    let signer = TokenSigner::open(&path).expect("the server's own key");
    let user = UserName::new(user).expect("a user's name");
    let chats = chats
        .iter()
        .map(|(chat, rights)| ((*chat).to_owned(), ChatClaim::Rights(rights.to_vec())));
    let spec = TokenSpec {
        user: &user,
        ttl_s: 600,
        audience: "skein",
        issuer: None,
        chats: Some(chats.collect()),
        is_relay: false,
    };
    signer.sign(&spec, now_ms()).expect("a token")
}

const BOTH: &[ClaimedRight] = &[ClaimedRight::Share, ClaimedRight::Watch];
const WATCH: &[ClaimedRight] = &[ClaimedRight::Watch];

fn stateless(cores: Cores) -> Server {
    let mut options = Options::new(cores);
    options.configuration = "[access]\nmembership = \"token\"\n".to_owned();
    Server::start_with(options)
}

fn a_token_brings_rights_and_a_revocation_wins(cores: Cores) {
    let mut server = stateless(cores);
    let ana = token_with(&server, "ana", &[("hike", BOTH), ("club", WATCH)]);
    let ben = token_with(&server, "ben", &[("hike", WATCH)]);
    // Nobody has named the chat before: the first who may makes it.
    let mut viewer = Peer::connect(server.ready.http, &ben);
    viewer.watch("hike", None, Delivery::Latest);
    let mut sender = Peer::connect(server.ready.http, &ana);
    let shared = sender.share("hike", 600, "walk");
    sender.durable_point(shared.share, point_at(1, 1));
    viewer.expect("the point", |update| match update {
        Update::Batch(_) => Some(()),
        _ => None,
    });
    // Only what the token says, and only there.
    for (token, chat) in [(&ben, "hike"), (&ana, "club"), (&ana, "nowhere")] {
        let mut peer = Peer::connect(server.ready.http, token);
        let refused = peer
            .try_share(chat, 60, "x")
            .expect_err("no right to share");
        assert_eq!(refused.code, Code::NotFound, "{chat}");
    }
    let mut peer = Peer::connect(server.ready.http, &ben);
    let refused = peer
        .try_watch("club", None, Delivery::Latest)
        .expect_err("no right");
    assert_eq!(refused.code, Code::NotFound);

    // A revocation acts on what is there, on every connection, and survives a restart and any token.
    let mut others: Vec<Peer> = (0..8)
        .map(|_| {
            let mut peer = Peer::connect(server.ready.http, &ana);
            peer.watch("hike", None, Delivery::Latest);
            peer
        })
        .collect();
    server.remove_member("hike", "ana");
    for peer in &mut others {
        let code = peer.expect("the end of the watch", |update| match update {
            Update::WatchEnded(ended) => Some(ended.code),
            _ => None,
        });
        assert_eq!(code, Code::MembershipRevoked);
    }
    sender.expect("the end of the share", |update| match update {
        Update::ShareEnded(ended) if ended.share == shared.share => Some(()),
        _ => None,
    });
    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        let newer = token_with(&server, "ana", &[("hike", BOTH)]);
        let mut again = Peer::connect(server.ready.http, &newer);
        let refused = again
            .try_watch("hike", None, Delivery::Latest)
            .expect_err("revoked");
        assert_eq!(refused.code, Code::NotFound, "restarted: {restarted}");
        let refused = again.try_share("hike", 60, "y").expect_err("revoked");
        assert_eq!(refused.code, Code::NotFound, "restarted: {restarted}");
        let list = members(&server, "hike", "");
        assert_eq!(list["members"][0]["revoked"], true, "{list}");
    }
    // Somebody who was never there can be revoked before they come.
    server.remove_member("hike", "eve");
    let eve = token_with(&server, "eve", &[("hike", BOTH)]);
    let refused = Peer::connect(server.ready.http, &eve).try_watch("hike", None, Delivery::Latest);
    assert_eq!(refused.expect_err("revoked").code, Code::NotFound);
    // A new membership lifts it.
    server
        .put_member("hike", "ana", &["watch"])
        .expect_success("back");
    let mut back = Peer::connect(server.ready.http, &ana);
    back.watch("hike", None, Delivery::Latest);
    back.batch(PATIENCE).expect("the chat");
}

fn rights_of_tokens_count_only_where_they_are_wanted(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ben");
    let ana = token_with(&server, "ana", &[("hike", BOTH)]);
    let mut peer = Peer::connect(server.ready.http, &ana);
    let refused = peer
        .try_watch("hike", None, Delivery::Latest)
        .expect_err("no member");
    assert_eq!(refused.code, Code::NotFound);
    let refused = peer.try_share("new", 60, "x").expect_err("no chat");
    assert_eq!(refused.code, Code::NotFound);
    // And there a token cannot be exchanged for one that gives less.
    let server = stateless(cores);
    let more = token_with(&server, "ana", &[("hike", BOTH)]);
    let less = token_with(&server, "ana", &[("hike", WATCH)]);
    let mut peer = Peer::connect(server.ready.http, &more);
    peer.share("hike", 600, "walk");
    peer.send(&[skein_wire::request::Request::Auth(
        skein_wire::request::Token(less),
    )]);
    let closed = peer.expect_close(PATIENCE);
    assert_eq!(
        closed.protocol_code(),
        Some(Code::MembershipRevoked),
        "{closed:?}"
    );
}
