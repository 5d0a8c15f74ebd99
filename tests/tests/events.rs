//! What a chat service is told of chats: every kind once, across kills, and never silence where
//! something is missing.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::events::{self, Events};
use skein_tests::fleet::Fleet;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::procfs;
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    every_kind_is_told_once_and_says_whose,
    a_resume_after_a_kill_neither_loses_nor_repeats,
);

/// A note about a link, which is nobody's business.
const LABEL: &str = "for-the-granny";

/// Makes what else there is to tell of and ends it: each kind once, and what an event of it says. Crossings are told
/// in the tests of geofences.
fn everything_else(server: &Server) -> Vec<(&'static str, Value)> {
    let ask = |method: &str, path: &str, body: Value| {
        Request::new(method, path)
            .json(&body)
            .send(server.ready.control)
            .expect_success(path)
    };
    let circle = json!({ "lat": 47.1, "lon": 8.7, "radius_m": 500 });
    let gate = "/v1/chats/news/geofences/gate";
    ask("PUT", gate, json!({ "circle": circle }));
    ask("DELETE", gate, json!({}));
    let home = "/v1/chats/news/alerts/home";
    let alert = json!({ "circle": circle, "owner": "ana", "duration_s": 600 });
    ask("PUT", home, alert);
    ask("DELETE", &format!("{home}?owner=ana"), json!({}));
    let links = "/v1/chats/news/guests";
    let link = ask("POST", links, json!({ "duration_s": 600, "label": LABEL })).json();
    let guest = link["guest"].as_str().expect("an id").to_owned();
    ask("DELETE", &format!("{links}/{guest}"), json!({}));
    server.add_member("calm", "ana");
    ask("PUT", "/v1/chats/calm/settings", json!({ "sealed": true }));
    let members = json!({ "user": "cem", "rights": ["watch"], "grid_m": 500 });
    Request::new("POST", "/v1/chats/news/members")
        .text(&format!("{members}\n"))
        .send(server.ready.control)
        .expect_success("an import");
    vec![
        (
            "geofence_put",
            json!({ "chat": "news", "geofence": "gate" }),
        ),
        (
            "geofence_removed",
            json!({ "chat": "news", "geofence": "gate" }),
        ),
        (
            "alert_put",
            json!({ "chat": "news", "alert": "home", "owner": "ana" }),
        ),
        (
            "alert_removed",
            json!({ "chat": "news", "alert": "home", "owner": "ana" }),
        ),
        (
            "guest_put",
            json!({ "chat": "news", "guest": guest, "expires_at": link["expires_at"] }),
        ),
        ("guest_removed", json!({ "chat": "news", "guest": guest })),
        ("chat_put", json!({ "chat": "calm", "sealed": true })),
        (
            "members_put",
            json!({ "chat": "news", "members": [members] }),
        ),
    ]
}

/// Kinds that end a session.
const ENDS: [&str; 3] = ["stopped", "expired", "revoked"];

fn kinds_of<'a>(events: &'a [Value], session: &str) -> Vec<&'a str> {
    let of = events.iter().filter(|event| event["session"] == session);
    of.filter_map(|event| event["type"].as_str()).collect()
}

fn every_kind_is_told_once_and_says_whose(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("news", "ana");
    server.add_member("news", "ben");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let stopped = ana.share("news", 600, "stopped");
    ana.stop(stopped.share);
    let expired = ana.share("news", 1, "expired");
    let extended = ana.share("news", 600, "extended");
    let path = format!("/v1/chats/news/sessions/{}/extend", extended.session);
    Request::new("POST", &path)
        .json(&json!({ "duration_s": 900 }))
        .send(server.ready.control)
        .expect_success("an extension");
    let revoked = [ben.share("news", 600, "one"), ben.share("news", 600, "two")];
    let others = everything_else(&server);
    server.remove_member("news", "ben");
    let id = |session: &skein_wire::update::Shared| session.session.to_string();
    let wanted = [
        (id(&stopped), "ana", vec!["started", "stopped"]),
        (id(&expired), "ana", vec!["started", "expired"]),
        (id(&extended), "ana", vec!["started", "extended"]),
        (id(&revoked[0]), "ben", vec!["started", "revoked"]),
        (id(&revoked[1]), "ben", vec!["started", "revoked"]),
    ];
    let is_whole = |events: &[Value]| {
        let removed = events.iter().any(|it| it["type"] == "member_removed");
        removed
            && wanted
                .iter()
                .all(|(session, _, kinds)| kinds_of(events, session).len() >= kinds.len())
    };
    let first = events::read(server.ready.control, 0, PATIENCE, is_whole);
    for (session, user, kinds) in &wanted {
        assert_eq!(kinds_of(&first, session), *kinds, "{session}: {first:?}");
        for event in first.iter().filter(|event| event["session"] == **session) {
            assert_eq!(event["user"], *user, "{event}");
            assert_eq!(event["chat"], "news", "{event}");
            assert!(event["at"].as_u64() > Some(0), "{event}");
        }
    }
    for (kind, fields) in &others {
        let told: Vec<&Value> = first.iter().filter(|it| it["type"] == *kind).collect();
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
        for (field, value) in fields.as_object().expect("fields") {
            assert_eq!(told[0][field], *value, "{kind}: {}", told[0]);
        }
        assert!(told[0]["at"].as_u64() > Some(0), "{kind}: {}", told[0]);
        let text = told[0].to_string();
        assert!(!text.contains("47.1") && !text.contains(LABEL), "{text}");
    }
    // Whoever reads that a membership is over has read of the ends before.
    let place = |kind: &str| first.iter().rposition(|event| event["type"] == kind);
    assert!(place("revoked") < place("member_removed"), "{first:?}");
    for killed in [true, false] {
        if killed {
            server.crash_and_restart();
        } else {
            assert!(server.stop().code() == Some(0), "a clean stop");
            server.restart();
        }
        // Something new, so that there is an end to read up to.
        server.add_member("news", &format!("late-{killed}"));
        let has_late = |events: &[Value]| {
            let late = format!("late-{killed}");
            events.iter().any(|it| it["user"] == late.as_str())
        };
        let again = events::read(server.ready.control, 0, PATIENCE, has_late);
        assert_eq!(again[..first.len()], first, "killed: {killed}");
        let new = &again[first.len()..];
        let is_of_sessions = |it: &&Value| it.get("session").is_some();
        assert_eq!(new.iter().find(is_of_sessions), None, "killed: {killed}");
    }
}

/// Starts and stops sessions until it is told to end; what was answered must be told.
fn keep_busy(control: SocketAddr, done: &AtomicBool) -> Vec<(String, bool)> {
    let mut sessions = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let started = Request::new("POST", "/v1/chats/news/sessions")
            .json(&json!({ "duration_s": 600, "user": "ana" }))
            .try_send(control);
        // Nobody is there for a while.
        let Some(started) = started.ok().filter(|answer| answer.status == 200) else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let session = started.json()["session"]
            .as_str()
            .expect("an id")
            .to_owned();
        let path = format!("/v1/chats/news/sessions/{session}");
        let stopped = Request::new("DELETE", &path).try_send(control);
        let is_stopped = stopped.is_ok_and(|answer| answer.status == 200);
        sessions.push((session, is_stopped));
        if !is_stopped {
            // Sessions whose stop was not answered count against the limit of the user.
            let _ = Request::new("DELETE", &path).try_send(control);
        }
    }
    sessions
}

fn a_resume_after_a_kill_neither_loses_nor_repeats(cores: Cores) {
    /// Kills in the middle of a stream.
    const KILLS: usize = 3;
    /// Events that a stream brings at least before the next kill.
    const EVENTS: usize = 20;
    let mut server = Server::start(cores);
    server.add_member("news", "ana");
    let control = server.ready.control;
    let done = AtomicBool::new(false);
    let mut got: Vec<Value> = Vec::new();
    let busy = thread::scope(|scope| {
        let busy = scope.spawn(|| keep_busy(control, &done));
        for kill in 0..=KILLS {
            let last = got.last().and_then(|event| event["id"].as_str());
            let mut stream = match last {
                // By the parameter and by the header, in turn.
                Some(last) if kill % 2 == 0 => Events::reopen(control, last, PATIENCE),
                last => Events::open(control, last.unwrap_or("0"), PATIENCE),
            };
            got.extend(stream.by_ref().take(EVENTS));
            if kill < KILLS {
                server.process.kill();
                // What is still on its way comes, too.
                got.extend(stream);
                server.restart();
            }
        }
        done.store(true, Ordering::Relaxed);
        busy.join().expect("no panic")
    });
    server.add_member("news", "the-end");
    let last = got.last().expect("events")["id"]
        .as_str()
        .map(str::to_owned);
    for event in Events::open(control, &last.expect("an id"), PATIENCE) {
        let is_end = event["user"] == "the-end";
        got.push(event);
        if is_end {
            break;
        }
    }
    let indexes: Vec<u64> = got.iter().filter_map(|it| it["index"].as_u64()).collect();
    assert_eq!(indexes.len(), got.len());
    assert!(indexes.is_sorted_by(|a, b| a < b), "once each, in order");
    let ends = |events: &[Value]| events.last().is_some_and(|it| it["user"] == "the-end");
    let whole = events::read(control, 0, PATIENCE, ends);
    assert_eq!(got, whole, "what came in pieces is all there is");
    assert!(busy.len() > KILLS, "{busy:?}");
    for (session, is_stopped) in busy {
        let kinds = kinds_of(&whole, &session);
        assert_eq!(kinds.first(), Some(&"started"), "{session}: {kinds:?}");
        let ends = kinds.iter().filter(|kind| ENDS.contains(kind)).count();
        assert!(ends <= 1, "{session}: {kinds:?}");
        assert!(ends == 1 || !is_stopped, "{session}: {kinds:?}");
    }
}

/// Lines of an import of so many members, always the same: what counts is the commands.
fn import(server: &Server, batches: usize) {
    let batch: String = (0..1_000)
        .map(|n| json!({ "user": format!("user-{n:04}"), "rights": ["watch"] }).to_string() + "\n")
        .collect();
    for _ in 0..batches {
        let report = Request::new("POST", "/v1/chats/news/members").text(&batch);
        let report = report.send(server.ready.control).expect_success("import");
        assert_eq!(report.json()["accepted"], 1_000, "{report:?}");
    }
}

#[test]
fn what_retention_has_overtaken_is_said() {
    /// A batch is a command of 22 KiB; the control log keeps 16 MiB and the file it writes to.
    const BATCHES: usize = 1_000;
    let server = Server::start(Cores::One);
    server.add_member("news", "ana");
    import(&server, BATCHES);
    // Old files go when the janitor comes by.
    let resync = wait::until_some("what is gone is said", PATIENCE, || {
        let next = Events::open(server.ready.control, "0", PATIENCE).next();
        next.filter(|event| event["type"] == "resync")
    });
    let first = resync["first_index"].as_u64().expect("an index");
    assert!(first > 1, "{resync}");
    // Its id is a place like any other: whoever has it is not told again, and gets what follows.
    let id = resync["id"].as_str().expect("an id");
    let next = Events::reopen(server.ready.control, id, PATIENCE).next();
    let next = next.expect("an event");
    assert_eq!(next["type"], "members_put", "{next}");
    assert!(next["index"].as_u64() >= Some(first), "{next}");
    // A place of a directory that was there before this one.
    let foreign = format!("0123456789abcdef-{first}");
    let next = Events::open(server.ready.control, &foreign, PATIENCE).next();
    assert_eq!(next.expect("an event")["type"], "resync");
}

/// A stream that is opened and not read; its socket takes little.
fn stalled(control: SocketAddr) -> std::net::TcpStream {
    stalled_after(
        control,
        &format!("GET /v1/events?after=0 HTTP/1.1\r\nhost: {control}\r\n\r\n"),
    )
}

/// A caller that sends this and takes nothing of what is answered.
fn stalled_after(to: SocketAddr, requests: &str) -> std::net::TcpStream {
    use std::io::Write;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("an option");
    socket.connect(&to.into()).expect("a listener");
    let mut socket = std::net::TcpStream::from(socket);
    socket.write_all(requests.as_bytes()).expect("sent");
    socket
}

/// Whether a stream got no place.
fn is_refused(stream: &mut std::net::TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    head == *b"HTTP/1.1 503"
}

#[test]
fn stalled_readers_cost_no_memory_and_give_their_places_back() {
    /// As many streams as there may be.
    const STREAMS: usize = 64;
    /// Far below what the readers have not taken: 64 times 12 MB of events.
    const MEMORY_BYTES_MAX: u64 = 64 << 20;
    let server = Server::start(Cores::One);
    let control = server.ready.control;
    import(&server, 300);
    let before = procfs::anonymous_bytes(server.process.id());
    let mut streams: Vec<_> = (0..STREAMS).map(|_| stalled(control)).collect();
    wait::until("the places are taken", PATIENCE, || {
        let mut one = stalled(control);
        let is_refused = is_refused(&mut one);
        // It may have overtaken one of the others: whoever has a place keeps it.
        streams.push(one);
        is_refused
    });
    let grown = procfs::anonymous_bytes(server.process.id()).saturating_sub(before);
    assert!(
        grown < MEMORY_BYTES_MAX,
        "{grown} bytes for stalled readers"
    );
    // Others are served meanwhile.
    server
        .put_member("news", "ana", &["share"])
        .expect_success("a member");
    let since = Instant::now();
    wait::until("the places are free again", 4 * PATIENCE, || {
        !is_refused(&mut stalled(control))
    });
    eprintln!("places were free after {:?}", since.elapsed());
    drop(streams);
}

#[test]
fn a_caller_of_the_public_port_that_takes_nothing_is_disconnected() {
    /// Requests in a row: their answers are more than the kernel keeps.
    const REQUESTS: usize = 200;
    /// Bytes that nobody else leaves.
    const LYING: u64 = 100_000;
    let server = Server::start(Cores::One);
    let mut fleet = Fleet::start(&server, "walk", 200);
    fleet.publish();
    fleet.settle();
    let to = server.ready.http;
    let request = format!(
        "GET /v1/chats/walk/positions HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {}\r\n\r\n",
        server.quick_token("sender-0")
    );
    let caller = stalled_after(to, &request.repeat(REQUESTS));
    wait::until("the answers lie", PATIENCE, || {
        procfs::tcp_queued(to.port()).send_bytes > LYING
    });
    // The caller itself is not told: it takes nothing.
    wait::until("its socket is given back", 4 * PATIENCE, || {
        procfs::tcp_queued(to.port()).send_bytes < LYING
    });
    drop(caller);
}
