//! A phone changes its network in mid-stream, and a NAT forgets a mapping: the connection and its
//! shard stay, whichever shard the kernel would have chosen by the new addresses.
//!
//! The client is Python's aioquic, so that the server is not tested by the library it uses.

use std::time::Duration;

use serde_json::Value;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::Process;
use skein_tests::python::{self, Environment};
use skein_tests::reuse_port;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(a_foreign_client_keeps_its_connection_wherever_it_goes);

const SESSIONS: usize = 3;

/// Rounds of points around each move, and the pause between two: what is lost while the client is
/// between two addresses is still in the trails when it complains.
const ROUNDS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(30);

fn a_foreign_client_keeps_its_connection_wherever_it_goes(cores: Cores) {
    let Some(environment) = Environment::find("aioquic", "moves of a foreign QUIC client") else {
        return;
    };
    let places = reuse_port::find(cores.count(), 2).expect("sockets on loopback");
    let mut options = Options::new(cores);
    options.quic = Some(places.server);
    let server = Server::start_with(options);
    server.add_member("walk", "viewer");
    let mut fleet = Fleet::start(&server, "walk", SESSIONS);
    fleet.publish();
    fleet.settle();
    let mut phone = start_phone(&environment, &server);
    let mut rounds = 1;
    wait::until("the first points arrive", PATIENCE, || {
        points(&phone).len() == SESSIONS
    });
    let home = shard_of_connection(&server);
    for clients in &places.clients {
        for (how, address) in ["rebind", "migrate"].into_iter().zip(clients) {
            phone.say(&format!("{how} {} {}", address.ip(), address.port()));
            rounds = publish(&mut fleet, rounds);
            wait::until("every point arrives at the new address", PATIENCE, || {
                points(&phone).len() == SESSIONS * rounds as usize
            });
            assert_eq!(shard_of_connection(&server), home, "{how} to {address}");
        }
    }
    assert_eq!(count(&phone, "moved"), 2 * cores.count());
    assert_eq!(count(&phone, "skipped"), 0);
    assert_eq!(points(&phone), expected(&fleet));
    let metrics = server.metrics();
    assert_eq!(metrics.sum("skein_quic_packets_astray_total"), 0.0);
}

fn start_phone(environment: &Environment, server: &Server) -> Process {
    let mut command = environment.python();
    command.arg(python::file("skein_quic.py"));
    command.args(["--to", &server.ready.quic.to_string(), "--chat", "walk"]);
    command.args(["--token", &server.token("viewer")]);
    Process::start_talking("skein_quic.py", command)
}

/// Publishes some rounds; returns how many there were in all.
fn publish(fleet: &mut Fleet, before: u64) -> u64 {
    for _ in 0..ROUNDS {
        fleet.publish();
        std::thread::sleep(PAUSE);
    }
    before + ROUNDS
}

/// The shard that holds the only QUIC connection.
fn shard_of_connection(server: &Server) -> u32 {
    wait::until_some("one shard has one connection", PATIENCE, || {
        let by_shard = server.metrics().by_shard("skein_quic_connections");
        let mut holders = by_shard.iter().filter(|(_, count)| *count > 0.0);
        match (holders.next(), holders.next()) {
            (Some(&(shard, 1.0)), None) => Some(shard),
            _ => None,
        }
    })
}

fn changes(phone: &Process) -> Vec<Value> {
    let lines = phone.stdout.since(0);
    let read = |line: &String| serde_json::from_str(line).ok();
    lines.iter().filter_map(read).collect()
}

fn count(phone: &Process, kind: &str) -> usize {
    let changes = changes(phone);
    changes
        .iter()
        .filter(|change| change["type"] == kind)
        .count()
}

/// Session and counter of each point, as often as it was printed.
fn points(phone: &Process) -> Vec<(String, u64)> {
    let mut found: Vec<_> = changes(phone)
        .iter()
        .filter(|change| change["type"] == "point")
        .map(|change| {
            let session = change["session"].as_str().expect("a session").to_owned();
            (session, change["counter"].as_u64().expect("a counter"))
        })
        .collect();
    found.sort();
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
