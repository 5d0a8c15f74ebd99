//! `skein demo`: the main job in one process, with an end in good order.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use skein_tests::process::{Ended, Process};
use skein_tests::wait::PATIENCE;

/// The last line of a demo: `5 walkers shared 30 points, 30 reached the viewer; latency p50 …, p99 …`.
fn assert_summary(ended: Ended, walkers: u64) {
    let ended = ended.expect_success("skein demo");
    let last = ended.stdout.lines().last().unwrap_or_default().to_owned();
    let numbers: Vec<u64> = last
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [summed, shared, reached] = numbers[..] else {
        panic!("no summary: {last}\n{}", ended.stderr);
    };
    assert_eq!(summed, walkers, "{last}");
    assert!(shared >= walkers, "everybody has moved: {last}");
    assert!(reached > 0 && reached <= shared, "points arrived: {last}");
    for word in ["p50", "p99"] {
        assert!(last.contains(word), "no {word}: {last}");
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Where the tables show each walker, as they print it.
fn places(lines: &[String]) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut seen: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [user, _, lat, lon, ..] = words[..] else {
            continue;
        };
        if lat.parse::<f64>().is_ok() && lon.parse::<f64>().is_ok() {
            let place = (lat.to_owned(), lon.to_owned());
            seen.entry(user.to_owned()).or_default().insert(place);
        }
    }
    seen
}

#[test]
fn it_ends_by_itself_with_a_summary() {
    let mut demo = Process::skein("skein demo", ["demo", "--duration", "5", "--walkers", "5"]);
    assert_summary(demo.wait(PATIENCE), 5);
}

#[test]
fn positions_move_and_it_ends_on_interrupt_with_a_summary() {
    let mut demo = Process::skein("skein demo", ["demo", "--walkers", "3"]);
    let moved = demo.stdout.wait(PATIENCE, |lines| {
        let seen = places(lines);
        (seen.len() == 3 && seen.values().all(|places| places.len() > 1)).then_some(())
    });
    let seen = places(&demo.stdout.since(0));
    assert!(moved.is_some(), "not everybody moves: {seen:?}");
    demo.signal(Signal::INT);
    assert_summary(demo.wait(PATIENCE), 3);
}
