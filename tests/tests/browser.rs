//! Pages in a real browser share and watch over WebTransport, as our own clients do.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use skein_tests::browser::{self, Browser, Pages};
use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;

on_one_and_two_shards!(
    a_page_watches_and_comes_back_with_its_cursor,
    a_page_shares_on_all_three_ways,
);

/// More than a datagram holds in a full batch.
const SESSIONS: usize = 60;

const ROUNDS: u64 = 15;
const PAUSE: Duration = Duration::from_millis(40);

/// A server that welcomes these pages.
fn start(cores: Cores, welcome: &[&Pages]) -> Server {
    let mut options = Options::new(cores);
    let origins: Vec<_> = welcome.iter().map(|pages| pages.origin()).collect();
    // A browser on a busy machine takes its time.
    let linger = "[shards]\nstop_linger_ms = 5000";
    options.configuration = format!("[access]\norigins = {origins:?}\n{linger}\n");
    Server::start_with(options)
}

fn open(
    program: &PathBuf,
    pages: &Pages,
    server: &Server,
    user: &str,
    asked: &[(&str, &str)],
) -> Browser {
    let (to, token) = (server.ready.quic.to_string(), server.token(user));
    let mut all = vec![("to", to.as_str()), ("token", &token), ("chat", "walk")];
    all.push(("hash", &server.ready.browser_sha256));
    all.extend_from_slice(asked);
    Browser::open(program, pages, &all)
}

fn a_page_watches_and_comes_back_with_its_cursor(cores: Cores) {
    let Some(program) = browser::find("a page that watches") else {
        return;
    };
    let (pages, late, foreign) = (Pages::serve(), Pages::serve(), Pages::serve());
    let mut server = start(cores, &[&pages, &late]);
    server.add_member("walk", "viewer");
    let mut fleet = Fleet::start(&server, "walk", SESSIONS);
    fleet.publish();
    fleet.settle();
    let watch = [("do", "watch")];
    let _browser = open(&program, &pages, &server, "viewer", &watch);
    await_points(&pages, "the first points", SESSIONS);
    publish(&mut fleet);
    let complete = SESSIONS * (1 + ROUNDS as usize);
    await_points(&pages, "all points", complete);
    assert_eq!(points(&pages), expected(&fleet));

    // Who comes late has every session as it is now, at once.
    let latecomer = open(&program, &late, &server, "viewer", &watch);
    await_points(&late, "every session", SESSIONS);
    let newest: Vec<_> = expected(&fleet)
        .into_iter()
        .filter(|point| point.1 == 1 + ROUNDS)
        .collect();
    assert_eq!(points(&late), newest);
    drop(latecomer);
    // Whose page is not listed does not come at all.
    let stranger = open(&program, &foreign, &server, "viewer", &watch);
    wait::until("a foreign page is refused", PATIENCE, || {
        !foreign.told_of("lost").is_empty()
    });
    assert_eq!(foreign.told_of("watching"), Vec::<Value>::new());
    drop(stranger);
    drop(fleet);

    let streams = server
        .metrics()
        .sum("skein_webtransport_offers_stream_total");
    assert!(streams > 0.0, "{streams} streams");
    server.stop();
    wait::until("the page is told the end", PATIENCE, || {
        !pages.told_of("goodbye").is_empty()
    });
    let goodbye = &pages.told_of("goodbye")[0];
    assert_eq!(goodbye["code"], 1);
    assert!(goodbye["retry_after_ms"].as_u64().expect("a time") > 0);
    // Chromium tells the page of the end and of the end of its own process for the network on two ways, of
    // which now and then the second is faster. The capsule itself is looked for in `webtransport.rs`.
    for closed in pages.told_of("closed") {
        assert_eq!(closed["code"], 1, "{closed}");
    }
    server.restart();
    wait::until("the page is back", PATIENCE, || {
        pages.told_of("watching").len() == 2
    });
    let back = &pages.told_of("watching")[1];
    assert!(back["from"].as_u64().expect("an offset") > 0, "{back}");
    let mut few = Fleet::start_from(&server, "walk", SESSIONS, 2);
    publish(&mut few);
    await_points(
        &pages,
        "the points after the restart",
        complete + 2 * ROUNDS as usize,
    );
    assert_eq!(pages.told_of("resync"), Vec::<Value>::new());
    assert_eq!(pages.told_of("skipped"), Vec::<Value>::new());
    let datagrams = server
        .metrics()
        .sum("skein_webtransport_offers_datagram_total");
    assert!(datagrams > 0.0, "{datagrams} datagrams");

    server.remove_member("walk", "viewer");
    wait::until("the page is told that it may not watch", PATIENCE, || {
        !pages.told_of("watch_ended").is_empty()
    });
    let ended = &pages.told_of("watch_ended")[0];
    assert_eq!(ended["code"], Code::MembershipRevoked as u16);
}

fn a_page_shares_on_all_three_ways(cores: Cores) {
    let Some(program) = browser::find("a page that shares") else {
        return;
    };
    let pages = Pages::serve();
    let server = start(cores, &[&pages]);
    for user in ["viewer", "ben"] {
        server.add_member("walk", user);
    }
    let token = server.token("viewer");
    let watch = WatchRun::start(&server.quic_url(), "walk", &token, &[]);
    let asked = [("do", "share"), ("points", "20")];
    let _browser = open(&program, &pages, &server, "ben", &asked);
    let session = watch.wait_session_of("ben");
    wait::until("the page is done", PATIENCE, || {
        !pages.told_of("done").is_empty()
    });
    assert_eq!(pages.told_of("shared")[0]["session"], session.as_str());
    let seen = watch.wait("all points", PATIENCE, |_| {
        let points = watch.points_of(&session);
        (points.len() >= 60).then_some(points)
    });
    let counters: Vec<_> = seen.iter().map(|point| point.counter).collect();
    assert_eq!(counters, (1..=60).collect::<Vec<_>>());
    let places: Vec<_> = seen.iter().map(|point| point.lat_e6).collect();
    let expected: Vec<_> = (1..=60).map(|counter| 47_000_000 + counter * 100).collect();
    assert_eq!(places, expected);
    wait::until("the page's connection is gone", PATIENCE, || {
        server.metrics().sum("skein_webtransport_connections") == 0.0
    });
}

fn publish(fleet: &mut Fleet) {
    for _ in 0..ROUNDS {
        fleet.publish();
        std::thread::sleep(PAUSE);
    }
    fleet.settle();
}

fn await_points(pages: &Pages, what: &str, count: usize) {
    wait::until(&format!("the page sees {what}"), PATIENCE, || {
        pages.told_of("point").len() == count
    });
}

/// Session and counter of each point, in the order in which the page saw those of a session.
fn points(pages: &Pages) -> Vec<(String, u64)> {
    let mut found: Vec<_> = pages
        .told_of("point")
        .iter()
        .map(|change| {
            let session = change["session"].as_str().expect("a session").to_owned();
            (session, change["counter"].as_u64().expect("a counter"))
        })
        .collect();
    // Stable: what is out of order within a session stays so.
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn expected(fleet: &Fleet) -> Vec<(String, u64)> {
    let mut all: Vec<_> = fleet
        .members()
        .flat_map(|member| {
            let session = format!("{:016x}", member.session.0);
            (1..=member.counter).map(move |counter| (session.clone(), counter))
        })
        .collect();
    all.sort();
    all
}
