//! What a viewer may wish for: a trail to begin with, and news no more often than it likes.

use std::time::{Duration, Instant};

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, now_ms, position_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, live, point};
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_trail_has_so_many_points_or_so_many_minutes,
    news_come_as_often_as_wished_and_nothing_is_lost,
);

/// Points of the session: those captured long ago, and those captured now.
const OLD: u64 = 5;
const YOUNG: u64 = 3;
const LONG_AGO_MS: u64 = 600_000;

fn a_trail_has_so_many_points_or_so_many_minutes(cores: Cores) {
    let server = Server::start(cores);
    let added = server.put_member("trail", "walker", &["share", "watch"]);
    added.expect_success("a walker");
    server.add_member("trail", "viewer");
    let mut walker = Peer::connect(server.ready.http, &server.quick_token("walker"));
    let shared = walker.share("trail", 3_600, "trail");
    for counter in 1..=OLD + YOUNG {
        let age_ms = if counter <= OLD { LONG_AGO_MS } else { 0 };
        let captured_at_ms = (now_ms() - age_ms) as i64;
        let point = point(counter, position_at(0, counter), captured_at_ms);
        walker.send(&[live(shared.share, point, false)]);
    }
    let newest = OLD + YOUNG;
    wait::until("all points are in", PATIENCE, || {
        let positions = server.positions("trail", "walker");
        positions["positions"][0]["point"]["counter"].as_u64() == Some(newest)
    });
    let token = server.token("viewer");
    for (url, delivery) in [(server.quic_url(), "every"), (server.ws_url(), "latest")] {
        for (trail, first) in [("0", newest), ("2", newest - 2), ("5m", OLD + 1), ("32", 1)] {
            let wish = ["--trail", trail, "--delivery", delivery];
            let watch = WatchRun::start(&url, "trail", &token, &wish);
            let shown = watch.wait("the newest point", PATIENCE, |changes| {
                let counters: Vec<u64> = changes
                    .iter()
                    .filter_map(|change| Some(change.point()?.counter))
                    .collect();
                counters.contains(&newest).then_some(counters)
            });
            let wanted: Vec<u64> = (first..=newest).collect();
            assert_eq!(shown, wanted, "--trail {trail} --delivery {delivery}");
        }
    }
}

const SESSIONS: usize = 2;

/// Between two points of a session; within [`BEAT`] there are fewer than a trail holds.
const PAUSE: Duration = Duration::from_millis(40);

/// The wished interval, and the rate that stands for it.
const BEAT: Duration = Duration::from_millis(500);
const RATE: &str = "2";

/// How long points are sent.
const TIME: Duration = Duration::from_secs(4);

fn news_come_as_often_as_wished_and_nothing_is_lost(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("beat", "viewer");
    let mut fleet = Fleet::start(&server, "beat", SESSIONS);
    fleet.publish();
    fleet.settle();
    let token = server.token("viewer");
    let wish = ["--max-rate", RATE, "--delivery", "every"];
    let runs: Vec<WatchRun> = [server.quic_url(), server.ws_url()]
        .iter()
        .map(|url| WatchRun::start(url, "beat", &token, &wish))
        .collect();
    for run in &runs {
        run.wait("the first points", PATIENCE, |changes| {
            let points = changes.iter().filter_map(|change| change.point()).count();
            (points >= SESSIONS).then_some(())
        });
    }
    let began = Instant::now();
    while began.elapsed() < TIME {
        fleet.publish();
        std::thread::sleep(PAUSE);
    }
    let took = began.elapsed();
    let sent = fleet.members().next().expect("a session").counter as usize;
    for run in &runs {
        wait::until("every point is shown", PATIENCE, || {
            let changes = run.changes();
            let points = changes.iter().filter_map(|change| change.point()).count();
            points == SESSIONS * sent
        });
        let changes = run.changes();
        assert!(changes.iter().all(|change| change.kind() != "skipped"));
        let mut batches: Vec<&str> = changes.iter().map(|change| change.text("cursor")).collect();
        batches.dedup();
        // One beat more at each end, and one batch whose lateness the next one made up for.
        let most = took.as_millis() / BEAT.as_millis() + 4;
        assert!(batches.len() as u128 <= most, "{} batches", batches.len());
        assert!(batches.len() >= 3, "{} batches", batches.len());
    }
}
