//! Batches get onto WebSockets in the way that the configuration names, and the same arrives in each.

use skein_server::edge::send_ring::SendRing;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, position_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{self, Server};
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket::Options;
use skein_wire::request::Delivery;

on_one_and_two_shards!(by_io_uring, one_by_one);

/// Who shares.
const SESSIONS: usize = 50;
/// Who watches: enough that batches are gathered on each shard.
const VIEWERS: usize = 24;
/// Points of each session.
const POINTS: u64 = 20;

/// Batches that left, and those that left by a ring, of all shards.
fn offers(server: &Server) -> [f64; 2] {
    let metrics = server.metrics();
    let names = ["sent", "ring"].map(|name| format!("skein_websocket_offers_{name}_total"));
    names.map(|name| metrics.sum(&name))
}

/// The newest of every session reaches every viewer, on sockets as small as they come.
fn everybody_sees_everybody(cores: Cores, way: &str) -> Server {
    let server = Server::start_with(server::Options {
        configuration: format!("[shards]\nwebsocket_sends = \"{way}\"\n"),
        ..server::Options::new(cores)
    });
    let mut fleet = Fleet::start(&server, "crowd", SESSIONS);
    server
        .put_member("crowd", "viewer", &["watch"])
        .expect_success("a viewer");
    let token = server.token("viewer");
    let options = Options {
        receive_buffer: Some(4096),
        ..Options::default()
    };
    let mut viewers: Vec<Peer> = (0..VIEWERS)
        .map(|_| {
            let mut viewer = Peer::connect_with(server.ready.http, &token, &options);
            viewer.watch("crowd", None, Delivery::Latest);
            viewer
        })
        .collect();
    for _ in 0..POINTS {
        fleet.publish();
    }
    fleet.settle();
    for viewer in &mut viewers {
        sees(viewer, &fleet);
    }
    server
}

fn sees(viewer: &mut Peer, fleet: &Fleet) {
    let mut table = Table::default();
    let is_newest = |table: &Table| {
        fleet.members().all(|member| {
            let row = table.session(member.session);
            row.is_some_and(|row| row.counter == member.counter)
        })
    };
    while !is_newest(&table) {
        table.apply(viewer.batch(PATIENCE).expect("a batch"));
    }
    for member in fleet.members() {
        let row = table.session(member.session).expect("its newest point");
        let seen = row.points.last().expect("a point");
        let position = position_at(member.index, member.counter);
        assert_eq!(seen.position, Some(position));
    }
}

fn by_io_uring(cores: Cores) {
    if let Err(error) = SendRing::new() {
        skip::say("WebSockets by io_uring", &error.to_string());
        return;
    }
    let server = everybody_sees_everybody(cores, "io_uring");
    wait::until("most batches left by a ring", PATIENCE, || {
        let [sent, by_ring] = offers(&server);
        sent > 0.0 && by_ring > sent / 2.0
    });
}

fn one_by_one(cores: Cores) {
    let server = everybody_sees_everybody(cores, "write");
    wait::until("batches are counted", PATIENCE, || offers(&server)[0] > 0.0);
    assert_eq!(offers(&server)[1], 0.0);
}
