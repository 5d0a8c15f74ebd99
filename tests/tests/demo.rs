//! `skein demo`: the main job in one process, with an end in good order.

use std::time::Duration;

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

#[test]
fn it_ends_by_itself_with_a_summary() {
    let mut demo = Process::skein("skein demo", ["demo", "--duration", "5", "--walkers", "5"]);
    assert_summary(demo.wait(PATIENCE), 5);
}

#[test]
fn it_ends_on_interrupt_with_a_summary() {
    let mut demo = Process::skein("skein demo", ["demo", "--walkers", "3"]);
    // It is at work once it prints its table.
    let began = demo
        .stdout
        .wait(PATIENCE, |lines| (lines.len() > 3).then_some(()));
    assert!(began.is_some(), "no output: {}", demo.stderr.text());
    std::thread::sleep(Duration::from_secs(1));
    demo.signal(Signal::INT);
    assert_summary(demo.wait(PATIENCE), 3);
}
