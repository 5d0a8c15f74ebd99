//! The main job: share a track, watch it by every transport, miss nothing, see nothing twice.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cli::{PointLine, ShareOptions, ShareRun, WatchRun, accepted};
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at, position_at};
use skein_tests::gpx::{self, TrackPoint};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    a_synthetic_track_arrives_whole_by_every_transport,
    a_real_track_arrives_whole_by_every_transport,
    four_tracks_in_one_chat_arrive_as_they_were_accepted,
    a_viewer_that_slept_gets_only_the_newest,
    a_late_joiner_gets_one_fix_of_each_live_session_at_once,
);

/// How much faster than life tracks are replayed.
const SPEED: f64 = 50.0;

/// Longest a replay may take: the longest of the tracks needs 100 s.
const REPLAY: Duration = Duration::from_secs(180);

/// How late the last point may be after its session's end was awaited.
const LATE: Duration = Duration::from_secs(20);

/// Watches of one chat by every transport, all of them known to be on.
struct Watches(Vec<WatchRun>);

impl Watches {
    fn start(server: &Server, chat: &str, extra: &[&str]) -> Self {
        server.add_member(chat, "viewer");
        server.add_member(chat, "primer");
        let token = server.token("viewer");
        let urls = [server.quic_url(), server.ws_url(), server.wss_url()];
        let watches: Vec<WatchRun> = urls
            .iter()
            .map(|url| WatchRun::start(url, chat, &token, extra))
            .collect();
        // Whoever sees this session is watching; what comes later is seen from its beginning.
        let mut primer = Peer::connect(server.ready.http, &server.token("primer"));
        let shared = primer.share(chat, 600, "primer");
        primer.point(shared.share, point_at(0, 1));
        for watch in &watches {
            watch.wait_session_of("primer");
        }
        Self(watches)
    }
}

fn https(cores: Cores) -> Server {
    Server::start_with(Options {
        https: true,
        ..Options::new(cores)
    })
}

fn share(server: &Server, chat: &str, user: &str, gpx: PathBuf, extra: &[&str]) -> ShareRun {
    server.add_member(chat, user);
    let options = ShareOptions {
        chat: chat.to_owned(),
        token: server.token(user),
        gpx,
        speed: SPEED,
        extra: extra.iter().map(|text| (*text).to_owned()).collect(),
    };
    ShareRun::start(&server.quic_url(), server.scratch(), &options)
}

/// Points without their counters, as a track has them.
fn places(points: &[PointLine]) -> Vec<(i64, i64, i64)> {
    let place = |p: &PointLine| (p.lat_e6, p.lon_e6, p.captured_at_ms);
    points.iter().map(place).collect()
}

fn expected(track: &[TrackPoint]) -> Vec<(i64, i64, i64)> {
    let place = |p: &TrackPoint| {
        let time = p.time_ms.expect("a track with times");
        (
            i64::from(p.position.lat_e6),
            i64::from(p.position.lon_e6),
            time,
        )
    };
    track.iter().map(place).collect()
}

fn assert_ascending(points: &[PointLine], what: &str) {
    for pair in points.windows(2) {
        let (a, b) = (pair[0].counter, pair[1].counter);
        assert!(a < b, "{what}: point {b} came after point {a}");
    }
}

/// Shares one track and compares what three viewers print with the file.
fn arrives_whole(cores: Cores, make: impl FnOnce(&Server) -> PathBuf) {
    let server = https(cores);
    let path = make(&server);
    let track = gpx::read(&path);
    let watches = Watches::start(&server, "trip", &[]);
    let (_, report) = share(&server, "trip", "ana", path, &[]).finish(REPLAY);
    assert_eq!(
        places(&accepted(&report)),
        expected(&track),
        "what the sender reports"
    );
    for watch in &watches.0 {
        let session = watch.wait_session_of("ana");
        assert_eq!(watch.wait_ended(&session, LATE), "stopped");
        let points = watch.points_of(&session);
        assert_eq!(places(&points), expected(&track), "what a viewer printed");
        assert_ascending(&points, "a viewer");
    }
}

fn a_synthetic_track_arrives_whole_by_every_transport(cores: Cores) {
    arrives_whole(cores, |server| {
        gpx::write(
            server.scratch(),
            "synthetic",
            &gpx::synthetic(1, 200, 1_500),
        )
    });
}

fn a_real_track_arrives_whole_by_every_transport(cores: Cores) {
    if let Some(tracks) = skip::tracks() {
        arrives_whole(cores, |_| tracks.join("visnjan-car.gpx"));
    }
}

/// The four real tracks, or four synthetic ones of which the last is cut, too.
fn four_tracks(server: &Server) -> Vec<PathBuf> {
    if let Some(tracks) = skip::tracks() {
        let names = [
            "visnjan-car",
            "mojstrovka",
            "garmin-activity",
            "garmin-with-extensions",
        ];
        return names
            .iter()
            .map(|name| tracks.join(format!("{name}.gpx")))
            .collect();
    }
    let lengths = [(104, 5_000), (184, 1_000), (300, 2_500), (3_600, 5_000)];
    let make = |(seed, (count, step_ms)): (usize, (usize, i64))| {
        let track = gpx::synthetic(seed as u32, count, step_ms);
        gpx::write(server.scratch(), &format!("track-{seed}"), &track)
    };
    lengths.into_iter().enumerate().map(make).collect()
}

fn four_tracks_in_one_chat_arrive_as_they_were_accepted(cores: Cores) {
    let server = https(cores);
    let watches = Watches::start(&server, "tour", &[]);
    let users = ["ana", "ben", "cem", "dora"];
    let tracks = four_tracks(&server);
    let runs: Vec<ShareRun> = users
        .iter()
        .zip(tracks)
        .map(|(user, path)| {
            let cut: &[&str] = if *user == "dora" {
                &["--duration", "60s"]
            } else {
                &[]
            };
            share(&server, "tour", user, path, cut)
        })
        .collect();
    for (user, run) in users.iter().zip(runs) {
        let (_, report) = run.finish(REPLAY);
        let accepted = accepted(&report);
        assert!(
            accepted.len() > 50,
            "{user}: only {} accepted",
            accepted.len()
        );
        for watch in &watches.0 {
            let session = watch.wait_session_of(user);
            let why = watch.wait_ended(&session, LATE);
            // The one that is cut stops at its time, which is also the server's time for it.
            let cut = *user == "dora" && why == "expired";
            assert!(cut || why == "stopped", "{user}: {why}");
            assert_eq!(watch.points_of(&session), accepted, "points of {user}");
        }
    }
}

/// How long a viewer sleeps.
const SLEEP: Duration = Duration::from_secs(5);

/// Time between two points of the session that the sleeper watches.
const STEP: Duration = Duration::from_millis(20);

fn a_viewer_that_slept_gets_only_the_newest(cores: Cores) {
    let server = https(cores);
    let watches = Watches::start(&server, "nap", &["--delivery", "latest"]);
    let running = Fleet::start(&server, "nap", 1).run(STEP);
    for watch in &watches.0 {
        watch.wait_session_of("sender-0");
    }
    thread::sleep(Duration::from_millis(500));
    for watch in &watches.0 {
        watch.process.freeze();
    }
    // What it has printed when it is frozen is all that it has seen.
    thread::sleep(Duration::from_millis(200));
    let session = watches.0[0].wait_session_of("sender-0");
    let before: Vec<u64> = watches
        .0
        .iter()
        .map(|watch| newest(watch, &session))
        .collect();
    thread::sleep(SLEEP);
    for watch in &watches.0 {
        watch.process.thaw();
    }
    thread::sleep(Duration::from_millis(500));
    let fleet = running.stop();
    let last = fleet.members().next().expect("one session").counter;
    let missed = SLEEP.as_millis() as u64 / STEP.as_millis() as u64;
    for (watch, before) in watches.0.iter().zip(before) {
        watch.wait("the newest point", LATE, |_| {
            (newest(watch, &session) == last).then_some(())
        });
        let points = watch.points_of(&session);
        assert_ascending(&points, "a sleeper");
        let slept = before + 1..before + missed * 4 / 5;
        let stale = points.iter().filter(|p| slept.contains(&p.counter)).count();
        assert!(
            stale <= 1,
            "{stale} stale points of {slept:?} after the sleep"
        );
    }
}

fn newest(watch: &WatchRun, session: &str) -> u64 {
    watch
        .points_of(session)
        .last()
        .map_or(0, |point| point.counter)
}

/// Live sessions that the late joiner finds, beside ended ones.
const LIVE: usize = 24;

/// From `Watch` to the first batch; the best of a few joins, because a test machine is shared.
const JOIN_MAX: Duration = Duration::from_millis(50);

/// Joins that are tried.
const JOINS: usize = 5;

fn a_late_joiner_gets_one_fix_of_each_live_session_at_once(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "late", LIVE);
    server.add_member("late", "gone");
    let mut gone = Peer::connect(server.ready.http, &server.token("gone"));
    for index in 0..3 {
        let shared = gone.share("late", 600, &format!("gone-{index}"));
        gone.point(shared.share, point_at(900 + index, 1));
        gone.stop(shared.share);
    }
    for _ in 0..40 {
        fleet.publish();
    }
    fleet.settle();
    let mut fastest = Duration::MAX;
    for join in 0..JOINS {
        let user = format!("joiner-{join}");
        server
            .put_member("late", &user, &["watch"])
            .expect_success("a viewer");
        let mut viewer = Peer::connect(server.ready.http, &server.quick_token(&user));
        let asked = Instant::now();
        viewer.watch("late", None, Delivery::Every);
        let batch = viewer.batch(LATE).expect("a first batch");
        fastest = fastest.min(asked.elapsed());
        assert_eq!(batch.header.from, 0);
        let mut fixes = Vec::new();
        for entry in &batch.entries {
            if let (Some(descriptor), Some(_)) = (&entry.descriptor, &entry.point) {
                assert!(
                    entry.earlier.is_empty(),
                    "no trail was asked for: {entry:?}"
                );
                fixes.push((descriptor.session, descriptor.counter.0));
            }
        }
        let mut live: Vec<_> = fleet.members().map(|m| (m.session, m.counter)).collect();
        live.sort_unstable();
        fixes.sort_unstable();
        assert_eq!(fixes, live, "one fix for each live session, and no other");
        let mut table = skein_tests::table::Table::default();
        table.apply(batch);
        for member in fleet.members() {
            let row = table.session(member.session).expect("a row");
            let at = row.points.last().and_then(|seen| seen.position);
            assert_eq!(at, Some(position_at(member.index, member.counter)));
        }
    }
    assert!(
        fastest <= JOIN_MAX,
        "the quickest of {JOINS} joins took {fastest:?}"
    );
}
