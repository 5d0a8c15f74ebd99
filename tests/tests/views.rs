//! Views of a part of the map, from the command line and by a client that looks around.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_client::connect::ConnectOptions;
use skein_client::trust::Trust;
use skein_client::viewer::Viewer;
use skein_client::viewer_state::{WatchId, WatchOptions};
use skein_tests::cli::{Change, WatchRun};
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, now_ms, position_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, live, point};
use skein_tests::server::Server;
use skein_tests::wait::PATIENCE;
use skein_wire::map_view::MapView;
use skein_wire::point::Position;

on_one_and_two_shards!(
    a_view_shows_its_part_and_counts_the_rest,
    who_looks_elsewhere_sees_who_is_there,
);

/// Sessions of the fleet, all within half a kilometre.
const SESSIONS: usize = 40;

/// Where the fleet is, and where nobody is.
const FLEET: &str = "46.9999,7.9999,47.0050,8.0050";
const NOWHERE: &str = "-10,-20,-9,-19";

/// What a run of `skein watch --view` shows by now.
#[derive(Debug, Default, PartialEq, Eq)]
struct Picture {
    rows: BTreeSet<String>,
    elsewhere: u64,
    cells: usize,
}

impl Picture {
    fn of(changes: &[Change]) -> Self {
        let mut picture = Self::default();
        for change in changes {
            let json = &change.0;
            match change.kind() {
                "started" => {
                    picture.rows.insert(change.session().to_owned());
                }
                "left" | "ended" => {
                    picture.rows.remove(change.session());
                }
                "clusters" => {
                    let clusters = json["clusters"].as_array().expect("a list");
                    let counts = clusters
                        .iter()
                        .map(|it| it["count"].as_u64().expect("a number"));
                    picture.elsewhere = counts.sum();
                    assert_eq!(json["count"].as_u64(), Some(picture.elsewhere));
                }
                "view" => picture.cells = json["cells"].as_array().expect("a list").len(),
                _ => {}
            }
        }
        picture
    }
}

fn a_view_shows_its_part_and_counts_the_rest(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("marathon", "viewer");
    let mut fleet = Fleet::start(&server, "marathon", SESSIONS);
    let added = server.put_member("marathon", "runner", &["share", "watch"]);
    added.expect_success("a runner");
    let mut runner = Peer::connect(server.ready.http, &server.quick_token("runner"));
    let shared = runner.share("marathon", 3_600, "run");
    let mut counter = 0;
    let mut run_to = |place: Position| {
        counter += 1;
        let point = point(counter, place, now_ms() as i64);
        runner.send(&[live(shared.share, point, false)]);
    };
    fleet.publish();
    run_to(position_at(3, 3));
    fleet.settle();
    let token = server.token("viewer");
    let everybody = SESSIONS + 1;
    for url in [server.quic_url(), server.ws_url()] {
        let watch = |view: &str, rows: &str| {
            let wish = format!("--view={view}");
            WatchRun::start(&url, "marathon", &token, &[&wish, "--rows", rows])
        };
        let (whole, few, nobody) = (
            watch(FLEET, "512"),
            watch(FLEET, "16"),
            watch(NOWHERE, "512"),
        );
        let shows = |run: &WatchRun, what: &str, wanted: &dyn Fn(&Picture) -> bool| {
            run.wait(what, PATIENCE, |changes| {
                Some(Picture::of(changes)).filter(|it| wanted(it))
            })
        };
        let all = |it: &Picture| it.rows.len() == everybody && it.elsewhere == 0;
        shows(&whole, "all", &all);
        shows(&few, "some, and the others counted", &|it| {
            let rows = it.rows.len();
            (1..=16).contains(&rows) && rows as u64 + it.elsewhere == everybody as u64
        });
        shows(&nobody, "nobody, and all counted", &|it| {
            it.rows.is_empty() && it.elsewhere == everybody as u64 && it.cells > 0
        });
        // One leaves and comes back, while the others move.
        let session = shared.session.to_string();
        fleet.publish();
        run_to(Position {
            lat_e6: 48_000_000,
            lon_e6: 9_000_000,
        });
        shows(&whole, "that one has left", &|it| {
            it.rows.len() == SESSIONS && !it.rows.contains(&session) && it.elsewhere == 1
        });
        fleet.publish();
        run_to(position_at(3, 5));
        shows(&whole, "all of them again", &all);
        let changes = whole.changes();
        assert!(changes.iter().all(|change| change.kind() != "ended"));
        let is_of_it = |change: &&Change| change.0["session"] == session.as_str();
        let told = changes.iter().filter(is_of_it).map(Change::kind);
        let told: Vec<&str> = told.filter(|kind| *kind != "point").collect();
        assert_eq!(told, ["started", "left", "started"]);
    }
}

/// A view around a place, some hundred metres wide.
fn around(place: Position) -> MapView {
    MapView {
        south_e6: place.lat_e6 - 2_000,
        west_e6: place.lon_e6 - 2_000,
        north_e6: place.lat_e6 + 2_000,
        east_e6: place.lon_e6 + 2_000,
        rows: 512,
    }
}

fn who_looks_elsewhere_sees_who_is_there(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("map", "viewer");
    let places = [(45.65, 13.77), (45.44, 12.33), (-17.7, 178.0)];
    let places = places.map(|(lat, lon)| Position::from_degrees(lat, lon).expect("a place"));
    let mut people = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let user = format!("user-{number}");
        let added = server.put_member("map", &user, &["share", "watch"]);
        added.expect_success("a member");
        let mut peer = Peer::connect(server.ready.http, &server.quick_token(&user));
        let shared = peer.share("map", 3_600, "here");
        peer.send(&[live(shared.share, point(1, *place, now_ms() as i64), false)]);
        people.push((peer, user));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let token = server.token("viewer");
    for url in [server.quic_url(), server.ws_url()] {
        runtime.block_on(look_around(&url, &token, &places));
    }
}

async fn look_around(url: &str, token: &str, places: &[Position]) {
    let mut options = ConnectOptions::new(url.parse().expect("an address"), token);
    if !url.starts_with("ws://") {
        options.trust = Trust::Anybody;
    }
    let mut viewer = Viewer::connect(options).await.expect("a connection");
    let chat = "map".parse().expect("a name");
    let id = viewer.watch(WatchOptions {
        view: Some(around(places[0])),
        ..WatchOptions::new(chat)
    });
    for number in [0, 1, 2, 0] {
        viewer.look(id, around(places[number]));
        let wanted = [format!("user-{number}")];
        let shown = tokio::time::timeout(PATIENCE, async {
            while shown(&viewer, id) != (wanted.to_vec(), 2) {
                let event = viewer.next().await.expect("a connection that lasts");
                assert!(event.is_some(), "the watch goes on");
            }
        });
        shown
            .await
            .unwrap_or_else(|_| panic!("{url}: not {wanted:?}"));
    }
    // A map that is being moved is asked for where it comes to rest.
    for shift in 0..100 {
        let mut place = places[1];
        place.lat_e6 += 10_000 * (99 - shift);
        viewer.look(id, around(place));
    }
    let rest = tokio::time::timeout(PATIENCE, async {
        while shown(&viewer, id) != (vec!["user-1".to_owned()], 2) {
            viewer.next().await.expect("nobody is cut off for that");
        }
    });
    rest.await.expect("it is shown where it rests");
    tokio::time::timeout(Duration::from_secs(5), viewer.close())
        .await
        .expect("a farewell");
}

/// Who is a row, and how many are elsewhere.
fn shown(viewer: &Viewer, id: WatchId) -> (Vec<String>, u32) {
    let view = viewer.views(id).next().expect("a watch");
    let live = view.rows().filter(|row| !row.state().state.is_ended());
    let users = live.map(|row| row.subject().user.to_string()).collect();
    (users, view.clusters().iter().map(|it| it.count).sum())
}
