//! Every verb of every transport against everybody who must not: one answer, that of a thing that is
//! not there.
//!
//! A verb is a request of the protocol or a path of the HTTP API; a case is somebody, or something named,
//! that has no right. Each verb is tried with each case that it can meet, and each must be refused with the
//! code of the table, the same on every transport, before and after a restart.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skein_server::access::signer::TokenSigner;
use skein_server::http::public_routes::PUBLIC_ROUTES;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::{Request as HttpRequest, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name, watch};
use skein_tests::relay::relay_token;
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker, Transport};
use skein_tests::wait::PATIENCE;
use skein_wire::error::Code;
use skein_wire::frame::encode_update;
use skein_wire::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, UserName,
};
use skein_wire::request::{
    CursorReport, Delivery, Heartbeat, MembersAsk, MembersSeen, Request, ShareExtend, SharePoint,
    SharePoints, ShareResume, ShareStart, ShareStop, Unwatch, Watch,
};
use skein_wire::update::{Refused, Update};

on_one_and_two_shards!(every_verb_refuses_whoever_has_no_right);

/// Request number of every tried request: the refusals can then be compared byte by byte.
const ASKED: RequestNumber = RequestNumber(7);

/// The stage: `ana` shares in `hike` and has ended another session there, `ben` watches; `club` has `cem`
/// alone; `eve`, who watched, and `zoe`, who shared, were removed.
struct Stage {
    server: Server,
    session: SessionId,
    ended: SessionId,
    zoes: SessionId,
    /// A cursor that `eve` had while she was a member.
    cursor: Cursor,
    /// A link to `hike`, and one to `club`.
    guest: String,
    guest_elsewhere: String,
    relay: String,
}

/// What a verb is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Looking at a chat.
    Chat,
    /// Looking at one session.
    Session,
    /// A session of one's own.
    Own,
    /// Sharing and alerts.
    Member,
}

/// Who tries, and on what.
struct Case {
    what: &'static str,
    token: String,
    chat: &'static str,
    session: SessionId,
    /// What it may not.
    meets: &'static [About],
    /// Whether it is tried by HTTP as well.
    by_http: bool,
}

const ALL: &[About] = &[About::Chat, About::Session, About::Own, About::Member];

fn cases(stage: &Stage) -> Vec<Case> {
    let of = |what, token: &str, chat, session, meets| Case {
        what,
        token: token.to_owned(),
        chat,
        session,
        meets,
        by_http: true,
    };
    let case = |what, user: &str, chat, session, meets| {
        of(what, &stage.server.token(user), chat, session, meets)
    };
    let (own, guessed) = (stage.session, SessionId(stage.session.0 ^ 1));
    let any_session: &[About] = &[About::Session, About::Own];
    vec![
        case("a stranger", "dan", "hike", own, ALL),
        case("a member of another chat", "cem", "hike", own, ALL),
        case("a chat that is not there", "ana", "nowhere", own, ALL),
        case("a removed member", "eve", "hike", own, ALL),
        case("a removed sharer", "zoe", "hike", own, ALL),
        of("another's guest", &stage.guest_elsewhere, "hike", own, ALL),
        case("through another chat", "cem", "club", own, any_session),
        case("another's session", "ben", "hike", own, &[About::Own]),
        case("another's end", "ben", "hike", stage.ended, &[About::Own]),
        case("a removed one's", "ben", "hike", stage.zoes, &[About::Own]),
        case("a guessed session", "ana", "hike", guessed, any_session),
        of(
            "a guest",
            &stage.guest,
            "hike",
            own,
            &[About::Own, About::Member],
        ),
        Case {
            // It watches whatever it likes, and has nothing to ask by HTTP.
            by_http: false,
            ..of(
                "a relay",
                &stage.relay,
                "hike",
                own,
                &[About::Own, About::Member],
            )
        },
    ]
}

fn start(cores: Cores) -> Stage {
    let mut options = Options::new(cores);
    options.configuration = "[access]\nclock_skew = \"0s\"\n[views]\nretain = \"1h\"\n".to_owned();
    let server = Server::start_with(options);
    for (chat, user) in [
        ("hike", "ana"),
        ("hike", "ben"),
        ("hike", "eve"),
        ("hike", "zoe"),
        ("club", "cem"),
    ] {
        server.add_member(chat, user);
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 3_600, "walk");
    ana.durable_point(shared.share, point_at(1, 1));
    let over = ana.share("hike", 3_600, "over");
    ana.stop(over.share);
    let mut zoe = Peer::connect(server.ready.http, &server.token("zoe"));
    let zoes = zoe.share("hike", 3_600, "run").session;
    let mut eve = Peer::connect(server.ready.http, &server.token("eve"));
    let watching = eve.watch("hike", None, Delivery::Latest);
    let batch = eve.batch(PATIENCE).expect("a member sees");
    let cursor = Cursor {
        log: eve.welcome.log,
        epoch: watching.epoch,
        offset: batch.header.to,
    };
    server.remove_member("hike", "eve");
    server.remove_member("hike", "zoe");
    let link = |chat: &str| {
        let made = HttpRequest::new("POST", &format!("/v1/chats/{chat}/guests"))
            .json(&json!({ "duration_s": 600 }))
            .send(server.ready.control);
        let made = made.expect_success("a link").json();
        made["token"].as_str().expect("a token").to_owned()
    };
    Stage {
        session: shared.session,
        ended: over.session,
        zoes,
        cursor,
        guest: link("hike"),
        guest_elsewhere: link("club"),
        relay: relay_token(&server),
        server,
    }
}

fn every_verb_refuses_whoever_has_no_right(cores: Cores) {
    let mut stage = start(cores);
    for restarted in [false, true] {
        if restarted {
            stage.server.crash_and_restart();
        }
        let mut tried = BTreeSet::new();
        for case in cases(&stage) {
            let what = format!("{} (restarted: {restarted})", case.what);
            for transport in TRANSPORTS {
                frames_are_refused(&stage, &case, transport, &what);
            }
            if case.by_http {
                tried.extend(paths_are_refused(&stage, &case, &what));
            }
        }
        assert_eq!(tried, every_path(), "each path was tried");
        shares_and_watches_of_others_are_unknown(&stage);
        who_was_removed_has_nothing_left(&stage);
        nobody_sets_geofences_of_a_chat(&stage);
    }
    whoever_has_no_good_token_gets_nowhere(&stage);
    // And through all of it the session lives.
    let seen = stage.server.positions("hike", "ben").to_string();
    assert!(seen.contains(&stage.session.to_string()), "{seen}");
}

/// The requests that name a chat or a session.
fn requests(case: &Case, cursor: Cursor) -> Vec<(&'static str, Request)> {
    let chat: ChatName = name(case.chat);
    let watch = |session, cursor| {
        Request::Watch(Watch {
            request: ASKED,
            chat: name(case.chat),
            session,
            view: None,
            cursor,
            delivery: Delivery::Every,
            trail: 8,
            interval_ms: 0,
        })
    };
    let resume = ShareResume {
        request: ASKED,
        chat: chat.clone(),
        session: case.session,
    };
    let start = ShareStart {
        request: ASKED,
        chat,
        duration_s: 60,
        idempotency_key: "walk".to_owned(),
        sealed: false,
    };
    let (session, cursor) = (Some(case.session), Some(cursor));
    let all = [
        (About::Own, "resume a share", Request::ShareResume(resume)),
        (About::Session, "watch a session", watch(session, None)),
        (
            About::Session,
            "watch a session from a cursor",
            watch(session, cursor),
        ),
        (About::Member, "start a share", Request::ShareStart(start)),
        (About::Chat, "watch a chat", watch(None, None)),
        (About::Chat, "watch from a cursor", watch(None, cursor)),
    ];
    let met = all
        .into_iter()
        .filter(|(about, ..)| case.meets.contains(about));
    met.map(|(_, verb, request)| (verb, request)).collect()
}

fn frames_are_refused(stage: &Stage, case: &Case, transport: Transport, what: &str) {
    let mut talker = Talker::connect(&stage.server, transport, &case.token);
    for (verb, request) in requests(case, stage.cursor) {
        talker.send(request);
        let refused = talker.expect("a refusal", |update| match update {
            Update::Refused(refused) => Some(refused.clone()),
            Update::Shared(_) | Update::Watching(_) | Update::Batch(_) => {
                panic!("{what}: {verb} by {transport:?} was met: {update:?}")
            }
            _ => None,
        });
        assert_eq!(bytes(refused), absent(), "{what}: {verb} by {transport:?}");
    }
}

/// A refusal as it travels.
fn bytes(refused: Refused) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_update(&Update::Refused(refused), &mut frame);
    frame
}

/// What a thing that is not there is answered with.
fn absent() -> Vec<u8> {
    bytes(Refused {
        request: ASKED,
        code: Code::NotFound,
        text: Code::NotFound.text().to_owned(),
    })
}

/// Method and route of all that members may ask.
fn every_path() -> BTreeSet<String> {
    PUBLIC_ROUTES
        .iter()
        .map(|(method, route)| format!("{method} {route}"))
        .collect()
}

/// Those who are met by what the case may not; what was tried.
fn paths_are_refused(stage: &Stage, case: &Case, what: &str) -> BTreeSet<String> {
    let session = case.session.to_string();
    let one = "/v1/chats/{chat}/sessions/{session}";
    let point = json!({ "counter": 9, "captured_at": 0, "lat": 1.0, "lon": 1.0 });
    let points = json!({ "chat": case.chat, "session": session, "points": [point] });
    let duration = json!({ "duration_s": 60 });
    let circle = json!({ "circle": { "lat": 1.0, "lon": 1.0, "radius_m": 100 } });
    // Around a session that is not one's own, there is no alert.
    let around = json!({ "near_m": 100, "around": session });
    let sub = |path: &str| format!("/v1/chats/{{chat}}/{path}");
    let tries = [
        (About::Own, "PATCH", one.to_owned(), Some(&duration)),
        (About::Own, "POST", format!("{one}/extend"), Some(&duration)),
        (About::Own, "GET", format!("{one}/viewers"), None),
        (About::Own, "GET", format!("{one}/views"), None),
        (About::Own, "DELETE", one.to_owned(), None),
        (About::Own, "POST", "/v1/points".to_owned(), Some(&points)),
        (About::Own, "PUT", sub("alerts/{name}"), Some(&around)),
        (About::Member, "POST", sub("sessions"), Some(&duration)),
        (About::Member, "PUT", sub("alerts/{name}"), Some(&circle)),
        (About::Member, "DELETE", sub("alerts/{name}"), None),
        (About::Member, "GET", sub("alerts"), None),
        (About::Chat, "GET", sub("sessions"), None),
        (About::Chat, "GET", sub("positions"), None),
        (About::Chat, "GET", sub("geofences"), None),
        (About::Chat, "GET", sub("settings"), None),
        (About::Chat, "GET", sub("crossings"), None),
    ];
    let mut tried = BTreeSet::new();
    for (about, method, route, body) in tries {
        if !case.meets.contains(&about) {
            continue;
        }
        let path = filled(&route, case.chat, &session);
        let answer = ask(stage, method, &path, &case.token, body);
        assert_eq!(answer.status, 404, "{what}: {method} {path}: {answer:?}");
        let expected = json!({ "code": "not_found", "text": Code::NotFound.text() });
        assert_eq!(answer.json(), expected, "{what}: {method} {path}");
        tried.insert(format!("{method} {route}"));
    }
    tried
}

/// A route with names in it, and with the query that it needs.
fn filled(route: &str, chat: &str, session: &str) -> String {
    let path = route.replace("{chat}", chat).replace("{session}", session);
    let path = path.replace("{name}", "near");
    match path.ends_with("/crossings") {
        true => path + "?after=0",
        false => path,
    }
}

fn ask(stage: &Stage, method: &str, path: &str, token: &str, body: Option<&Value>) -> Response {
    let request = HttpRequest::new(method, path).token(token);
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    request.send(stage.server.ready.http)
}

/// The verbs that name a number of the connection: somebody else's numbers mean nothing here.
fn shares_and_watches_of_others_are_unknown(stage: &Stage) {
    let (share, chat) = (ShareNumber(1), ChatHandle(1));
    for transport in TRANSPORTS {
        let token = stage.server.token("ben");
        let mut talker = Talker::connect(&stage.server, transport, &token);
        // What only relays say: to nobody else it is an answer, or has an effect.
        talker.send(Request::MembersSeen(MembersSeen {
            chat,
            offset: u64::from(u32::MAX),
        }));
        let point = point_at(1, 50);
        let tries = [
            (
                Request::ShareExtend(ShareExtend {
                    request: ASKED,
                    share,
                    duration_s: 60,
                }),
                Code::UnknownShare,
            ),
            (
                Request::ShareStop(ShareStop {
                    request: ASKED,
                    share,
                }),
                Code::UnknownShare,
            ),
            (
                Request::Point(SharePoint {
                    share,
                    durable: false,
                    point: point.clone(),
                }),
                Code::UnknownShare,
            ),
            (
                Request::Points(SharePoints {
                    share,
                    historical: true,
                    durable: false,
                    points: vec![point],
                }),
                Code::UnknownShare,
            ),
            (
                Request::Heartbeat(Heartbeat {
                    share,
                    counter: Counter(1),
                }),
                Code::UnknownShare,
            ),
            (
                Request::Unwatch(Unwatch {
                    request: ASKED,
                    chat,
                }),
                Code::UnknownWatch,
            ),
            (
                Request::MembersAsk(MembersAsk {
                    request: ASKED,
                    chat,
                    after: None,
                }),
                Code::UnknownWatch,
            ),
            (
                Request::Cursor(CursorReport {
                    chat,
                    cell: Cell(0),
                    epoch: 1,
                    offset: 1,
                }),
                Code::UnknownWatch,
            ),
        ];
        for (request, code) in tries {
            let verb = format!("{request:?}");
            talker.send(request);
            let refused = talker.expect("a refusal", |update| match update {
                Update::Refused(refused) => Some(refused.code),
                Update::Accepted(_) | Update::Done(_) | Update::Members(_) => {
                    panic!("{verb} was met")
                }
                _ => None,
            });
            assert_eq!(refused, code, "{verb} by {transport:?}");
        }
    }
}

/// Who was removed while sharing hears no more of the own session than of one that never was; who watches is no
/// relay, whatever it asks.
fn who_was_removed_has_nothing_left(stage: &Stage) {
    let zoe = stage.server.token("zoe");
    let session = stage.zoes.to_string();
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&stage.server, transport, &zoe);
        talker.send(Request::ShareResume(ShareResume {
            request: ASKED,
            chat: name("hike"),
            session: stage.zoes,
        }));
        assert_eq!(refusal(&mut talker), Code::NotFound, "{transport:?}");
        let mut talker = Talker::connect(&stage.server, transport, &stage.server.token("ben"));
        talker.send(watch(ASKED, "hike", None, Delivery::Latest));
        let chat = talker.expect("a watch", |update| match update {
            Update::Watching(watching) => Some(watching.chat),
            _ => None,
        });
        talker.send(Request::MembersAsk(MembersAsk {
            request: ASKED,
            chat,
            after: None,
        }));
        assert_eq!(refusal(&mut talker), Code::UnknownWatch, "{transport:?}");
    }
    let one = format!("/v1/chats/hike/sessions/{session}");
    let duration = json!({ "duration_s": 60 });
    let point = json!({ "counter": 9, "captured_at": 0, "lat": 1.0, "lon": 1.0 });
    let points = json!({ "chat": "hike", "session": session, "points": [point] });
    for (method, path, body) in [
        ("PATCH", one.clone(), Some(&duration)),
        ("POST", format!("{one}/extend"), Some(&duration)),
        ("GET", format!("{one}/viewers"), None),
        ("POST", "/v1/points".to_owned(), Some(&points)),
    ] {
        let answer = ask(stage, method, &path, &zoe, body).json();
        let code = answer["code"]
            .as_str()
            .or(answer["verdicts"][0]["code"].as_str());
        assert_eq!(code, Some("not_found"), "{path}: {answer}");
        assert_ne!(answer["accepted"], 1, "{path}: {answer}");
    }
}

fn refusal(talker: &mut Talker) -> Code {
    talker.expect("a refusal", |update| match update {
        Update::Refused(refused) if refused.request == ASKED => Some(refused.code),
        Update::Shared(_) | Update::Members(_) => panic!("it was met: {update:?}"),
        _ => None,
    })
}

/// Geofences of a chat are the chat service's: the public port has no such path, for members neither.
fn nobody_sets_geofences_of_a_chat(stage: &Stage) {
    let circle = json!({ "circle": { "lat": 1.0, "lon": 1.0, "radius_m": 100 } });
    for user in ["ana", "dan"] {
        let token = stage.server.token(user);
        for (method, body) in [("PUT", Some(&circle)), ("DELETE", None)] {
            let path = "/v1/chats/hike/geofences/home";
            let answer = ask(stage, method, path, &token, body);
            assert_eq!(answer.status, 404, "{method} by {user}: {answer:?}");
        }
    }
    let path = "/v1/chats/hike/geofences";
    let seen = ask(stage, "GET", path, &stage.server.token("ana"), None).json();
    assert_eq!(seen["geofences"], json!([]), "{seen}");
}

/// Expired, foreign, forged: on no transport and no path.
fn whoever_has_no_good_token_gets_nowhere(stage: &Stage) {
    let own = stage.server.data_dir().join("keys").join("token.pem");
    let foreign = stage.server.scratch().join("foreign.pem");
    let signed = |key: &std::path::Path, ttl_s| {
        let signer = TokenSigner::open_or_create(key).expect("a key");
        let user = UserName::new("ana").expect("a name");
        signer.mint(&user, ttl_s, now_ms()).expect("a token")
    };
    let mut forged = stage.guest.clone();
    let last = forged.pop().expect("a last letter");
    forged.push(if last == 'A' { 'E' } else { 'A' });
    let session = stage.session.to_string();
    let body = json!({ "duration_s": 60 });
    let no_path = |what: &str, token: &str, code: Code| {
        for (method, route) in PUBLIC_ROUTES {
            let path = filled(route, "hike", &session);
            let answer = ask(stage, method.as_str(), &path, token, Some(&body));
            let what = format!("{what}: {method} {path}");
            assert_eq!(answer.status, code.http_status(), "{what}: {answer:?}");
            assert_eq!(answer.json()["code"], code.name(), "{what}");
        }
    };
    no_path("a relay", &stage.relay, Code::OutOfScope);
    for (what, token, code) in [
        ("expired", signed(&own, 0), Code::TokenExpired),
        ("foreign", signed(&foreign, 60), Code::BadToken),
        ("a forged link", forged, Code::BadToken),
    ] {
        for transport in TRANSPORTS {
            let closed = Talker::try_connect(&stage.server, transport, &token);
            let closed = closed.err().unwrap_or_else(|| panic!("{what} was taken"));
            assert_eq!(
                closed.protocol_code(),
                Some(code),
                "{what} by {transport:?}"
            );
        }
        no_path(what, &token, code);
    }
}
