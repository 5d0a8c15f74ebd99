//! Who sees me: the sharer is told of present viewers and, where a record is kept, of past ones; nobody
//! else is, and viewers are told that it is so.

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::request::{Delivery, Request as Ask, Watch};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_sharer_sees_who_watches_now_and_nobody_else_does,
    a_record_of_views_is_kept_for_the_sharer_alone,
    who_looks_over_http_is_seen_for_a_while,
    without_a_record_there_is_none_to_read,
);

fn recording(cores: Cores) -> Server {
    Server::start_with(Options {
        configuration: "[views]\nretain = \"1h\"\n".to_owned(),
        ..Options::new(cores)
    })
}

fn ask(server: &Server, user: Option<&str>, session: SessionId, what: &str) -> Response {
    let path = format!("/v1/chats/hike/sessions/{session}/{what}");
    let request = Request::new("GET", &path);
    match user {
        Some(user) => request.token(&server.token(user)).send(server.ready.http),
        None => request.send(server.ready.control),
    }
}

/// Watches the chat, or one session of it, and waits until it does.
fn watch(talker: &mut Talker, session: Option<SessionId>) {
    talker.send(Ask::Watch(Watch {
        request: RequestNumber(1),
        chat: name("hike"),
        session,
        view: None,
        cursor: None,
        delivery: Delivery::Latest,
        trail: 0,
        interval_ms: 0,
    }));
    let answer = talker.expect("an answer", |update| match update {
        Update::Watching(_) => Some(Code::Ok),
        Update::Refused(refused) => Some(refused.code),
        _ => None,
    });
    assert_eq!(answer, Code::Ok);
}

fn guest(server: &Server) -> (String, String) {
    let made = Request::new("POST", "/v1/chats/hike/guests")
        .json(&json!({ "duration_s": 600 }))
        .send(server.ready.control)
        .expect_success("a link")
        .json();
    let text = |key: &str| made[key].as_str().expect(key).to_owned();
    (text("guest"), text("token"))
}

/// Names of viewers or views, each once.
fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    let mut names: Vec<String> = all
        .map(|it| match it["guest"].as_str() {
            Some(guest) => format!("guest {guest}"),
            None => it["user"].as_str().expect("a name").to_owned(),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn viewers(server: &Server, user: Option<&str>, session: SessionId) -> Value {
    let answer = ask(server, user, session, "viewers");
    answer.expect_success("viewers").json()
}

fn a_sharer_sees_who_watches_now_and_nobody_else_does(cores: Cores) {
    let server = Server::start(cores);
    for user in ["ana", "ben", "cem", "eve"] {
        server.add_member("hike", user);
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let session = ana.share("hike", 600, "walk").session;
    let mut eve = Peer::connect(server.ready.http, &server.token("eve"));
    let others = eve.share("hike", 600, "run").session;
    ana.watch("hike", None, Delivery::Latest);
    assert_eq!(
        viewers(&server, Some("ana"), session),
        json!({ "total": 0, "viewers": [], "looked": [] })
    );
    // By all transports, on whichever core a connection comes to lie.
    let mut talkers = Vec::new();
    for transport in TRANSPORTS {
        for _ in 0..4 {
            let mut talker = Talker::connect(&server, transport, &server.token("ben"));
            watch(&mut talker, None);
            talkers.push(talker);
        }
        let mut talker = Talker::connect(&server, transport, &server.token("cem"));
        watch(&mut talker, Some(session));
        talkers.push(talker);
    }
    let (link, token) = guest(&server);
    let mut visitor = Peer::connect(server.ready.http, &token);
    visitor.watch("hike", None, Delivery::Latest);
    // Who looks at somebody else sees nothing of her.
    let mut runner = Talker::connect(&server, TRANSPORTS[0], &server.token("eve"));
    watch(&mut runner, Some(others));
    let seen = viewers(&server, Some("ana"), session);
    assert_eq!(seen["total"], 5 * TRANSPORTS.len() + 1, "{seen}");
    let everybody = ["ben".to_owned(), "cem".to_owned(), format!("guest {link}")];
    assert_eq!(names(&seen["viewers"]), everybody);
    let of = |list: &Value, user: &str| {
        let mut all = list["viewers"].as_array().expect("a list").iter();
        all.find(|it| it["user"] == user).cloned()
    };
    let ben = of(&seen, "ben").expect("he watches");
    assert_eq!(ben["watches"], 4 * TRANSPORTS.len(), "{ben}");
    assert!(ben["since"].as_u64() > Some(0), "{ben}");
    assert_eq!(
        viewers(&server, None, session),
        seen,
        "operators see the same"
    );
    assert_eq!(
        names(&viewers(&server, Some("eve"), others)["viewers"]).len(),
        3
    );
    // To others it looks like a session that is not there.
    let absent = ask(&server, Some("ben"), SessionId(7), "viewers");
    let whose = ask(&server, Some("ben"), session, "viewers");
    assert_eq!((absent.status, &absent.body), (404, &whose.body));
    assert_eq!(whose.status, 404);
    let path = format!("/v1/chats/hike/sessions/{session}/viewers");
    let by_guest = Request::new("GET", &path)
        .token(&token)
        .send(server.ready.http);
    assert_eq!((by_guest.status, &by_guest.body), (404, &absent.body));
    let unknown = Request::new("GET", &path).send(server.ready.http);
    assert_eq!(unknown.status, 401);
    // Who leaves is gone, and who is removed, too.
    talkers.clear();
    drop(visitor);
    wait::until("all have left", PATIENCE, || {
        viewers(&server, Some("ana"), session)["total"] == 0
    });
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    ben.watch("hike", None, Delivery::Latest);
    assert_eq!(viewers(&server, Some("ana"), session)["total"], 1);
    server.remove_member("hike", "ben");
    assert_eq!(viewers(&server, Some("ana"), session)["total"], 0);
}

fn views(server: &Server, session: SessionId) -> Value {
    let answer = ask(server, Some("ana"), session, "views");
    answer.expect_success("views").json()
}

fn a_record_of_views_is_kept_for_the_sharer_alone(cores: Cores) {
    let mut server = recording(cores);
    for user in ["ana", "ben", "cem", "dora"] {
        server.add_member("hike", user);
    }
    // She is gone before the session begins.
    let mut dora = Peer::connect(server.ready.http, &server.token("dora"));
    assert!(dora.welcome.views_recorded, "viewers are told");
    dora.watch("hike", None, Delivery::Latest);
    drop(dora);
    let metric = |server: &Server, name: &str| server.metrics().sum(name);
    wait::until("she has left", PATIENCE, || {
        let recorded = metric(&server, "skein_views_recorded_total");
        recorded == 1.0 && metric(&server, "skein_views_open") == 0.0
    });
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 600, "walk");
    let session = shared.session;
    ana.durable_point(shared.share, point_at(1, 1));
    let mut talkers = Vec::new();
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&server, transport, &server.token("ben"));
        watch(&mut talker, None);
        talkers.push(talker);
    }
    let (link, token) = guest(&server);
    let mut visitor = Peer::connect(server.ready.http, &token);
    visitor.watch("hike", None, Delivery::Latest);
    let looked = server.positions("hike", "cem");
    assert_eq!(looked["view_recorded"], true, "who looks is told, too");
    let recorded = |server: &Server| views(server, session)["views"].as_array().map(Vec::len);
    let expected = TRANSPORTS.len() + 2;
    wait::until("all are recorded", PATIENCE, || {
        recorded(&server) == Some(expected)
    });
    let seen = views(&server, session);
    let everybody = ["ben".to_owned(), "cem".to_owned(), format!("guest {link}")];
    assert_eq!(names(&seen["views"]), everybody, "{seen}");
    let untils = |seen: &Value, user: &str| -> Vec<Value> {
        let all = seen["views"].as_array().expect("a list").iter();
        let of = all.filter(|it| it["user"] == user);
        of.map(|it| it["until"].clone()).collect()
    };
    assert_eq!(
        untils(&seen, "ben"),
        TRANSPORTS.map(|_| Value::Null),
        "they go on"
    );
    assert!(untils(&seen, "cem")[0].is_u64(), "a look is over at once");
    // One leaves; the others are cut off by a kill.
    drop(talkers.pop());
    wait::until("one has left", PATIENCE, || {
        let open = untils(&views(&server, session), "ben");
        open.iter().filter(|it| it.is_null()).count() == TRANSPORTS.len() - 1
    });
    server.crash_and_restart();
    let after = views(&server, session);
    assert_eq!(names(&after["views"]), everybody, "{after}");
    for view in after["views"].as_array().expect("a list") {
        let (from, until) = (view["from"].as_u64(), view["until"].as_u64());
        assert!(until.is_some() && from <= until, "nobody is there: {view}");
    }
    // It is hers also when the session is over, and nobody else's.
    let path = format!("/v1/chats/hike/sessions/{session}");
    Request::new("DELETE", &path)
        .token(&server.token("ana"))
        .send(server.ready.http)
        .expect_success("a stop");
    let mut late = Peer::connect(server.ready.http, &server.token("dora"));
    late.watch("hike", None, Delivery::Latest);
    wait::until("a view after the end", PATIENCE, || {
        metric(&server, "skein_views_open") == 1.0
    });
    assert_eq!(names(&views(&server, session)["views"]), everybody);
    assert_eq!(
        ask(&server, None, session, "views").json(),
        views(&server, session)
    );
    let absent = ask(&server, Some("ben"), SessionId(7), "views");
    let whose = ask(&server, Some("ben"), session, "views");
    assert_eq!((whose.status, &whose.body), (404, &absent.body));
    let over = ask(&server, Some("ana"), session, "viewers");
    assert_eq!(
        (over.status, &over.json()["code"]),
        (410, &json!("session_ended"))
    );
    for what in ["positions", "geofences", "crossings"] {
        let looked = look(&server, "ben", what);
        assert_eq!(looked["view_recorded"], true, "{what}: {looked}");
    }
    // To who is no member any more it looks like none, by either way.
    server.remove_member("hike", "ana");
    for what in ["views", "viewers"] {
        let former = ask(&server, Some("ana"), session, what);
        assert_eq!((former.status, &former.body), (404, &absent.body), "{what}");
    }
    assert!(ask(&server, None, session, "views").status < 300);
}

/// What a member is answered who looks once.
fn look(server: &Server, user: &str, what: &str) -> Value {
    let asked = Request::new("GET", &format!("/v1/chats/hike/{what}"));
    let answer = asked.token(&server.token(user)).send(server.ready.http);
    answer.expect_success(what).json()
}

fn who_looks_over_http_is_seen_for_a_while(cores: Cores) {
    let server = Server::start(cores);
    for user in ["ana", "ben", "cem", "dora"] {
        server.add_member("hike", user);
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let session = ana.share("hike", 600, "walk").session;
    assert_eq!(viewers(&server, Some("ana"), session)["looked"], json!([]));
    server.positions("hike", "ana");
    server.positions("hike", "ben");
    look(&server, "cem", "geofences");
    look(&server, "dora", "crossings");
    let seen = viewers(&server, Some("ana"), session);
    let looked = seen["looked"].as_array().expect("a list");
    let names: Vec<&str> = looked.iter().filter_map(|it| it["user"].as_str()).collect();
    assert_eq!(names, ["ben", "cem", "dora"], "{seen}");
    assert!(looked.iter().all(|it| it["at"].is_u64()), "{seen}");
    assert_eq!(seen["total"], 0, "nobody watches: {seen}");
}

fn without_a_record_there_is_none_to_read(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    assert!(!ana.welcome.views_recorded);
    for what in ["positions", "geofences", "crossings"] {
        assert_eq!(look(&server, "ana", what)["view_recorded"], false, "{what}");
    }
    let session = ana.share("hike", 600, "walk").session;
    let answer = ask(&server, Some("ana"), session, "views");
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(answer.body.contains("views.retain"), "{answer:?}");
    assert!(!server.data_dir().join("views").exists());
}
