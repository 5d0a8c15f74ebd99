//! Every verb of every transport against everybody who must not: one answer, that of a thing that is
//! not there.
//!
//! A verb is a request of the protocol or a path of the HTTP API; a case is somebody, or something named,
//! that has no right. Each verb is tried with each case that it can meet, and each must be refused with the
//! code of the table, the same on every transport, before and after a restart.

use serde_json::json;
use skein_server::access::signer::TokenSigner;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::{Request as HttpRequest, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker, Transport};
use skein_tests::wait::PATIENCE;
use skein_wire::error::Code;
use skein_wire::frame::encode_update;
use skein_wire::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, UserName,
};
use skein_wire::request::{
    CursorReport, Delivery, Heartbeat, Request, ShareExtend, SharePoint, SharePoints, ShareResume,
    ShareStart, ShareStop, Unwatch, Watch,
};
use skein_wire::update::{Refused, Update};

on_one_and_two_shards!(every_verb_refuses_whoever_has_no_right);

/// Request number of every tried request: the refusals can then be compared byte by byte.
const ASKED: RequestNumber = RequestNumber(7);

/// The stage: `ana` shares in `hike`, `ben` watches there; `club` has `cem` alone; `eve` was removed.
struct Stage {
    server: Server,
    session: SessionId,
    /// A cursor that `eve` had while she was a member.
    cursor: Cursor,
}

/// Who tries, and on what.
struct Case {
    what: &'static str,
    user: &'static str,
    chat: &'static str,
    session: SessionId,
    /// Whether the verbs that name only a chat meet this case, too.
    is_about_chat: bool,
    /// Whether watching is refused as well.
    is_blind: bool,
}

fn cases(stage: &Stage) -> Vec<Case> {
    let case = |what, user, chat, session, is_about_chat, is_blind| Case {
        what,
        user,
        chat,
        session,
        is_about_chat,
        is_blind,
    };
    let (own, guessed) = (stage.session, SessionId(stage.session.0 ^ 1));
    vec![
        case("a stranger", "dan", "hike", own, true, true),
        case("a member of another chat", "cem", "hike", own, true, true),
        case(
            "a chat that is not there",
            "ana",
            "nowhere",
            own,
            true,
            true,
        ),
        case("a removed member", "eve", "hike", own, true, true),
        case(
            "a session through another chat",
            "cem",
            "club",
            own,
            false,
            true,
        ),
        case("another member's session", "ben", "hike", own, false, false),
        case("a guessed session", "ana", "hike", guessed, false, true),
    ]
}

fn start(cores: Cores) -> Stage {
    let mut options = Options::new(cores);
    options.configuration = "[access]\nclock_skew = \"0s\"\n".to_owned();
    let server = Server::start_with(options);
    for (chat, user) in [
        ("hike", "ana"),
        ("hike", "ben"),
        ("hike", "eve"),
        ("club", "cem"),
    ] {
        server.add_member(chat, user);
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shared = ana.share("hike", 3_600, "walk");
    ana.durable_point(shared.share, point_at(1, 1));
    let mut eve = Peer::connect(server.ready.http, &server.token("eve"));
    let watching = eve.watch("hike", None, Delivery::Latest);
    let batch = eve.batch(PATIENCE).expect("a member sees");
    let cursor = Cursor {
        log: eve.welcome.log,
        epoch: watching.epoch,
        offset: batch.header.to,
    };
    server.remove_member("hike", "eve");
    Stage {
        server,
        session: shared.session,
        cursor,
    }
}

fn every_verb_refuses_whoever_has_no_right(cores: Cores) {
    let mut stage = start(cores);
    for restarted in [false, true] {
        if restarted {
            stage.server.crash_and_restart();
        }
        for case in cases(&stage) {
            let what = format!("{} (restarted: {restarted})", case.what);
            for transport in TRANSPORTS {
                frames_are_refused(&stage, &case, transport, &what);
            }
            paths_are_refused(&stage, &case, &what);
        }
        shares_and_watches_of_others_are_unknown(&stage);
    }
    whoever_has_no_good_token_gets_nowhere(&stage);
    // And through all of it the session lives.
    let seen = stage.server.positions("hike", "ben").to_string();
    assert!(seen.contains(&stage.session.to_string()), "{seen}");
}

/// The requests that name a chat or a session.
fn requests(case: &Case, cursor: Option<Cursor>) -> Vec<(&'static str, Request)> {
    let chat: ChatName = name(case.chat);
    let watch = |session, cursor| {
        Request::Watch(Watch {
            request: ASKED,
            chat: name(case.chat),
            session,
            cells: Vec::new(),
            cursor,
            delivery: Delivery::Every,
            trail: 8,
            interval_ms: 0,
        })
    };
    let mut all = vec![(
        "resume a share",
        Request::ShareResume(ShareResume {
            request: ASKED,
            chat: chat.clone(),
            session: case.session,
        }),
    )];
    if case.is_blind {
        all.push(("watch a session", watch(Some(case.session), None)));
    }
    if case.is_about_chat {
        let start = ShareStart {
            request: ASKED,
            chat,
            duration_s: 60,
            idempotency_key: "walk".to_owned(),
            sealed: false,
        };
        all.push(("start a share", Request::ShareStart(start)));
        all.push(("watch a chat", watch(None, None)));
        all.push(("watch from a cursor", watch(None, cursor)));
    }
    all
}

fn frames_are_refused(stage: &Stage, case: &Case, transport: Transport, what: &str) {
    let token = stage.server.token(case.user);
    let mut talker = Talker::connect(&stage.server, transport, &token);
    for (verb, request) in requests(case, Some(stage.cursor)) {
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

fn paths_are_refused(stage: &Stage, case: &Case, what: &str) {
    let token = stage.server.token(case.user);
    let (chat, session) = (case.chat, case.session);
    let sessions = format!("/v1/chats/{chat}/sessions");
    let one = format!("{sessions}/{session}");
    let points = json!({
        "chat": chat,
        "session": session.to_string(),
        "points": [{ "counter": 9, "captured_at": 0, "lat": 1.0, "lon": 1.0 }],
    });
    let duration = json!({ "duration_s": 60 });
    let mut tries = vec![
        ("PATCH", one.clone(), Some(duration.clone())),
        ("POST", format!("{one}/extend"), Some(duration.clone())),
        ("DELETE", one, None),
        ("POST", "/v1/points".to_owned(), Some(points)),
    ];
    // Around a session that is not one's own, there is no alert.
    let around = json!({ "near_m": 100, "around": session.to_string() });
    let alerts = format!("/v1/chats/{chat}/alerts");
    tries.push(("PUT", format!("{alerts}/near"), Some(around)));
    if case.is_about_chat {
        tries.push(("POST", sessions.clone(), Some(duration)));
        tries.push(("GET", sessions, None));
        tries.push(("GET", format!("/v1/chats/{chat}/positions"), None));
        tries.push(("GET", format!("/v1/chats/{chat}/geofences"), None));
        tries.push(("GET", format!("/v1/chats/{chat}/settings"), None));
        tries.push(("GET", format!("/v1/chats/{chat}/crossings?after=0"), None));
        let circle = json!({ "circle": { "lat": 1.0, "lon": 1.0, "radius_m": 100 } });
        tries.push(("PUT", format!("{alerts}/place"), Some(circle)));
        tries.push(("DELETE", format!("{alerts}/place"), None));
        tries.push(("GET", alerts, None));
    }
    for (method, path, body) in tries {
        let answer = ask(stage, method, &path, &token, body);
        assert_eq!(answer.status, 404, "{what}: {method} {path}: {answer:?}");
        let expected = json!({ "code": "not_found", "text": Code::NotFound.text() });
        assert_eq!(answer.json(), expected, "{what}: {method} {path}");
    }
}

fn ask(
    stage: &Stage,
    method: &str,
    path: &str,
    token: &str,
    body: Option<serde_json::Value>,
) -> Response {
    let request = HttpRequest::new(method, path).token(token);
    let request = match body {
        Some(body) => request.json(&body),
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
                Update::Accepted(_) | Update::Done(_) => panic!("{verb} was met"),
                _ => None,
            });
            assert_eq!(refused, code, "{verb} by {transport:?}");
        }
    }
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
    let guest = HttpRequest::new("POST", "/v1/chats/hike/guests")
        .json(&json!({ "duration_s": 60 }))
        .send(stage.server.ready.control)
        .expect_success("a link")
        .json();
    let mut forged = guest["token"].as_str().expect("a token").to_owned();
    let last = forged.pop().expect("a last letter");
    forged.push(if last == 'A' { 'E' } else { 'A' });
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
        for (method, path) in [
            ("GET", "/v1/chats/hike/positions"),
            ("GET", "/v1/chats/hike/geofences"),
            ("GET", "/v1/chats/hike/alerts"),
            ("PUT", "/v1/chats/hike/alerts/near"),
            ("GET", "/v1/chats/hike/sessions"),
            ("POST", "/v1/chats/hike/sessions"),
            ("POST", "/v1/points"),
            ("DELETE", "/v1/chats/hike/sessions/0000000000000001"),
            ("PATCH", "/v1/chats/hike/sessions/0000000000000001"),
        ] {
            let answer = ask(
                stage,
                method,
                path,
                &token,
                Some(json!({ "duration_s": 60 })),
            );
            assert_eq!(answer.status, 401, "{what}: {method} {path}: {answer:?}");
            assert_eq!(
                answer.json()["code"],
                code.name(),
                "{what}: {method} {path}"
            );
        }
    }
}
