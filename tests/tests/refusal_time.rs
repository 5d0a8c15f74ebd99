//! How long a refusal takes tells nobody whether a chat is there.
//!
//! Both kinds are asked for in turn, and what counts is the median of the ratios of neighbours: what
//! else the machine does meets both alike. It is tried until the median is known well enough to say
//! whether the kinds are apart; a machine so busy that this takes too long says nothing, and that is
//! said. What does not depend on time (same frames, same messages between shards) is tested in the
//! engine.

use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::server::Server;
use skein_tests::skip;

on_one_and_two_shards!(absent_and_forbidden_take_the_same_time);

/// Members of the chat: a look-up in a table of some size.
const MEMBERS: usize = 1_000;

/// How far the times may be apart, relatively.
const DIFFERENCE_MAX: f64 = 0.05;

/// Pairs of tries between two looks at the ratios.
const PAIRS: usize = 100;

/// Standard deviations around the median: beyond them lies one run of fifteen thousand, and a run looks
/// some dozens of times.
const DEVIATIONS: f64 = 4.0;

/// How long it is tried.
const TIME: Duration = Duration::from_secs(30);

fn refused_ns(server: &Server, chat: &str, token: &str) -> f64 {
    let asked = Request::new("GET", &format!("/v1/chats/{chat}/positions")).token(token);
    let begin = Instant::now();
    let answer = asked.send(server.ready.http);
    let took = begin.elapsed().as_nanos() as f64;
    assert_eq!(answer.status, 404, "{answer:?}");
    took
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

fn absent_and_forbidden_take_the_same_time(cores: Cores) {
    let server = Server::start(cores);
    let lines: String = (0..MEMBERS)
        .map(|number| format!("{{\"user\":\"user-{number}\",\"rights\":[\"watch\"]}}\n"))
        .collect();
    Request::new("POST", "/v1/chats/here/members")
        .text(&lines)
        .send(server.ready.control)
        .expect_success("members");
    let token = server.token("stranger");
    let forbidden = || refused_ns(&server, "here", &token);
    let absent = || refused_ns(&server, "gone", &token);
    let alike = 1.0 - DIFFERENCE_MAX..1.0 + DIFFERENCE_MAX;
    let mut ratios = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        for _ in 0..PAIRS / 2 {
            // Who goes first alternates.
            let first = forbidden();
            ratios.push(first / absent());
            let first = absent();
            ratios.push(forbidden() / first);
        }
        let (low, high) = median_within(&mut ratios);
        println!("{} pairs: {low:.3} to {high:.3}", ratios.len());
        assert!(
            low < alike.end && high > alike.start,
            "forbidden takes {low:.3} to {high:.3} of absent"
        );
        if alike.contains(&low) && alike.contains(&high) {
            return;
        }
    }
    skip::say("the time of a refusal", "this machine is too busy to tell");
}

#[test]
fn a_median_is_known_better_the_more_is_known() {
    let values = |count: usize| (0..count).map(move |it| it as f64 / count as f64);
    let (low, high) = median_within(&mut values(10_000).rev().collect::<Vec<_>>());
    assert_eq!((low, high), (0.48, 0.52));
    let (low, high) = median_within(&mut values(4).collect::<Vec<_>>());
    assert_eq!((low, high), (0.0, 0.75), "nothing is known");
}
