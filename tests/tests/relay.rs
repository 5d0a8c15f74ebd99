//! A relay shows what its server shows: all of it, in order, none twice, to whom may see it, whatever
//! becomes of either and of the way between them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use skein_tests::cli::{PointLine, ShareOptions, ShareRun, WatchRun, accepted};
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, now_ms, point_at};
use skein_tests::gpx;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, Received, point};
use skein_tests::relay::{Relay, RelayStart, relay_token};
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::udp_link::UdpLink;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::batch::Entry;
use skein_wire::error::Code;
use skein_wire::ids::{Counter, Cursor};
use skein_wire::point::{Accuracy, Payload, Position};
use skein_wire::request::Delivery;
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_real_track_arrives_whole_by_every_transport_and_through_two_relays,
    a_crash_of_the_server_loses_nothing,
    a_cut_of_the_way_loses_nothing,
    a_viewer_that_moves_keeps_its_cursor,
    a_removed_member_sees_nothing_more,
    an_end_is_told_and_a_late_joiner_sees_no_ended_session,
    both_deliveries_trails_and_rates,
    who_shares_is_sent_to_the_server,
    what_happens_at_a_geofence_is_told_at_relays_too,
);

#[test]
fn the_token_of_a_relay_is_good_for_watching_only() {
    let server = Server::start(Cores::One);
    server.add_member("hike", "ana");
    let token = relay_token(&server);
    let fence = json!({ "of": { "user": "ana" }, "near": { "m": 500 } });
    let requests = [
        Request::new("GET", "/v1/chats/hike/positions"),
        Request::new("GET", "/v1/chats/hike/sessions"),
        Request::new("PUT", "/v1/chats/hike/alerts/near").json(&fence),
        Request::new("DELETE", "/v1/chats/hike/alerts/near"),
    ];
    for request in requests {
        let answer = request.token(token.trim()).send(server.ready.http);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json()["code"], "out_of_scope", "{answer:?}");
    }
}

/// How much faster than life tracks are replayed.
const SPEED: f64 = 50.0;

/// Longest a replay may take.
const REPLAY: Duration = Duration::from_secs(120);

/// How late the last point may be.
const LATE: Duration = Duration::from_secs(30);

/// The car's track of the real ones: 104 points. A synthetic one stands in where they are not.
fn track(server: &Server) -> PathBuf {
    match skip::tracks() {
        Some(folder) => folder.join("visnjan-car.gpx"),
        None => gpx::write(server.scratch(), "car", &gpx::synthetic(3, 104, 5_000)),
    }
}

fn share(server: &Server, chat: &str, speed: f64) -> ShareRun {
    server.add_member(chat, "ana");
    let options = ShareOptions {
        chat: chat.to_owned(),
        token: server.token("ana"),
        gpx: track(server),
        speed,
        extra: Vec::new(),
    };
    ShareRun::start(&server.quic_url(), server.scratch(), &options)
}

/// A watch at `url` that is known to be on.
fn watch(server: &Server, url: &str, chat: &str, extra: &[&str]) -> WatchRun {
    server.add_member(chat, "viewer");
    WatchRun::start(url, chat, &server.token("viewer"), extra)
}

/// A session that is there before everything else, so that watches can be seen to be on.
fn prime(server: &Server, chat: &str) -> Peer {
    server.add_member(chat, "primer");
    let mut primer = Peer::connect(server.ready.http, &server.token("primer"));
    let shared = primer.share(chat, 600, "primer");
    primer.point(shared.share, point_at(0, 1));
    primer
}

fn assert_whole(watch: &WatchRun, expected: &[PointLine], what: &str) {
    let session = watch.wait_session_of("ana");
    assert_eq!(watch.wait_ended(&session, LATE), "stopped", "{what}");
    let points = watch.points_of(&session);
    let counters = |points: &[PointLine]| points.iter().map(|it| it.counter).collect::<Vec<_>>();
    assert_eq!(counters(&points), counters(expected), "{what}");
    assert_eq!(points, expected, "{what}");
}

fn kinds(watch: &WatchRun, kind: &str) -> usize {
    let changes = watch.changes();
    changes
        .iter()
        .filter(|change| change.kind() == kind)
        .count()
}

fn a_real_track_arrives_whole_by_every_transport_and_through_two_relays(cores: Cores) {
    let server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, cores);
    let second = RelayStart::new(&server, &relay.quic_url(), cores).start();
    let urls = [
        relay.quic_url(),
        relay.ws_url(),
        relay.wss_url(),
        second.quic_url(),
        second.ws_url(),
    ];
    let watches = urls.map(|url| (watch(&server, &url, "trip", &[]), url));
    for (watch, _) in &watches {
        watch.wait_session_of("primer");
    }
    let (_, report) = share(&server, "trip", SPEED).finish(REPLAY);
    let expected = accepted(&report);
    assert_eq!(expected.len(), 104);
    for (watch, url) in &watches {
        assert_whole(watch, &expected, url);
        assert_eq!(kinds(watch, "resync"), 0, "{url}");
    }
    let metrics = relay.metrics();
    assert_eq!(
        metrics.sum("skein_relay_chats"),
        1.0,
        "one watch for all viewers"
    );
}

fn a_crash_of_the_server_loses_nothing(cores: Cores) {
    let mut server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, cores);
    let watch = watch(&server, &relay.quic_url(), "trip", &[]);
    watch.wait_session_of("primer");
    let sharing = share(&server, "trip", 25.0);
    watch.wait("some points", PATIENCE, |changes| {
        (changes.iter().filter_map(|it| it.point()).count() > 20).then_some(())
    });
    server.crash_and_restart();
    let (_, report) = sharing.finish(REPLAY);
    assert_whole(&watch, &accepted(&report), "after a crash");
    // The server's second life has an epoch of its own, and cursors say so here as there.
    let cursor = watch
        .changes()
        .last()
        .map(|it| it.text("cursor").to_owned());
    let cursor: Cursor = cursor.expect("changes").parse().expect("a cursor");
    assert_eq!(cursor.epoch, 2);
    let losses = relay.metrics().sum("skein_relay_upstream_losses_total");
    assert!(losses >= 1.0, "{losses} losses");
}

fn a_cut_of_the_way_loses_nothing(cores: Cores) {
    let server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let way = UdpLink::start(server.ready.quic);
    let upstream = format!("quic://{}", way.address);
    let relay = RelayStart::new(&server, &upstream, cores).start();
    let watches = [relay.quic_url(), relay.ws_url()].map(|url| watch(&server, &url, "trip", &[]));
    for watch in &watches {
        watch.wait_session_of("primer");
    }
    // A point each 2 s or so: what comes during the cut fits the trails.
    let sharing = share(&server, "trip", 5.0);
    watches[0].wait("some points", PATIENCE, |changes| {
        (changes.iter().filter_map(|it| it.point()).count() > 3).then_some(())
    });
    way.cut(true);
    // Until the relay notices, and tells.
    let told = |watch: &WatchRun| watch.process.stderr.text().contains("hears nothing");
    for watch in &watches {
        wait::until("the viewer hears of the cut", PATIENCE * 2, || told(watch));
    }
    // The table goes on serving who comes now.
    let late = watch(&server, &relay.ws_url(), "trip", &[]);
    late.wait_session_of("ana");
    wait::until("who comes late hears of it", PATIENCE, || told(&late));
    way.cut(false);
    for watch in &watches {
        let back = || {
            watch
                .process
                .stderr
                .text()
                .contains("hears its server again")
        };
        wait::until("the viewer hears of the end of it", PATIENCE * 2, back);
    }
    let before = kinds(&watches[0], "point");
    wait::until("points after the cut", PATIENCE * 2, || {
        kinds(&watches[0], "point") > before + 1
    });
    let (_, report) = sharing.finish_early(PATIENCE);
    for watch in &watches {
        assert_whole(watch, &accepted(&report), "after a cut");
        assert_eq!(kinds(watch, "resync"), 0);
    }
}

fn a_viewer_that_moves_keeps_its_cursor(cores: Cores) {
    let server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, cores);
    let other = Relay::start(&server, cores);
    let sharing = share(&server, "trip", SPEED);
    let urls = [
        server.quic_url(),
        relay.ws_url(),
        other.quic_url(),
        server.ws_url(),
    ];
    let mut seen: Vec<u64> = Vec::new();
    let mut cursor = String::new();
    // Nobody else watches at the relays: each begins the chat for this viewer.
    for (turn, url) in urls.iter().cycle().take(6).enumerate() {
        let extra = match turn {
            0 => vec![],
            _ => vec!["--cursor", cursor.as_str()],
        };
        let here = watch(&server, url, "trip", &extra);
        let want = seen.len();
        here.wait("a few points more", PATIENCE, |changes| {
            let new = changes.iter().filter_map(|it| it.point());
            (new.filter(|it| !seen.contains(&it.counter) && it.counter > 1)
                .count()
                > 3)
            .then_some(want)
        });
        let last = here.changes().last().map(|it| it.text("cursor").to_owned());
        assert_eq!(kinds(&here, "resync"), 0, "turn {turn} at {url}");
        let lost: u64 = here
            .changes()
            .iter()
            .filter_map(|it| it.0["skipped"].as_u64())
            .sum();
        assert_eq!(lost, 0, "turn {turn} at {url}");
        let session = here
            .changes()
            .iter()
            .find(|it| it.text("user") == "ana")
            .map(|it| it.session().to_owned());
        for point in here.points_of(&session.expect("a session")) {
            if !seen.contains(&point.counter) {
                seen.push(point.counter);
            }
        }
        cursor = last.expect("changes");
    }
    let whole: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(seen, whole, "every point, in order");
    drop(sharing);
}

fn a_removed_member_sees_nothing_more(cores: Cores) {
    let server = Server::start(cores);
    let running = Fleet::start(&server, "club", 8).run(Duration::from_millis(20));
    server.add_member("club", "ben");
    let token = server.token("ben");
    let relay = Relay::start(&server, cores);
    let second = RelayStart::new(&server, &relay.quic_url(), cores).start();
    let mut peers: Vec<Peer> = [&relay, &second]
        .iter()
        .cycle()
        .take(12)
        .map(|relay| {
            let mut peer = Peer::connect(relay.ready.http, &token);
            peer.watch("club", None, Delivery::Every);
            peer.batch(PATIENCE).expect("a member sees the chat");
            peer
        })
        .collect();
    let by_quic = WatchRun::start(&second.quic_url(), "club", &token, &[]);
    by_quic.wait("the chat", PATIENCE, |changes| {
        (changes.len() > 20).then_some(())
    });
    server.remove_member("club", "ben");
    // Every point with a greater counter was sent after the acknowledgement.
    let mut fleet = running.stop();
    let after = fleet.members().map(|member| member.counter).max();
    for _ in 0..5 {
        fleet.publish();
    }
    fleet.settle();
    for peer in &mut peers {
        assert_eq!(end_of(peer), Some(Code::MembershipRevoked));
    }
    let newest = by_quic
        .changes()
        .iter()
        .filter_map(|change| change.point())
        .map(|point| point.counter)
        .max();
    assert!(newest <= after, "point {newest:?}, {after:?} was before");
    for relay in [&relay, &second] {
        let mut again = Peer::connect(relay.ready.http, &token);
        let refused = again.try_watch("club", None, Delivery::Latest);
        assert_eq!(refused.expect_err("no member").code, Code::NotFound);
        let mut again = Peer::connect(relay.ready.http, &token);
        let unknown = again.try_watch("no such chat", None, Delivery::Latest);
        assert_eq!(unknown.expect_err("no chat").code, Code::NotFound);
    }
    // Who is a member again sees it again.
    server.add_member("club", "ben");
    let mut again = Peer::connect(second.ready.http, &token);
    wait::until("a member sees the chat", PATIENCE, || {
        again.try_watch("club", None, Delivery::Latest).is_ok()
    });
}

/// Why the watch of a connection ended. Nothing comes behind that.
fn end_of(peer: &mut Peer) -> Option<Code> {
    let mut ended = None;
    loop {
        match peer.receive(Duration::from_millis(500)) {
            Some(Received::Update(Update::WatchEnded(watch))) => ended = Some(watch.code),
            Some(Received::Update(Update::Batch(_))) => {
                assert_eq!(ended, None, "a batch after the end of the watch");
            }
            Some(Received::Closed(closed)) => return ended.or(closed.protocol_code()),
            Some(Received::Update(_)) => {}
            None => return ended,
        }
    }
}

fn an_end_is_told_and_a_late_joiner_sees_no_ended_session(cores: Cores) {
    let server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, cores);
    let early = watch(&server, &relay.ws_url(), "trip", &[]);
    early.wait_session_of("primer");
    let mut short = Peer::connect(server.ready.http, &server.token("ana"));
    server.add_member("trip", "ana");
    let shared = short.share("trip", 600, "short");
    short.point(shared.share, point_at(1, 1));
    let session = early.wait_session_of("ana");
    let cursor = early
        .changes()
        .last()
        .expect("changes")
        .text("cursor")
        .to_owned();
    let id = format!("{:016x}", shared.session.0);
    assert_eq!(session, id);
    server
        .session(&["stop", "--chat", "trip", "--session", &id])
        .expect_success("stop");
    assert_eq!(early.wait_ended(&session, PATIENCE), "stopped");
    // With a cursor from before the end it is told, without one it is not there.
    let cursor: Cursor = cursor.parse().expect("a cursor");
    let other = Relay::start(&server, cores);
    for relay in [&relay, &other] {
        let mut peer = Peer::connect(relay.ready.http, &server.token("viewer"));
        let watching = peer.watch("trip", Some(cursor), Delivery::Latest);
        assert_eq!(watching.from, cursor.offset, "the cursor is good here, too");
        let batch = peer.batch(PATIENCE).expect("what has changed");
        let ends = |entry: &Entry| entry.state.is_some_and(|it| it.state.is_ended());
        assert!(
            batch.header.from > 0 && batch.entries.iter().any(ends),
            "{batch:?}"
        );
    }
    let late = watch(&server, &relay.ws_url(), "trip", &[]);
    late.wait_session_of("primer");
    assert!(
        late.changes()
            .iter()
            .all(|change| change.session() != session)
    );
}

fn both_deliveries_trails_and_rates(cores: Cores) {
    let server = Server::start(cores);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, cores);
    let every = watch(&server, &relay.ws_url(), "trip", &["--max-rate", "2"]);
    every.wait_session_of("primer");
    let latest = watch(
        &server,
        &relay.ws_url(),
        "trip",
        &["--delivery", "latest", "--max-rate", "1"],
    );
    latest.wait_session_of("primer");
    let sharing = share(&server, "trip", SPEED);
    every.wait("half of the track", REPLAY, |changes| {
        (changes.iter().filter_map(|it| it.point()).count() > 50).then_some(())
    });
    let late = watch(&server, &relay.quic_url(), "trip", &["--trail", "16"]);
    let session = late.wait_session_of("ana");
    let (_, report) = sharing.finish(REPLAY);
    let expected = accepted(&report);
    assert_whole(&every, &expected, "slow, with everything");
    let last = expected.last().cloned();
    latest.wait("the newest point", LATE, |changes| {
        let mut points = changes.iter().rev().filter_map(|it| it.point());
        (points.next() == last).then_some(())
    });
    let few = latest.points_of(&session);
    assert!(few.len() < 60, "{} points at one a second", few.len());
    late.wait_ended(&session, LATE);
    let points = late.points_of(&session);
    let first = points.first().expect("points").counter as usize - 1;
    assert_eq!(points, expected[first..], "a trail, then everything");
    assert!(first < 50 && points.len() >= 54, "from {first}");
}

fn who_shares_is_sent_to_the_server(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("trip", "ana");
    let relay = Relay::start(&server, cores);
    let options = ShareOptions {
        chat: "trip".to_owned(),
        token: server.token("ana"),
        gpx: track(&server),
        speed: SPEED,
        extra: Vec::new(),
    };
    let mut refused = ShareRun::start(&relay.quic_url(), server.scratch(), &options);
    let ended = refused.process.wait(PATIENCE);
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stderr.contains(&server.quic_url()),
        "{}",
        ended.stderr
    );
    let answer = Request::new("GET", "/v1/chats/trip/positions")
        .token(&server.token("ana"))
        .send(relay.ready.http);
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (421, Some("relayed"))
    );
    let health = Request::new("GET", "/v1/health").send(relay.ready.http);
    assert_eq!(health.json()["upstream"].as_str(), Some("connected"));
}

#[test]
fn a_relay_of_itself_is_refused() {
    let server = Server::start(Cores::One);
    let mut itself = RelayStart::new(&server, "quic://127.0.0.1:1", Cores::One);
    let own = format!("quic://{}", itself.quic());
    itself.set_upstream(&own);
    let ended = itself.refused();
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stderr.contains("is this relay itself"),
        "{}",
        ended.stderr
    );

    // By way of another one.
    let first = Relay::start(&server, Cores::One);
    let second = RelayStart::new(&server, &first.quic_url(), Cores::One).start();
    let mut again = first.stop();
    again.set_upstream(&second.quic_url());
    let ended = again.refused();
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stderr.contains("has from this relay"),
        "{}",
        ended.stderr
    );
}

/// A relay that does not come up says this.
fn assert_refused(start: RelayStart, words: &str, what: &str) {
    let ended = start.refused();
    assert_eq!(ended.code(), Some(1), "{what}: {}", ended.stderr);
    assert!(ended.stderr.contains(words), "{what}: {}", ended.stderr);
}

#[test]
fn a_relay_with_a_token_that_is_no_relays_does_not_start() {
    let server = Server::start(Cores::One);
    let tokens = [
        ("a user's", server.token("ana")),
        ("nobody's", "junk".to_owned()),
    ];
    for (what, token) in tokens {
        let mut start = RelayStart::new(&server, &server.quic_url(), Cores::One);
        let path = start.scratch().join("other.jwt");
        std::fs::write(&path, token).expect("written");
        start.set("--upstream-token", &path.display().to_string());
        assert_refused(start, "make one with `skein token --relay`", what);
    }
}

#[test]
fn a_relay_without_keys_says_where_they_come_from() {
    let server = Server::start(Cores::One);
    let start = RelayStart::new(&server, &server.quic_url(), Cores::One);
    std::fs::remove_dir_all(start.data_dir().join("keys/trusted")).expect("removed");
    assert_refused(
        start,
        "`skein token --public-key --data-dir DIR --out",
        "no keys",
    );
}

#[test]
fn a_directory_is_one_relays_and_never_a_servers() {
    let server = Server::start(Cores::One);
    let first = Relay::start(&server, Cores::One);
    let mut second = RelayStart::new(&server, &server.quic_url(), Cores::One);
    second.set("--data-dir", &first.data_dir().display().to_string());
    let held = format!("in use by process {}", first.process.id());
    assert_refused(second, &held, "another relay's");
    let mut on_server = RelayStart::new(&server, &server.quic_url(), Cores::One);
    let place = server.data_dir();
    on_server.set("--data-dir", &place.display().to_string());
    assert_refused(on_server, "is the data directory of a server", "a server's");
    assert!(
        !place.join("keys/relay.id").exists(),
        "nothing is written there"
    );
}

#[test]
fn an_ordinary_token_makes_no_relay() {
    let server = Server::start(Cores::One);
    let _primer = prime(&server, "trip");
    server.add_member("trip", "viewer");
    let mut peer = Peer::connect(server.ready.http, &server.token("viewer"));
    let chat = peer.watch("trip", None, Delivery::Every).chat;
    let ask = skein_wire::request::MembersAsk {
        request: skein_wire::ids::RequestNumber(99),
        chat,
        after: None,
    };
    peer.send(&[skein_wire::request::Request::MembersAsk(ask)]);
    loop {
        match peer.receive(PATIENCE) {
            Some(Received::Update(Update::Refused(refused))) => {
                assert_eq!(refused.code, Code::UnknownWatch);
                return;
            }
            Some(Received::Update(Update::Members(_))) => panic!("a viewer learned the members"),
            Some(Received::Update(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Through two relays; an alert is for its user at the server alone.
fn what_happens_at_a_geofence_is_told_at_relays_too(cores: Cores) {
    let server = Server::start(cores);
    for user in ["ana", "viewer"] {
        server.add_member("hike", user);
    }
    let circle = json!({ "circle": { "lat": 47.0, "lon": 8.0, "radius_m": 100 } });
    for path in ["geofences/hut", "alerts/mine"] {
        let path = format!("/v1/chats/hike/{path}");
        let (request, at) = match path.contains("alerts") {
            true => (
                Request::new("PUT", &path).token(&server.token("viewer")),
                server.ready.http,
            ),
            false => (Request::new("PUT", &path), server.ready.control),
        };
        request.json(&circle).send(at).expect_success("put");
    }
    let mut ana = Peer::connect(server.ready.http, &server.token("ana"));
    let share = ana.share("hike", 600, "ana").share;
    let relay = Relay::start(&server, cores);
    let second = RelayStart::new(&server, &relay.quic_url(), cores).start();
    let urls = [relay.quic_url(), second.ws_url()];
    let watches = urls.map(|url| watch(&server, &url, "hike", &[]));
    for watch in &watches {
        watch.wait_session_of("ana");
    }
    for (number, lat_e6) in [47_010_000, 47_000_000, 47_010_000].into_iter().enumerate() {
        let counter = number as u64 + 1;
        let position = Position {
            lat_e6,
            lon_e6: 8_000_000,
        };
        let mut sent = point(counter, position, now_ms() as i64);
        if let Payload::Fix(fix) = &mut sent.payload {
            fix.accuracy = Accuracy::from_metres(5.0);
        }
        ana.point(share, sent);
        ana.accepted(share, Counter(counter));
    }
    for watch in &watches {
        wait::until("a viewer of a relay is told", PATIENCE, || {
            kinds(watch, "exit") > 0
        });
        let changes = watch.changes();
        let of_fences = changes
            .iter()
            .filter(|it| ["enter", "exit"].contains(&it.kind()));
        let told: Vec<_> = of_fences
            .map(|it| (it.kind(), it.text("geofence")))
            .collect();
        assert_eq!(told, [("enter", "hut"), ("exit", "hut")]);
    }
}

#[test]
fn a_relay_stops_in_good_order_and_its_viewers_come_back() {
    let server = Server::start(Cores::Two);
    let _primer = prime(&server, "trip");
    let relay = Relay::start(&server, Cores::Two);
    let watch = watch(&server, &relay.quic_url(), "trip", &[]);
    watch.wait_session_of("primer");
    let again = relay.stop();
    wait::until("the viewer is told", PATIENCE, || {
        watch.process.stderr.text().contains("going_away")
    });
    let _relay = again.start();
    wait::until("the viewer is back", PATIENCE, || {
        watch.process.stderr.text().contains("online again")
    });
    let (_, report) = share(&server, "trip", SPEED).finish(REPLAY);
    assert_whole(&watch, &accepted(&report), "after a restart of the relay");
    assert_eq!(kinds(&watch, "resync"), 0);
}
