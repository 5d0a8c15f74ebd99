//! `skein demo`: the main job in one process, with an end in good order.

use std::time::Duration;

use rustix::process::Signal;
use skein_tests::process::{Ended, Process};
use skein_tests::wait::PATIENCE;

/// Words of the summary that a user looks for.
const SUMMARY: &[&str] = &["shared", "delivered", "p50", "p99"];

fn assert_summary(ended: Ended) {
    let ended = ended.expect_success("skein demo");
    let text = format!("{}\n{}", ended.stdout, ended.stderr).to_lowercase();
    for word in SUMMARY {
        assert!(text.contains(word), "no `{word}` in the summary:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn it_ends_by_itself_with_a_summary() {
    let mut demo = Process::skein("skein demo", ["demo", "--duration", "5", "--walkers", "5"]);
    assert_summary(demo.wait(PATIENCE));
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
    assert_summary(demo.wait(PATIENCE));
}
