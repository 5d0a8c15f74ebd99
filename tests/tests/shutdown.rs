//! SIGTERM: everybody is told when to come back, and nothing is lost.

use std::time::Duration;

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Closed, Peer, Received};
use skein_tests::process;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::request::Delivery;
use skein_wire::update::{Goodbye, Update};

on_one_and_two_shards!(everybody_is_told_and_nothing_is_lost);

/// Viewers that are told.
const VIEWERS: usize = 10;

fn everybody_is_told_and_nothing_is_lost(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 8);
    server.add_member("hike", "viewer");
    let token = server.token("viewer");
    let mut viewers: Vec<Peer> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect(server.ready.http, &token);
            viewer.watch("hike", None, Delivery::Latest);
            viewer
        })
        .collect();
    let by_quic = WatchRun::start(&server.quic_url(), "hike", &token, &[]);
    for _ in 0..10 {
        fleet.publish();
    }
    fleet.settle();
    by_quic.wait("the chat", PATIENCE, |changes| {
        (changes.len() >= 8).then_some(())
    });

    server.stop().expect_success("skein serve after SIGTERM");
    for viewer in &mut viewers {
        let (goodbye, closed) = last_words(viewer);
        let goodbye = goodbye.expect("a goodbye before the end");
        assert_eq!(goodbye.code, Code::GoingAway);
        assert!(goodbye.retry_after_ms > 0, "when to come back: {goodbye:?}");
        assert_eq!(closed.protocol_code(), Some(Code::GoingAway), "{closed:?}");
    }
    let place = server.data_dir().display().to_string();
    process::run(["log", "verify", "--data-dir", &place]).expect_success("log verify");

    server.restart();
    let mut viewer = Peer::connect(server.ready.http, &token);
    viewer.watch("hike", None, Delivery::Latest);
    let mut table = Table::default();
    wait::until("every session's last point", PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(50)) {
            table.apply(batch);
        }
        fleet.members().all(|member| {
            let row = table.session(member.session);
            row.is_some_and(|row| row.counter == member.counter && !row.state.is_ended())
        })
    });
    let member = fleet.members().next().expect("a session").clone();
    let mut sender = Peer::connect(server.ready.http, &server.quick_token("sender-0"));
    let resumed = sender
        .try_resume("hike", member.session)
        .expect("it goes on");
    let next = resumed.counter_last.0 + 1;
    sender.point(resumed.share, point_at(member.index, next));
    let session = member.session.to_string();
    by_quic.wait("the point after the restart", PATIENCE, |_| {
        let points = by_quic.points_of(&session);
        points
            .last()
            .is_some_and(|point| point.counter == next)
            .then_some(())
    });
}

/// The goodbye, if there was one, and how the connection ended.
fn last_words(viewer: &mut Peer) -> (Option<Goodbye>, Closed) {
    let mut goodbye = None;
    loop {
        match viewer.receive(PATIENCE) {
            Some(Received::Update(Update::Goodbye(said))) => goodbye = Some(said),
            Some(Received::Update(_)) => {}
            Some(Received::Closed(closed)) => return (goodbye, closed),
            None => panic!("the connection is still open"),
        }
    }
}
