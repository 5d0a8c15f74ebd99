//! How long a refusal takes tells nobody whether a chat is there.
//!
//! Not run by itself: a figure of a busy machine is none. By hand, on a quiet one:
//! `cargo test --release -p skein-tests --test refusal_time -- --ignored --nocapture`. What does not
//! depend on time (same frames, same messages between shards) is tested in the engine at every run.

use std::time::Instant;

use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::server::Server;

/// Tries of each kind.
const TRIES: usize = 10_000;

/// Members of the chat: a look-up in a table of some size.
const MEMBERS: usize = 1_000;

/// How far the medians may be apart, relatively.
const DIFFERENCE_MAX: f64 = 0.05;

fn refused_ns(server: &Server, chat: &str, token: &str) -> u64 {
    let asked = Request::new("GET", &format!("/v1/chats/{chat}/positions")).token(token);
    let begin = Instant::now();
    let answer = asked.send(server.ready.http);
    let took = begin.elapsed().as_nanos() as u64;
    assert_eq!(answer.status, 404, "{answer:?}");
    took
}

fn median(values: &mut [u64]) -> f64 {
    values.sort_unstable();
    values[values.len() / 2] as f64
}

fn medians_are_alike(cores: Cores) {
    let server = Server::start(cores);
    let lines: String = (0..MEMBERS)
        .map(|number| format!("{{\"user\":\"user-{number}\",\"rights\":[\"watch\"]}}\n"))
        .collect();
    Request::new("POST", "/v1/chats/here/members")
        .text(&lines)
        .send(server.ready.control)
        .expect_success("members");
    let token = server.token("stranger");
    let chats = ["here", "gone"];
    let mut took = [Vec::with_capacity(TRIES), Vec::with_capacity(TRIES)];
    for number in 0..TRIES {
        // Who goes first alternates.
        for turn in 0..2 {
            let kind = (turn + number) % 2;
            took[kind].push(refused_ns(&server, chats[kind], &token));
        }
    }
    let [forbidden, absent] = took.each_mut().map(|values| median(values));
    let difference = (forbidden - absent).abs() / forbidden;
    let percent = 100.0 * difference;
    println!("forbidden {forbidden} ns, absent {absent} ns, apart {percent:.2} %");
    assert!(difference < DIFFERENCE_MAX);
}

/// Each with one shard and with two.
mod absent_and_forbidden_take_the_same_time {
    use skein_tests::cores::Cores;

    #[test]
    #[ignore = "a figure, for a quiet machine"]
    fn one_shard() {
        super::medians_are_alike(Cores::One);
    }

    #[test]
    #[ignore = "a figure, for a quiet machine"]
    fn two_shards() {
        super::medians_are_alike(Cores::Two);
    }
}
