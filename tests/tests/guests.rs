//! Links for guests: they show what they should, to as many as they should, until they should not.

use std::collections::HashSet;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at, position_at};
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::talker::{TRANSPORTS, Talker};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::point::{Payload, Position};
use skein_wire::request::{Delivery, Request as Ask, ShareStart, Watch};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_link_shows_its_chat_until_it_is_revoked,
    a_link_to_one_session_shows_nothing_else,
    a_link_for_some_viewers_counts_them,
    a_coarse_link_shows_cells_and_nothing_finer,
    a_link_ends_by_itself,
);

/// Makes a link by the command line.
fn link(server: &Server, arguments: &[&str]) -> (String, String) {
    let address = server.ready.control.to_string();
    let mut all = vec!["guest", "create", "--chat", "hike", "--control", &address];
    all.extend_from_slice(arguments);
    let ended = skein_tests::process::run(all).expect_success("skein guest create");
    let id = ended
        .stderr
        .split_whitespace()
        .nth(1)
        .expect("an id")
        .to_owned();
    (id, ended.stdout.trim().to_owned())
}

fn listed(server: &Server, id: &str) -> Value {
    let answer = Request::new("GET", "/v1/chats/hike/guests").send(server.ready.control);
    let guests = answer.expect_success("guests").json();
    let mut all = guests["guests"].as_array().into_iter().flatten();
    all.find(|it| it["guest"] == id)
        .cloned()
        .unwrap_or_default()
}

fn watch(session: Option<SessionId>, delivery: Delivery, trail: u8) -> Ask {
    Ask::Watch(Watch {
        request: RequestNumber(1),
        chat: name("hike"),
        session,
        view: None,
        cursor: None,
        delivery,
        trail,
        interval_ms: 0,
    })
}

fn answer(talker: &mut Talker) -> Result<(), Code> {
    talker.expect("an answer", |update| match update {
        Update::Watching(_) => Some(Ok(())),
        Update::Refused(refused) => Some(Err(refused.code)),
        _ => None,
    })
}

fn next_batch(talker: &mut Talker) -> Batch {
    talker.expect("a batch", |update| match update {
        Update::Batch(body) => Some(Batch::decode(body).expect("a batch that parses")),
        _ => None,
    })
}

fn a_link_shows_its_chat_until_it_is_revoked(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 4);
    fleet.publish();
    fleet.settle();
    let (id, token) = link(&server, &["--label", "parents"]);
    assert_eq!(listed(&server, &id)["label"], "parents");
    server.crash_and_restart();
    let mut talkers: Vec<Talker> = TRANSPORTS
        .iter()
        .cycle()
        .take(6)
        .map(|transport| {
            let mut talker = Talker::connect(&server, *transport, &token);
            talker.send(watch(None, Delivery::Latest, 0));
            answer(&mut talker).expect("a good link");
            let mut table = Table::default();
            table.apply(next_batch(&mut talker));
            assert_eq!(table.rows().count(), 4);
            talker
        })
        .collect();
    wait::until("six viewers are counted", PATIENCE, || {
        listed(&server, &id)["viewers"] == 6
    });
    // A guest has no way to anything else.
    let guest = &mut talkers[0];
    guest.send(Ask::ShareStart(ShareStart {
        request: RequestNumber(2),
        chat: name("hike"),
        duration_s: 60,
        idempotency_key: String::new(),
        sealed: false,
    }));
    assert_eq!(answer(guest), Err(Code::NotFound));
    for (method, path, status) in [
        ("GET", "/v1/chats/hike/positions", 200),
        ("GET", "/v1/chats/other/positions", 404),
        ("POST", "/v1/chats/hike/sessions", 404),
    ] {
        let asked = Request::new(method, path).token(&token);
        let asked = asked.json(&json!({ "duration_s": 60 }));
        assert_eq!(
            asked.send(server.ready.http).status,
            status,
            "{method} {path}"
        );
    }
    let members = Request::new("GET", "/v1/chats/hike/members").send(server.ready.control);
    assert!(!members.body.contains("guest:"), "{members:?}");

    let address = server.ready.control.to_string();
    let revoke = [
        "guest",
        "revoke",
        "--chat",
        "hike",
        "--guest",
        &id,
        "--control",
        &address,
    ];
    skein_tests::process::run(revoke).expect_success("skein guest revoke");
    for talker in &mut talkers {
        let code = talker.expect("the end of the watch", |update| match update {
            Update::WatchEnded(ended) => Some(ended.code),
            Update::Goodbye(goodbye) => Some(goodbye.code),
            _ => None,
        });
        assert_eq!(code, Code::MembershipRevoked);
    }
    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        assert_eq!(listed(&server, &id), Value::Null);
        for transport in TRANSPORTS {
            let mut talker = Talker::connect(&server, transport, &token);
            talker.send(watch(None, Delivery::Latest, 0));
            assert_eq!(
                answer(&mut talker),
                Err(Code::NotFound),
                "restarted: {restarted}"
            );
        }
    }
}

fn a_link_to_one_session_shows_nothing_else(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let shown = ana.share("hike", 600, "shown");
    let hidden = ana.share("hike", 600, "hidden");
    for counter in 1..=5 {
        ana.durable_point(shown.share, point_at(1, counter));
        ana.durable_point(hidden.share, point_at(2, counter));
    }
    let session = shown.session.to_string();
    let (_, token) = link(&server, &["--session", &session, "--last-only"]);
    for transport in TRANSPORTS {
        let mut guest = Talker::connect(&server, transport, &token);
        guest.send(watch(Some(hidden.session), Delivery::Latest, 0));
        assert_eq!(answer(&mut guest), Err(Code::NotFound));
        guest.send(watch(Some(SessionId(7)), Delivery::Latest, 0));
        assert_eq!(
            answer(&mut guest),
            Err(Code::NotFound),
            "a guessed one looks the same"
        );
        // Whatever it asks for, it sees the newest point of that session.
        guest.send(watch(None, Delivery::Every, 32));
        answer(&mut guest).expect("its session");
        let batch = next_batch(&mut guest);
        assert_eq!(batch.entries.len(), 1);
        assert!(
            batch.entries[0].earlier.is_empty(),
            "nothing of where it was"
        );
        let descriptor = batch.entries[0].descriptor.as_ref().expect("a descriptor");
        assert_eq!(descriptor.session, shown.session);
    }
    for path in ["positions", "sessions"] {
        let seen = Request::new("GET", &format!("/v1/chats/hike/{path}"))
            .token(&token)
            .send(server.ready.http)
            .expect_success(path);
        assert!(seen.body.contains(&session), "{seen:?}");
        assert!(!seen.body.contains(&hidden.session.to_string()), "{seen:?}");
    }
}

fn a_link_for_some_viewers_counts_them(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let (id, token) = link(&server, &["--viewers-max", "3"]);
    let mut inside: Vec<Talker> = Vec::new();
    let mut refused = 0;
    for transport in TRANSPORTS.iter().cycle().take(10) {
        let mut talker = Talker::connect(&server, *transport, &token);
        talker.send(watch(None, Delivery::Latest, 0));
        match answer(&mut talker) {
            Ok(()) => inside.push(talker),
            Err(code) => {
                assert_eq!(code, Code::LimitReached);
                refused += 1;
            }
        }
    }
    assert_eq!((inside.len(), refused), (3, 7));
    assert_eq!(listed(&server, &id)["viewers"], 3);
    // A watch that is asked for again has its place already.
    inside[0].send(watch(None, Delivery::Every, 0));
    answer(&mut inside[0]).expect("the same place");
    assert_eq!(listed(&server, &id)["viewers"], 3);
    // Who goes makes room, and the next one comes in.
    drop(inside.pop());
    wait::until("one place is free", PATIENCE, || {
        let mut talker = Talker::connect(&server, TRANSPORTS[0], &token);
        talker.send(watch(None, Delivery::Latest, 0));
        answer(&mut talker).is_ok()
    });
    drop(inside);
    wait::until("nobody is counted who is not there", PATIENCE, || {
        listed(&server, &id)["viewers"] == 0
    });
}

fn a_coarse_link_shows_cells_and_nothing_finer(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 8);
    fleet.publish();
    fleet.settle();
    let (_, token) = link(&server, &["--grid", "5000"]);
    let (_, exact) = link(&server, &[]);
    let exactly: HashSet<Position> = (0..8)
        .flat_map(|index| (0..100).map(move |counter| position_at(index, counter)))
        .collect();
    let places = |batch: &Batch| -> Vec<Position> {
        let points = batch
            .entries
            .iter()
            .filter_map(|entry| entry.point.as_ref());
        points
            .map(|point| match &point.payload {
                Payload::Fix(fix) => {
                    assert!(fix.heading.is_none() && fix.speed.is_none());
                    fix.position
                }
                Payload::Sealed(_) => panic!("nothing is sealed"),
            })
            .collect()
    };
    for transport in TRANSPORTS {
        let mut coarse = Talker::connect(&server, transport, &token);
        coarse.send(watch(None, Delivery::Every, 32));
        answer(&mut coarse).expect("a good link");
        let batch = next_batch(&mut coarse);
        assert!(
            !exactly.contains(&batch.header.anchor),
            "not even the anchor"
        );
        let seen = places(&batch);
        assert_eq!(seen.len(), 8);
        for place in seen {
            assert!(!exactly.contains(&place), "{place:?} is exact");
        }
        assert!(batch.entries.iter().all(|entry| entry.earlier.is_empty()));
        // The same chat, exact, for others at the same time.
        let mut plain = Talker::connect(&server, transport, &exact);
        plain.send(watch(None, Delivery::Latest, 0));
        answer(&mut plain).expect("a good link");
        let seen = places(&next_batch(&mut plain));
        assert!(seen.iter().all(|place| exactly.contains(place)));
    }
    let answer = Request::new("GET", "/v1/chats/hike/positions")
        .token(&token)
        .send(server.ready.http)
        .expect_success("positions")
        .json();
    for position in answer["positions"].as_array().into_iter().flatten() {
        let degrees =
            |key: &str| (position["point"][key].as_f64().expect(key) * 1e6).round() as i32;
        let place = Position {
            lat_e6: degrees("lat"),
            lon_e6: degrees("lon"),
        };
        assert!(!exactly.contains(&place), "{place:?} is exact");
    }
}

fn a_link_ends_by_itself(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    let (id, token) = link(&server, &["--ttl", "4s"]);
    let mut talkers: Vec<Talker> = TRANSPORTS
        .iter()
        .map(|transport| {
            let mut talker = Talker::connect(&server, *transport, &token);
            talker.send(watch(None, Delivery::Latest, 0));
            answer(&mut talker).expect("a good link");
            talker
        })
        .collect();
    for talker in &mut talkers {
        let closed = talker.expect_close(PATIENCE);
        assert_eq!(closed.protocol_code(), Some(Code::TokenExpired));
    }
    for transport in TRANSPORTS {
        let closed = Talker::try_connect(&server, transport, &token)
            .err()
            .expect("refused");
        assert_eq!(closed.protocol_code(), Some(Code::TokenExpired));
    }
    assert_eq!(listed(&server, &id), Value::Null);
}
