//! How long a refusal takes tells nobody whether a chat or a session is there.
//!
//! Both kinds are asked for in turn, ten thousand times each, on connections that are kept: nothing but the
//! refusal is measured. What counts is the median of the ratios of neighbours: what else the machine does
//! meets both alike. A machine so busy that the median is not known well enough, twice, says nothing, and
//! that is said. What does not depend on time (same frames, same messages between shards) is tested in the
//! engine.

use std::time::Instant;

use skein_engine::placement::partition_of;
use skein_tests::cores::Cores;
use skein_tests::http::{Line, Request};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_wire::error::Code;
use skein_wire::ids::SessionId;
use skein_wire::request::Delivery;

on_one_and_two_shards!(absent_and_forbidden_take_the_same_time);

/// Members of the chat: a look-up in a table of some size.
const MEMBERS: usize = 1_000;

/// How far the times may be apart, relatively.
const DIFFERENCE_MAX: f64 = 0.05;

/// Pairs of tries.
const PAIRS: usize = 10_000;

/// Of them on one connection: what it may ask without a pause (`REQUESTS_BURST_MAX`), two at a time.
const PAIRS_PER_CONNECTION: usize = 100;

/// Standard deviations around the median: beyond them lies one run of fifteen thousand.
const DEVIATIONS: f64 = 4.0;

/// How often it is tried on a machine that is too busy to tell.
const ATTEMPTS: usize = 2;

/// Partitions of the log unless said otherwise.
const PARTITIONS: u16 = 64;

/// The chat that is there.
const HERE: &str = "here";

/// A name of a chat that is not there, of the same length, whose owner would be the same shard.
fn gone() -> String {
    let shard = |chat: &str| partition_of(&name(chat), PARTITIONS).0 % 2;
    let mut names = (0..100).map(|number| format!("no{number:02}"));
    let found = names.find(|it| shard(it) == shard(HERE));
    found.expect("one in two")
}

/// Between which values the median lies of what the values are a sample of, whatever its shape: so many
/// values lie below a median as heads come up when coins are tossed.
fn median_within(values: &mut [f64]) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let (middle, count) = (values.len() / 2, values.len() as f64);
    let width = (DEVIATIONS * count.sqrt() / 2.0).ceil() as usize;
    let last = values.len() - 1;
    (
        values[middle.saturating_sub(width)],
        values[(middle + width).min(last)],
    )
}

/// Somebody who asks for what is forbidden (true) and for what is absent, and is refused.
type Asking<'a> = Box<dyn FnMut(bool) + 'a>;

/// Ratios of forbidden to absent; `open` makes a new connection.
fn ratios<'a>(mut open: impl FnMut() -> Asking<'a>) -> Vec<f64> {
    let mut ratios = Vec::with_capacity(PAIRS);
    while ratios.len() < PAIRS {
        let mut ask = open();
        let mut took = |forbidden| {
            let began = Instant::now();
            ask(forbidden);
            began.elapsed().as_nanos() as f64
        };
        for _ in 0..PAIRS_PER_CONNECTION / 2 {
            // Who goes first alternates.
            let first = took(true);
            ratios.push(first / took(false));
            let first = took(false);
            ratios.push(took(true) / first);
        }
    }
    ratios
}

fn takes_the_same_time<'a>(what: &str, mut open: impl FnMut() -> Asking<'a>) {
    let alike = 1.0 - DIFFERENCE_MAX..1.0 + DIFFERENCE_MAX;
    for _ in 0..ATTEMPTS {
        let (low, high) = median_within(&mut ratios(&mut open));
        println!("{what}: {low:.3} to {high:.3}");
        assert!(
            low < alike.end && high > alike.start,
            "{what}: forbidden takes {low:.3} to {high:.3} of absent"
        );
        if alike.contains(&low) && alike.contains(&high) {
            return;
        }
    }
    skip::say(what, "this machine is too busy to tell how long it takes");
}

fn absent_and_forbidden_take_the_same_time(cores: Cores) {
    let server = Server::start_with(Options {
        // What holds back who asks too often is not what is measured.
        configuration: "[limits]\nuser_requests_per_second_max = 0\n".to_owned(),
        ..Options::new(cores)
    });
    let lines: String = (0..MEMBERS)
        .map(|number| format!("{{\"user\":\"user-{number}\",\"rights\":[\"share\",\"watch\"]}}\n"))
        .collect();
    Request::new("POST", &format!("/v1/chats/{HERE}/members"))
        .text(&lines)
        .send(server.ready.control)
        .expect_success("members");
    let mut sharer = Peer::connect(server.ready.http, &server.token("user-1"));
    let session = sharer.share(HERE, 3_600, "walk").session;
    let (gone, guessed) = (gone(), SessionId(session.0 ^ 1));
    let (stranger, member) = (server.token("stranger"), server.token("user-2"));
    let chat = |forbidden| if forbidden { HERE } else { gone.as_str() };
    let connect = |token: &str| Peer::connect(server.ready.http, token);

    takes_the_same_time("a watch", || {
        let mut peer = connect(&stranger);
        Box::new(move |forbidden| {
            let refused = peer.try_watch(chat(forbidden), None, Delivery::Latest);
            assert_eq!(refused.expect_err("no right").code, Code::NotFound);
        })
    });
    takes_the_same_time("a resumed share of another chat", || {
        let mut peer = connect(&stranger);
        Box::new(move |forbidden| {
            let refused = peer.try_resume(chat(forbidden), session);
            assert_eq!(refused.expect_err("no right").code, Code::NotFound);
        })
    });
    takes_the_same_time("a resumed share of another member", || {
        let mut peer = connect(&member);
        Box::new(move |forbidden| {
            let asked = if forbidden { session } else { guessed };
            let refused = peer.try_resume(HERE, asked);
            assert_eq!(refused.expect_err("not hers").code, Code::NotFound);
        })
    });
    takes_the_same_time("positions by HTTP", || {
        let mut line = Line::open(server.ready.http).expect("connected");
        let ask = |chat: &str| {
            Request::new("GET", &format!("/v1/chats/{chat}/positions")).token(&stranger)
        };
        let (here, gone) = (ask(HERE), ask(&gone));
        Box::new(move |forbidden| {
            let answer = line.send(if forbidden { &here } else { &gone });
            assert_eq!(answer.expect("an answer").status, 404);
        })
    });
}

#[test]
fn a_median_is_known_better_the_more_is_known() {
    let values = |count: usize| (0..count).map(move |it| it as f64 / count as f64);
    let (low, high) = median_within(&mut values(10_000).rev().collect::<Vec<_>>());
    assert_eq!((low, high), (0.48, 0.52));
    let (low, high) = median_within(&mut values(4).collect::<Vec<_>>());
    assert_eq!((low, high), (0.0, 0.75), "nothing is known");
}
