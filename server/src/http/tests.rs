//! Both APIs against a gateway that answers by rote.

mod members;
mod routes;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::journal::Entry;
use skein_engine::request::{
    Actor, ChatReply, ChatRequest, ChatResult, MembersPage, PointsReply, PositionInfo, SessionInfo,
};
use skein_log::{Inspector, Log, MemoryStorage, Options as LogOptions, PartitionId, Record};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, Counter, Cursor, SessionId, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::update::{SessionState, Verdict};
use tokio::sync::{oneshot, watch};

use crate::access::Access;
use crate::access::control_scope::ControlScope;
use crate::access::control_token::ControlTokens;
use crate::access::key_set::TOKEN_KEY_FILE;
use crate::access::signer::TokenSigner;
use crate::bad_input::BadInput;
use crate::chat_names::ChatNames;
use crate::clock::Clock;
use crate::control::core::{Acknowledge, ControlCore};
use crate::control::feed::EventFeed;
use crate::edge::http_listener::PeerAddress;
use crate::health::{Health, Phase};
use crate::history::handle::{History, HistoryOptions, HistoryThread};
use crate::history::schema;
use crate::history::stats::HISTORY_METRICS;
use crate::http::bad_inputs::{BAD_CONTROL_REQUESTS, BAD_REQUESTS};
use crate::http::crossings::{self, CrossingsState};
use crate::http::events::EventsState;
use crate::http::gateway::ShardGateway;
use crate::http::guests::GuestsState;
use crate::http::history::HistoryState;
use crate::http::log_erasing;
use crate::http::log_reading::{self, LogState};
use crate::http::state::{ApiState, Callers};
use crate::http::viewers::ViewersState;
use crate::http::webhooks::{self, WebhooksState};
use crate::http::{control, public};
use crate::metrics::MetricsBoard;

const TOKEN: &str = "0123456789abcdef-control";
const SESSION: &str = "00000000000000a1";

/// Notes what it is asked and answers each kind of request with one of its kind.
#[derive(Default)]
struct Rote {
    asked: Mutex<Vec<ChatRequest>>,
    refuse: Mutex<Option<Code>>,
    not_durable: Mutex<bool>,
}

impl ShardGateway for Rote {
    fn request(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        let (sender, receiver) = oneshot::channel();
        let refuse = *self.refuse.lock().unwrap();
        let durable = !*self.not_durable.lock().unwrap();
        let result =
            refuse.map_or_else(|| Ok(answer(&request, durable)), |c| Err(WireError::of(c)));
        self.asked.lock().unwrap().push(request);
        let _ = sender.send(result);
        receiver
    }
}

fn session_info(user: &str) -> SessionInfo {
    SessionInfo {
        session: SessionId(0xa1),
        user: UserName::new(user).unwrap(),
        state: SessionState::Live,
        started_at_ms: 1,
        expires_at_ms: 61_001,
        sealed: false,
        counter_last: Counter(3),
    }
}

fn answer(request: &ChatRequest, durable: bool) -> ChatReply {
    match request {
        ChatRequest::Start(start) => ChatReply::Session(session_info(start.user.as_str())),
        ChatRequest::Extend { .. } => ChatReply::Session(session_info("ana")),
        ChatRequest::Sessions { .. } => ChatReply::Sessions(vec![session_info("ana")]),
        ChatRequest::Points(_) => ChatReply::Points(PointsReply {
            counter_last: Counter(3),
            accepted: 1,
            durable,
            verdicts: vec![Verdict {
                counter: Counter(2),
                code: Code::Superseded,
            }],
        }),
        ChatRequest::Positions { .. } => {
            let position = Position::from_degrees(45.5, 13.25).unwrap();
            let payload = Payload::Fix(Fix {
                position,
                ..Fix::default()
            });
            let newest = Some(Point {
                counter: Counter(3),
                captured_at_ms: 9,
                payload,
            });
            let session = session_info("ana");
            ChatReply::Positions {
                cursor: Cursor {
                    log: 1,
                    epoch: 2,
                    offset: 3,
                },
                view_recorded: true,
                positions: vec![
                    PositionInfo {
                        session: session.clone(),
                        newest,
                    },
                    PositionInfo {
                        session,
                        newest: None,
                    },
                ],
            }
        }
        ChatRequest::Members { .. } => ChatReply::Members(MembersPage {
            members: vec![(UserName::new("ana").unwrap(), 3)],
            version: 17,
            more: true,
        }),
        ChatRequest::PutMember { .. }
        | ChatRequest::RemoveMember { .. }
        | ChatRequest::PutMembers { .. }
        | ChatRequest::PutGuest { .. }
        | ChatRequest::RemoveGuest { .. } => ChatReply::Changed {
            durable,
            version: 18,
            was_member: false,
        },
        _ => ChatReply::Done { durable },
    }
}

struct Rig {
    gateway: Arc<Rote>,
    health: Arc<Health>,
    router: Router,
    token: String,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

/// A control token that is good for everything but one thing.
fn token_without(scope: ControlScope) -> String {
    format!("0123456789abcdef-not-{scope}")
}

fn others(scope: ControlScope) -> String {
    let others = ControlScope::ALL.into_iter().filter(|it| *it != scope);
    others.map(ControlScope::name).collect::<Vec<_>>().join(",")
}

enum Api {
    Public,
    Control,
    ControlDev,
}

fn rig(api: &Api) -> Rig {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = Clock::start();
    let access = Arc::new(Access::open(dir.path(), true).expect("keys"));
    let signer = TokenSigner::open(&dir.path().join(TOKEN_KEY_FILE)).expect("key");
    let user = UserName::new("ana").unwrap();
    let user_token = signer.mint(&user, 60, clock.now_ms()).expect("token");
    let path = dir.path().join("control-token");
    let mut tokens = format!("{TOKEN}\n");
    for missing in ControlScope::ALL {
        tokens += &format!("{} {}\n", token_without(missing), others(missing));
    }
    std::fs::write(&path, tokens).expect("write");
    let callers = match api {
        Api::Public => Callers::Users(access.clone()),
        Api::Control => Callers::Operators(Arc::new(ControlTokens::read(&path).expect("token"))),
        Api::ControlDev => Callers::ThisMachine,
    };
    let (gateway, health) = (Arc::new(Rote::default()), Arc::new(Health::default()));
    let state = ApiState::new(gateway.clone(), callers, clock, health.clone());
    let (stop, stopped) = watch::channel(false);
    let open = ControlCore::open(MemoryStorage::new(), Acknowledge::AfterSync, 0, 1);
    let (core, _) = open.expect("control log");
    let (_, feed) = EventFeed::new(core.log_id(), core.reader(), 0, core.voids());
    let crossings = crossings::routes(CrossingsState::new(state.clone(), feed.clone()));
    let router = match api {
        Api::Public => {
            public::router(state.clone(), ViewersState::new(state, None)).merge(crossings)
        }
        Api::Control | Api::ControlDev => {
            let events = EventsState::new(state.clone(), feed, stopped.clone());
            let history = match api {
                Api::Control => Some(history(dir.path(), clock)),
                _ => None,
            };
            let history = HistoryState::new(state.clone(), history);
            let log = log_state(state.clone(), stopped.clone());
            control::router(
                state.clone(),
                events,
                history,
                GuestsState::new(state.clone(), access),
                ViewersState::new(state.clone(), None),
                Arc::new(MetricsBoard::default()),
            )
            .merge(webhooks::routes().with_state(WebhooksState::new(state.clone(), None)))
            .merge(crossings)
            .merge(log_reading::routes(log))
            .merge(log_erasing::routes(state.clone(), Arc::new(|_| Ok(None))))
        }
    };
    let token = match api {
        Api::Public => user_token,
        _ => TOKEN.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    Rig {
        gateway,
        health,
        router,
        token,
        runtime,
        dir,
        _stop: stop,
    }
}

/// A history that has nothing yet; it knows the chat `hike`. Its thread ends with its last handle.
fn history(folder: &Path, clock: Clock) -> History {
    let (log, _) = Log::open(MemoryStorage::new(), LogOptions::default(), 1, 1).expect("a log");
    let mut chats = ControlState::default();
    let put = Command::PutMember {
        chat: "hike".to_owned(),
        user: "ana".to_owned(),
        rights: 3,
    };
    chats.apply(1, &put);
    let options = HistoryOptions {
        every_ms: 1_000,
        retain_ms: 60_000,
    };
    let metrics = MetricsBoard::default().once(HISTORY_METRICS);
    let folder = folder.join("history");
    let names = Arc::new(ChatNames::of(&chats));
    HistoryThread::start(&folder, options, &log, &chats, names, clock, metrics)
        .expect("a history")
        .history()
        .clone()
}

/// A log of two partitions: five heartbeats in the first, in two batches, the first of which is
/// dropped.
fn log_state(api: ApiState, stop: watch::Receiver<bool>) -> LogState {
    let options = LogOptions {
        partitions: 2,
        ..LogOptions::default()
    };
    let storage = MemoryStorage::new();
    let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("a log");
    let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    let heartbeat = Entry::Heartbeat {
        session: SessionId(0xa1),
    };
    let heartbeat = heartbeat.encode(ChatHandle(7));
    let record = Record {
        kind: heartbeat.kind,
        key: heartbeat.key,
        extension: heartbeat.extension,
        ..Record::default()
    };
    for (time, count) in [(1_000, 2), (2_000, 3)] {
        let records = vec![record; count];
        writer.append(time, &records).expect("appended");
        writer.close_segment();
    }
    writer.sync_now().expect("durable");
    writer.purge_before(3).expect("dropped");
    let mut consumer = log.consumer("exporter").expect("a name");
    consumer.commit_at(PartitionId(0), 4);
    consumer.sync().expect("durable");
    let readers = (0..2).map(|number| log.reader(PartitionId(number)));
    let inspector = Inspector::of(storage).expect("a log");
    LogState::new(api, readers.collect(), inspector, stop)
}

impl Rig {
    /// `METHOD PATH BODY` with the right token.
    fn call(&self, input: &str) -> (StatusCode, Value) {
        self.call_with(input, |request| {
            request.header("authorization", format!("Bearer {}", self.token))
        })
    }

    fn call_with(
        &self,
        input: &str,
        headers: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> (StatusCode, Value) {
        let mut parts = input.splitn(3, ' ');
        let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
        let body = parts.next().unwrap_or_default().to_owned();
        let request = headers(Request::builder().method(method).uri(path));
        let mut request = request.body(Body::from(body)).expect("a request");
        let peer: SocketAddr = "127.0.0.1:5555".parse().unwrap();
        request.extensions_mut().insert(PeerAddress(peer));
        let service = TowerToHyperService::new(self.router.clone());
        self.runtime.block_on(async {
            let Ok(response) = hyper::service::Service::call(&service, request).await;
            let status = response.status();
            let bytes = response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes();
            (
                status,
                serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            )
        })
    }

    fn asked(&self) -> ChatRequest {
        self.gateway
            .asked
            .lock()
            .unwrap()
            .pop()
            .expect("the gateway was asked")
    }
}

fn refuses(rig: &Rig, bad: &BadInput) {
    let (status, body) = rig.call(bad.input);
    let code = Code::ALL
        .iter()
        .find(|code| code.name() == bad.code)
        .expect(bad.code);
    assert_eq!(body["code"], bad.code, "{}: {body}", bad.what);
    assert!(
        body["text"].as_str().unwrap().contains(bad.text),
        "{}: {body}",
        bad.what
    );
    assert!(
        status.as_u16() == code.http_status() || status == StatusCode::METHOD_NOT_ALLOWED,
        "{}: {status}",
        bad.what
    );
    assert!(
        rig.gateway.asked.lock().unwrap().is_empty(),
        "{}: it reached a shard",
        bad.what
    );
}

#[test]
fn every_bad_request_is_refused_with_its_code() {
    let rig = rig(&Api::Public);
    for bad in BAD_REQUESTS {
        refuses(&rig, bad);
    }
}

#[test]
fn every_bad_control_request_is_refused_with_its_code() {
    let rig = rig(&Api::Control);
    for bad in BAD_CONTROL_REQUESTS {
        refuses(&rig, bad);
    }
}

#[test]
fn errors_never_repeat_a_coordinate() {
    let rig = rig(&Api::Public);
    for point in [
        r#"{"counter":1,"captured_at":1,"lat":"46.056947","lon":0}"#,
        r#"{"counter":1,"captured_at":1,"lat":946.056947,"lon":0}"#,
    ] {
        let input =
            format!(r#"POST /v1/points {{"chat":"c","session":"{SESSION}","points":[{point}]}}"#);
        let (status, body) = rig.call(&input);
        assert!(status.is_client_error());
        assert!(!body.to_string().contains("056947"), "{body}");
    }
}

#[test]
fn a_body_beyond_its_limit_is_refused() {
    let rig = rig(&Api::Public);
    let (status, body) = rig.call(&format!("POST /v1/points {}", "x".repeat(70_000)));
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large"))
    );
    let point = r#"{"counter":1,"captured_at":1,"lat":1,"lon":1}"#;
    let points = vec![point; 129].join(",");
    let input =
        format!(r#"POST /v1/points {{"chat":"c","session":"{SESSION}","points":[{points}]}}"#);
    assert_eq!(rig.call(&input).0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn dev_mode_listens_to_programs_on_this_machine_and_not_to_web_pages() {
    let rig = rig(&Api::ControlDev);
    let status = |host: &str, origin: Option<&str>| {
        rig.call_with("GET /v1/chats/hike/members", |request| {
            let request = request.header("host", host);
            match origin {
                Some(origin) => request.header("origin", origin),
                None => request,
            }
        })
        .0
    };
    assert_eq!(status("127.0.0.1:9090", None), StatusCode::OK);
    assert_eq!(status("localhost:9090", None), StatusCode::OK);
    assert_eq!(
        status("127.0.0.1:9090", Some("https://evil.example")),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(status("evil.example:9090", None), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_user_starts_extends_and_stops() {
    let rig = rig(&Api::Public);
    let body = r#"{"duration_s":60,"idempotency_key":"k","sealed":true}"#;
    let (status, answer) = rig.call(&format!("POST /v1/chats/a%2Fb/sessions {body}"));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["session"], SESSION);
    assert_eq!(answer["user"], "ana");
    assert_eq!(answer["expires_at"], 61_001);
    let ChatRequest::Start(start) = rig.asked() else {
        panic!("not a start")
    };
    assert_eq!(start.chat.as_str(), "a/b");
    assert_eq!(start.actor, Actor::User(start.user.clone().into()));
    assert_eq!((start.duration_s, start.sealed), (60, true));
    assert_eq!(start.idempotency_key, "k");

    for input in [
        r#"PATCH /v1/chats/c/sessions/00000000000000a1 {"duration_s":90}"#,
        r#"POST /v1/chats/c/sessions/00000000000000a1/extend {"duration_s":90}"#,
    ] {
        assert_eq!(rig.call(input).0, StatusCode::OK);
        assert!(matches!(
            rig.asked(),
            ChatRequest::Extend { duration_s: 90, .. }
        ));
    }

    let stop = "DELETE /v1/chats/c/sessions/00000000000000a1";
    assert_eq!(rig.call(stop), (StatusCode::OK, json!({ "durable": true })));
    *rig.gateway.not_durable.lock().unwrap() = true;
    assert_eq!(
        rig.call(stop),
        (StatusCode::ACCEPTED, json!({ "durable": false }))
    );
}

#[test]
fn two_starts_without_a_key_are_two_requests() {
    let rig = rig(&Api::Public);
    let key = || {
        rig.call(r#"POST /v1/chats/c/sessions {"duration_s":60}"#);
        let ChatRequest::Start(start) = rig.asked() else {
            panic!("not a start")
        };
        start.idempotency_key
    };
    let (first, second) = (key(), key());
    assert!(!first.is_empty() && first != second);
}

#[test]
fn points_are_taken_and_their_fate_is_told() {
    let rig = rig(&Api::Public);
    let points = r#"[{"counter":2,"captured_at":5,"lat":45.5,"lon":13.25,"accuracy":4.0},{"counter":3,"captured_at":6,"sealed":"AQID"}]"#;
    let (status, answer) = rig.call(&format!(
        r#"POST /v1/points {{"chat":"c","session":"{SESSION}","historical":true,"durable":true,"points":{points}}}"#
    ));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer,
        json!({
            "counter_last": 3,
            "accepted": 1,
            "durable": true,
            "verdicts": [{ "counter": 2, "code": "superseded" }],
        })
    );
    let ChatRequest::Points(request) = rig.asked() else {
        panic!("not points")
    };
    assert!(request.historical && request.durable);
    assert_eq!(request.session, SessionId(0xa1));
    assert_eq!(request.points.len(), 2);
}

#[test]
fn a_point_out_of_range_does_not_stand_in_the_way_of_others() {
    let rig = rig(&Api::Public);
    let points = r#"[{"counter":1,"captured_at":5,"lat":95.5,"lon":13.25},{"counter":3,"captured_at":6,"lat":45.5,"lon":13.25},{"counter":4,"captured_at":7,"lat":0,"lon":0}]"#;
    let (status, answer) = rig.call(&format!(
        r#"POST /v1/points {{"chat":"c","session":"{SESSION}","points":{points}}}"#
    ));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer["verdicts"],
        json!([
            { "counter": 1, "code": "bad_point" },
            { "counter": 2, "code": "superseded" },
            { "counter": 4, "code": "no_fix" },
        ])
    );
    let ChatRequest::Points(request) = rig.asked() else {
        panic!("not points")
    };
    let counters: Vec<u64> = request.points.iter().map(|point| point.counter.0).collect();
    assert_eq!(counters, [3]);
    // What is no point at all is a fault of the program that sends it.
    let points =
        r#"[{"counter":3,"captured_at":6,"lat":45.5,"lon":13.25},{"counter":4,"captured_at":7}]"#;
    let (status, answer) = rig.call(&format!(
        r#"POST /v1/points {{"chat":"c","session":"{SESSION}","points":{points}}}"#
    ));
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::BAD_REQUEST, &json!("bad_request"))
    );
}

#[test]
fn positions_carry_the_cursor_and_one_entry_per_session() {
    let rig = rig(&Api::Public);
    let (_, answer) = rig.call("GET /v1/chats/c/positions");
    assert_eq!(answer["cursor"], "0000000000000001-2-3");
    let positions = answer["positions"].as_array().unwrap();
    assert_eq!(positions[0]["point"]["lat"], 45.5);
    assert_eq!(positions[0]["state"], "live");
    assert!(positions[1].get("point").is_none());
    let (_, sessions) = rig.call("GET /v1/chats/c/sessions");
    assert_eq!(sessions["sessions"][0]["counter_last"], 3);
}

#[test]
fn the_operator_manages_members_and_sessions_of_everybody() {
    let rig = rig(&Api::Control);
    let put = r#"PUT /v1/chats/c/members/ben {"rights":["watch","share"]}"#;
    assert_eq!(rig.call(put), (StatusCode::OK, json!({ "durable": true })));
    assert!(matches!(
        rig.asked(),
        ChatRequest::PutMember { rights: 3, .. }
    ));
    let (_, members) = rig.call("GET /v1/chats/c/members");
    assert_eq!(
        members,
        json!({
            "members": [{ "user": "ana", "rights": ["share", "watch"] }],
            "version": 17,
            "next": "ana",
        })
    );
    assert_eq!(rig.call("DELETE /v1/chats/c/members/ben").0, StatusCode::OK);
    assert!(matches!(rig.asked(), ChatRequest::RemoveMember { .. }));
    let start = r#"POST /v1/chats/c/sessions {"user":"ben","duration_s":60}"#;
    assert_eq!(rig.call(start).1["user"], "ben");
    let ChatRequest::Start(start) = rig.asked() else {
        panic!("not a start")
    };
    assert_eq!(start.actor, Actor::Control);
}

#[test]
fn what_a_shard_refuses_keeps_its_code() {
    let rig = rig(&Api::Public);
    for code in [
        Code::NotFound,
        Code::NotDurable,
        Code::LimitReached,
        Code::SessionEnded,
    ] {
        *rig.gateway.refuse.lock().unwrap() = Some(code);
        let (status, body) = rig.call("GET /v1/chats/c/positions");
        assert_eq!(status.as_u16(), code.http_status());
        assert_eq!(body, json!({ "code": code.name(), "text": code.text() }));
    }
}

#[test]
fn health_says_when_the_server_serves() {
    let rig = rig(&Api::Public);
    let health = || rig.call_with("GET /v1/health", |request| request);
    assert_eq!(health().0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health().1["status"], "recovering");
    rig.health.set_phase(Phase::Serving);
    rig.health.set_control_durable(false);
    let (status, body) = health();
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("ok")));
    assert_eq!(body["control_durable"], false);
    // Two shards have no disk, one has it back.
    for (degraded, durable) in [(true, false), (true, false), (false, false), (false, true)] {
        match degraded {
            true => rig.health.log_degraded(),
            false => rig.health.log_restored(),
        }
        assert_eq!(health().1["log_durable"], durable);
    }
    rig.health.set_phase(Phase::Stopping);
    assert_eq!(health().1["status"], "stopping");
}

#[test]
fn members_have_no_way_to_the_history() {
    let rig = rig(&Api::Public);
    for input in [
        "GET /v1/chats/hike/history",
        "DELETE /v1/chats/hike/history",
        "DELETE /v1/users/ana/history",
    ] {
        let (status, body) = rig.call(input);
        assert_eq!(status, StatusCode::NOT_FOUND, "{input}");
        assert_eq!(body["text"], "no such path; see the API description");
    }
}

#[test]
fn an_empty_history_answers_and_one_that_is_off_says_so() {
    let on = rig(&Api::Control);
    let (status, body) = on.call("GET /v1/chats/hike/history?from=2026-05-01T00:00:00Z&limit=5");
    assert_eq!((status, body), (StatusCode::OK, json!({ "points": [] })));
    for input in [
        "DELETE /v1/chats/hike/history",
        "DELETE /v1/users/ana/history",
    ] {
        let (status, body) = on.call(input);
        assert_eq!(status, StatusCode::OK, "{input}");
        let done = (&body["rows"], &body["sessions"], &body["scrubbed"]);
        assert_eq!(done, (&json!(0), &json!(0), &json!(true)), "{input}");
        let left = body["not_covered"].as_str().expect("a text");
        assert!(left.contains("/v1/log/chats/{chat}/points"), "{left}");
    }

    let off = rig(&Api::ControlDev);
    let (status, body) = off.call_with("GET /v1/chats/hike/history", |request| {
        request.header("host", "localhost")
    });
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        body["text"].as_str().unwrap().contains("history.enabled"),
        "{body}"
    );
}

#[test]
fn an_erase_that_the_database_refuses_does_not_say_that_nothing_was_erased() {
    let rig = rig(&Api::Control);
    let file = schema::file(&rig.dir.path().join("history"));
    let other = rusqlite::Connection::open(file).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let (status, body) = rig.call("DELETE /v1/chats/hike/history");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["code"], "not_durable", "{body}");
    let text = body["text"].as_str().expect("a text");
    assert!(
        text.starts_with("not everything was erased") && text.ends_with("erase again"),
        "{text}"
    );
}

/// The lines of an answer, and its `skein-after`.
fn lines(rig: &Rig, path: &str) -> (Vec<Value>, String) {
    let request = Request::builder()
        .uri(path)
        .header("authorization", format!("Bearer {}", rig.token))
        .body(Body::empty())
        .expect("a request");
    let service = TowerToHyperService::new(rig.router.clone());
    rig.runtime.block_on(async {
        let Ok(response) = hyper::service::Service::call(&service, request).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let after = response.headers()["skein-after"]
            .to_str()
            .expect("text")
            .to_owned();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        let parse = |line| serde_json::from_str(line).expect("JSON");
        (text.lines().map(parse).collect(), after)
    })
}

#[test]
fn the_log_is_read_page_by_page_and_what_was_dropped_is_said() {
    let rig = rig(&Api::Control);
    let (first, after) = lines(&rig, "/v1/log/0?limit=2");
    assert_eq!(
        first[0],
        json!({ "partition": 0, "kind": "gap", "from": 1, "next": 3 })
    );
    let heartbeat = |offset: u64| {
        json!({
            "partition": 0,
            "offset": offset,
            "time_ms": 2_000,
            "kind": "heartbeat",
            "chat_handle": 7,
            "session": SESSION,
        })
    };
    assert_eq!((&first[1], after.as_str()), (&heartbeat(3), "3"));
    let (rest, after) = lines(&rig, "/v1/log/0?after=3");
    assert_eq!(rest, [heartbeat(4), heartbeat(5)]);
    assert_eq!(after, "5");
    let (none, after) = lines(&rig, "/v1/log/0?after=5&wait_ms=1");
    assert!(none.is_empty());
    assert_eq!(after, "5");
    let (empty, after) = lines(&rig, "/v1/log/1");
    assert!(empty.is_empty());
    assert_eq!(after, "0");
}

#[test]
fn the_log_is_listed_with_how_far_consumers_are_behind() {
    let rig = rig(&Api::Control);
    let (status, body) = rig.call("GET /v1/log");
    assert_eq!(status, StatusCode::OK);
    let first = &body["partitions"][0];
    assert_eq!((&first["first"], &first["next"]), (&json!(3), &json!(6)));
    assert_eq!((&first["durable"], &first["epoch"]), (&json!(5), &json!(1)));
    assert_eq!(body["partitions"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        body["consumers"],
        json!([{ "name": "exporter", "lag": 2, "places": [
            { "partition": 0, "next": 4, "lag": 2 }
        ] }])
    );
}

#[test]
fn members_have_no_way_to_the_log() {
    let public = rig(&Api::Public);
    let (status, _) = public.call("GET /v1/log/0");
    assert_eq!(status, StatusCode::NOT_FOUND);
}
