//! Members who may watch on a grid: by every way that shows places, from the acknowledgement on, nothing finer
//! than a cell.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;
use skein_tests::cli::{PointLine, WatchRun};
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, position_at};
use skein_tests::http::Request as Http;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Received, name};
use skein_tests::process;
use skein_tests::relay::Relay;
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker, Transport};
use skein_tests::wait::PATIENCE;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::ids::{Cursor, RequestNumber};
use skein_wire::map_view::MapView;
use skein_wire::point::{Payload, Position};
use skein_wire::request::{Delivery, Request, Watch};
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_member_on_a_grid_sees_cells_by_every_way,
    a_grid_is_obeyed_from_the_acknowledgement_on,
    a_viewer_that_goes_on_never_shows_a_mixture,
    a_token_brings_a_grid_and_a_stored_one_wins,
    behind_a_relay_a_grid_is_a_grid,
    rights_with_a_grid_are_kept_and_checked,
);

/// How long a viewer listens for what must not come.
const LISTEN: Duration = Duration::from_millis(500);

const SESSIONS: usize = 4;

fn member(server: &Server, arguments: &[&str]) {
    let address = server.ready.control.to_string();
    let mut all = vec!["member", "add", "--chat", "hike", "--control", &address];
    all.extend_from_slice(arguments);
    process::run(all).expect_success("skein member add");
}

fn on_grid(server: &Server, user: &str) {
    member(
        server,
        &["--user", user, "--rights", "watch", "--grid", "5000"],
    );
}

fn exactly() -> HashSet<Position> {
    (0..SESSIONS)
        .flat_map(|index| (0..2_000).map(move |counter| position_at(index, counter)))
        .collect()
}

fn watch(cursor: Option<Cursor>, view: Option<MapView>) -> Request {
    Request::Watch(Watch {
        request: RequestNumber(1),
        chat: name("hike"),
        session: None,
        view,
        cursor,
        delivery: match view {
            Some(_) => Delivery::Latest,
            None => Delivery::Every,
        },
        trail: if view.is_some() { 0 } else { 32 },
        interval_ms: 0,
    })
}

/// The grid that is told, and where the watch goes on.
fn granted(talker: &mut Talker) -> Result<(Option<u32>, u64), Code> {
    let mut grid_m = None;
    talker.expect("an answer", |update| match update {
        Update::Coarse(coarse) => {
            grid_m = Some(coarse.grid_m);
            None
        }
        Update::Watching(watching) => Some(Ok((grid_m, watching.from))),
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

fn places(batch: &Batch) -> Vec<Position> {
    let payloads = batch.entries.iter().flat_map(|entry| {
        let newest = entry.point.iter().map(|point| &point.payload);
        newest.chain(entry.earlier.iter().map(|point| &point.payload))
    });
    payloads
        .map(|payload| match payload {
            Payload::Fix(fix) => fix.position,
            Payload::Sealed(_) => panic!("nothing is sealed"),
        })
        .collect()
}

fn assert_coarse(batch: &Batch, exactly: &HashSet<Position>) {
    assert!(!exactly.contains(&batch.header.anchor), "the anchor");
    for place in places(batch) {
        assert!(!exactly.contains(&place), "{place:?} is exact");
    }
    assert!(batch.entries.iter().all(|entry| entry.earlier.is_empty()));
}

fn status(server: &Server, token: &str, method: &str, path: &str) -> u16 {
    let body = json!({ "circle": { "lat": 45.0, "lon": 13.0, "radius_m": 100 }, "duration_s": 60 });
    let asked = Http::new(method, path).token(token).json(&body);
    asked.send(server.ready.http).status
}

fn a_member_on_a_grid_sees_cells_by_every_way(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", SESSIONS);
    fleet.publish();
    fleet.settle();
    on_grid(&server, "ben");
    member(&server, &["--user", "dora", "--rights", "watch"]);
    let exactly = exactly();
    let world = MapView {
        south_e6: -90_000_000,
        west_e6: -180_000_000,
        north_e6: 90_000_000,
        east_e6: 180_000_000,
        rows: 100,
    };
    for restart in [false, true] {
        if restart {
            // The connections of the fleet are gone with the server; its sessions are not.
            server.crash_and_restart();
        }
        let (ben, dora) = (server.token("ben"), server.token("dora"));
        // Enough to sit on both shards.
        for transport in TRANSPORTS.iter().cycle().take(6) {
            for view in [None, Some(world)] {
                let mut talker = Talker::connect(&server, *transport, &ben);
                talker.send(watch(None, view));
                assert_eq!(granted(&mut talker), Ok((Some(5_000), 0)));
                let batch = next_batch(&mut talker);
                assert_eq!(places(&batch).len(), SESSIONS);
                assert_coarse(&batch, &exactly);
            }
            // The same chat, exact, for others at the same time.
            let mut talker = Talker::connect(&server, *transport, &dora);
            talker.send(watch(None, None));
            assert_eq!(granted(&mut talker), Ok((None, 0)));
            let seen = places(&next_batch(&mut talker));
            assert!(seen.iter().all(|place| exactly.contains(place)));
        }
        let answer = Http::new("GET", "/v1/chats/hike/positions")
            .token(&ben)
            .send(server.ready.http)
            .expect_success("positions")
            .json();
        let positions = answer["positions"].as_array().expect("positions");
        assert_eq!(positions.len(), SESSIONS);
        for position in positions {
            let degrees =
                |key: &str| (position["point"][key].as_f64().expect(key) * 1e6).round() as i32;
            let place = Position {
                lat_e6: degrees("lat"),
                lon_e6: degrees("lon"),
            };
            assert!(!exactly.contains(&place), "{place:?} is exact");
        }
        // What is crossed where is finer than a cell: as for guests, there is nothing of the kind.
        for (method, path) in [
            ("GET", "/v1/chats/hike/geofences"),
            ("GET", "/v1/chats/hike/crossings"),
            ("PUT", "/v1/chats/hike/alerts/home"),
        ] {
            assert_eq!(status(&server, &ben, method, path), 404, "{method} {path}");
            assert_eq!(status(&server, &dora, method, path), 200, "{method} {path}");
        }
    }
}

fn a_grid_is_obeyed_from_the_acknowledgement_on(cores: Cores) {
    let server = Server::start(cores);
    let running = Fleet::start(&server, "hike", SESSIONS).run(Duration::from_millis(20));
    member(&server, &["--user", "ben", "--rights", "watch"]);
    let ben = server.token("ben");
    let mut talkers: Vec<(Talker, u64)> = TRANSPORTS
        .iter()
        .cycle()
        .take(9)
        .map(|transport| {
            let mut talker = Talker::connect(&server, *transport, &ben);
            talker.send(watch(None, None));
            assert_eq!(granted(&mut talker), Ok((None, 0)));
            let to = next_batch(&mut talker).header.to;
            (talker, to)
        })
        .collect();
    on_grid(&server, "ben");
    // Every point with a greater counter was sent after the acknowledgement.
    let mut fleet = running.stop();
    let after = fleet.members().map(|member| member.counter).max();
    let after = after.expect("sessions");
    for _ in 0..5 {
        fleet.publish();
    }
    fleet.settle();
    let exactly = exactly();
    let too_late: HashSet<Position> = (0..SESSIONS)
        .flat_map(|index| (after + 1..after + 6).map(move |counter| position_at(index, counter)))
        .collect();
    for (transport, (talker, to)) in TRANSPORTS.iter().cycle().zip(&mut talkers) {
        let mut ended = None;
        let until = Instant::now() + PATIENCE;
        while let Some(received) = talker.receive(match ended {
            Some(_) => LISTEN,
            None => until.saturating_duration_since(Instant::now()),
        }) {
            match received {
                Received::Update(Update::WatchEnded(end)) => ended = Some(end.code),
                Received::Update(Update::Batch(body)) => {
                    // Streams and datagrams of before may come behind the end.
                    let is_in_order = *transport == Transport::WebSocket;
                    assert!(!is_in_order || ended.is_none(), "a batch after the end");
                    let batch = Batch::decode(&body).expect("a batch");
                    assert!(places(&batch).iter().all(|it| !too_late.contains(it)));
                    *to = batch.header.to;
                }
                // With a batch that was half written the connection is cut.
                Received::Closed(closed) => {
                    ended = ended.or(closed.protocol_code());
                    break;
                }
                Received::Update(_) => {}
            }
        }
        let ended = ended.expect("the watch ends");
        assert!(
            [Code::RightsChanged, Code::MembershipRevoked].contains(&ended),
            "{ended}"
        );
    }
    // With the cursor that was good before.
    for (transport, (_, to)) in TRANSPORTS.iter().cycle().zip(&talkers) {
        let mut talker = Talker::connect(&server, *transport, &ben);
        let cursor = Cursor {
            offset: *to,
            ..cursor_of(&server, &ben)
        };
        talker.send(watch(Some(cursor), None));
        assert_eq!(granted(&mut talker), Ok((Some(5_000), 0)));
        assert_coarse(&next_batch(&mut talker), &exactly);
    }
}

fn place_of(point: &PointLine) -> Position {
    Position {
        lat_e6: point.lat_e6 as i32,
        lon_e6: point.lon_e6 as i32,
    }
}

/// Log and epoch, with no offset.
fn cursor_of(server: &Server, token: &str) -> Cursor {
    let answer = Http::new("GET", "/v1/chats/hike/positions")
        .token(token)
        .send(server.ready.http)
        .expect_success("positions")
        .json();
    let cursor = answer["cursor"].as_str().expect("a cursor");
    cursor.parse().expect("a cursor")
}

fn a_viewer_that_goes_on_never_shows_a_mixture(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", SESSIONS);
    fleet.publish();
    fleet.settle();
    member(&server, &["--user", "ben", "--rights", "watch"]);
    let ben = server.token("ben");
    let exactly = exactly();
    for url in [server.quic_url(), server.ws_url()] {
        let run = WatchRun::start(&url, "hike", &ben, &[]);
        for (told, is_coarse) in [false, true, false].into_iter().enumerate() {
            match is_coarse {
                true => on_grid(&server, "ben"),
                false => member(&server, &["--user", "ben", "--rights", "watch"]),
            }
            // Nobody moves: what is shown comes with the full batch or not at all.
            let seen = run.wait("everybody, anew", PATIENCE, |changes| {
                let grids = changes.iter().filter(|change| change.kind() == "grid");
                if grids.count() < told {
                    return None;
                }
                let last = changes.iter().rposition(|change| change.kind() == "grid");
                let points = changes[last.map_or(0, |at| at + 1)..].iter();
                let points: Vec<Position> = points
                    .filter_map(|change| change.point())
                    .map(|point| place_of(&point))
                    .collect();
                (points.len() >= SESSIONS).then_some(points)
            });
            for place in &seen {
                assert_eq!(exactly.contains(place), !is_coarse, "{place:?}");
            }
        }
    }
}

fn a_token_brings_a_grid_and_a_stored_one_wins(cores: Cores) {
    let mut options = Options::new(cores);
    options.configuration = "[access]\nmembership = \"token\"\n".to_owned();
    let server = Server::start_with(options);
    let mut fleet = Fleet::start(&server, "hike", SESSIONS);
    fleet.publish();
    fleet.settle();
    let data_dir = server.data_dir().display().to_string();
    let token = |extra: &[&str]| {
        let mut all = vec!["token", "--user", "ben", "--data-dir", &data_dir];
        all.extend_from_slice(extra);
        let ended = process::run(all).expect_success("skein token");
        ended.stdout.trim().to_owned()
    };
    let coarse = token(&["--chat", "hike=watch", "--grid", "200"]);
    let exact = token(&["--chat", "hike=share,watch"]);
    let exactly = exactly();
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&server, transport, &coarse);
        talker.send(watch(None, None));
        assert_eq!(granted(&mut talker), Ok((Some(200), 0)));
        assert_coarse(&next_batch(&mut talker), &exactly);
        let mut talker = Talker::connect(&server, transport, &exact);
        talker.send(watch(None, None));
        assert_eq!(granted(&mut talker), Ok((None, 0)));
    }
    on_grid(&server, "ben");
    for token in [&coarse, &exact] {
        let mut talker = Talker::connect(&server, TRANSPORTS[0], token);
        talker.send(watch(None, None));
        assert_eq!(granted(&mut talker), Ok((Some(5_000), 0)));
        assert_coarse(&next_batch(&mut talker), &exactly);
    }
}

fn behind_a_relay_a_grid_is_a_grid(cores: Cores) {
    let server = Server::start(cores);
    let running = Fleet::start(&server, "hike", SESSIONS).run(Duration::from_millis(50));
    member(&server, &["--user", "ben", "--rights", "watch"]);
    let relay = Relay::start(&server, cores);
    let ben = server.token("ben");
    let exactly = exactly();
    let at_relay = |transport| match transport {
        0 => relay.ws_url(),
        _ => relay.quic_url(),
    };
    let runs: Vec<WatchRun> = (0..2)
        .map(|transport| WatchRun::start(&at_relay(transport), "hike", &ben, &[]))
        .collect();
    for run in &runs {
        run.wait("the chat", PATIENCE, |changes| {
            (changes.len() > 20).then_some(())
        });
    }
    on_grid(&server, "ben");
    let mut fleet = running.stop();
    for _ in 0..5 {
        fleet.publish();
    }
    fleet.settle();
    // Nobody has watched here before.
    let new = Relay::start(&server, cores);
    let runs = runs
        .into_iter()
        .chain([WatchRun::start(&new.ws_url(), "hike", &ben, &[])]);
    for run in runs {
        let seen = run.wait("places on the grid", PATIENCE, |changes| {
            let at = changes.iter().position(|change| change.kind() == "grid")?;
            assert_eq!(changes[at].0["grid_m"], 5_000);
            let points = changes[at..].iter().filter_map(|change| change.point());
            let points: Vec<Position> = points.map(|point| place_of(&point)).collect();
            (points.len() >= SESSIONS).then_some(points)
        });
        for place in seen {
            assert!(!exactly.contains(&place), "{place:?} is exact");
        }
    }
}

fn rights_with_a_grid_are_kept_and_checked(cores: Cores) {
    let mut server = Server::start(cores);
    on_grid(&server, "ben");
    let put = |server: &Server, body: serde_json::Value| {
        Http::new("PUT", "/v1/chats/hike/members/cem")
            .json(&body)
            .send(server.ready.control)
            .status
    };
    for (body, status) in [
        (json!({ "rights": ["share", "watch"], "grid_m": 100 }), 200),
        (json!({ "rights": ["share"], "grid_m": 100 }), 400),
        (json!({ "rights": ["watch"], "grid_m": 333 }), 400),
        (json!({ "rights": ["watch"], "grid_m": 0 }), 400),
        (json!({ "rights": ["watch"], "grid": 100 }), 400),
    ] {
        assert_eq!(put(&server, body.clone()), status, "{body}");
    }
    let lines = [
        json!({ "user": "dan", "rights": ["watch"], "grid_m": 1_000 }),
        json!({ "user": "eve", "rights": ["watch"] }),
    ];
    let import = |lines: &[serde_json::Value]| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let imported = Http::new("POST", "/v1/chats/hike/members")
            .text(&lines)
            .send(server.ready.control);
        imported.expect_success("import").json()
    };
    assert_eq!(import(&lines)["accepted"], 2);
    // A grid takes from somebody who saw exactly, and a size that is none is refused.
    let taking = [json!({ "user": "eve", "rights": ["watch"], "grid_m": 1_000 })];
    assert_eq!(import(&taking)["refused"][0]["code"], "conflict");
    let odd = [json!({ "user": "fay", "rights": ["watch"], "grid_m": 333 })];
    assert_eq!(import(&odd)["refused"][0]["code"], "bad_request");
    for restart in [false, true] {
        if restart {
            server.crash_and_restart();
        }
        let listed = Http::new("GET", "/v1/chats/hike/members")
            .send(server.ready.control)
            .expect_success("members")
            .json();
        let expect = json!([
            { "user": "ben", "rights": ["watch"], "grid_m": 5_000 },
            { "user": "cem", "rights": ["share", "watch"], "grid_m": 100 },
            { "user": "dan", "rights": ["watch"], "grid_m": 1_000 },
            { "user": "eve", "rights": ["watch"] },
        ]);
        assert_eq!(listed["members"], expect);
    }
    let address = server.ready.control.to_string();
    let list = ["member", "list", "--chat", "hike", "--control", &address];
    let listed = process::run(list)
        .expect_success("skein member list")
        .stdout;
    assert!(listed.contains("ben\twatch, grid of 5000 m"), "{listed}");
}
