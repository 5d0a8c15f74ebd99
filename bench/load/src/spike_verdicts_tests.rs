//! Spikes that were made up: each claim holds of a good one, and fails where that claim alone is broken.

use std::collections::BTreeMap;

use clap::Parser;

use super::*;
use crate::args::{Cli, Command};
use crate::audience::AudienceResult;
use crate::latency::Percentiles;
use crate::measure::Findings;
use crate::schedule::SchedulePlan;
use crate::send_result::Verdicts;
use crate::tally::Tally;

/// Senders, viewers of each, points per second of each before the spike.
const SENDERS: u32 = 4;
const VIEWERS: u32 = 3;
const HZ: f64 = 5.0;

/// How long the spike lasts, and when it ends.
const SPIKE_S: f64 = 4.0;
const SPIKE_END_S: f64 = BEFORE_S + SPIKE_S;

/// When the run began.
const START_NS: u64 = 7 * SECOND_NS;

/// How late a point is that should be sent so many seconds after the beginning; `None`: it never comes.
type LateMs = fn(f64) -> Option<f64>;

/// Makes one of two right accounts wrong.
type Spoil = fn(&mut Verdicts, &mut Counted);

/// A run in which points are so late at the last viewer.
fn run(late_ms: LateMs) -> RunResult {
    let mut schedule = SchedulePlan::steady(SENDERS, HZ, 1.0);
    schedule.phases = phases(SPIKE_S);
    let times = Schedule::new(&schedule, START_NS);
    let mut tally = Tally::new(times.clone());
    for sender in 0..SENDERS {
        for counter in 1..=times.last(sender) {
            let intended_ns = times.intended_ns(sender, counter);
            let at_s = (intended_ns - START_NS) as f64 / SECOND_NS as f64;
            for viewer in 0..VIEWERS {
                // The last one is as late as it is said, the others are quick.
                let late = match viewer {
                    0 => late_ms(at_s),
                    _ => Some(1.0),
                };
                if let Some(late) = late {
                    let now_ns = intended_ns + nanos(late / 1_000.0);
                    tally.arrived(sender, counter - 1, counter, now_ns, true);
                }
            }
        }
    }
    let viewed = AudienceResult {
        tally: tally.counts(),
        ..AudienceResult::default()
    };
    RunResult {
        summary: crate::summary::Summary::default(),
        server: None,
        findings: Findings {
            start_ns: START_NS,
            viewed: vec![viewed],
            ..Findings::default()
        },
        schedule,
        steady_viewers: vec![VIEWERS; SENDERS as usize],
        chats: Vec::new(),
    }
}

fn commands(p99: &[f64]) -> CommandFigures {
    let names = ["put a member", "start a session", "list sessions"];
    let latency = |p99: &f64| Percentiles {
        p99: *p99,
        ..Percentiles::default()
    };
    CommandFigures {
        by_command: names.into_iter().zip(p99.iter().map(latency)).collect(),
        ..CommandFigures::default()
    }
}

fn normal(late_ms: LateMs, p99: &[f64]) -> Verdict {
    let result = run(late_ms);
    let windows = Windows::new(SPIKE_S, START_NS);
    normal_again(&Arrivals::new(&result), &windows, &commands(p99))
}

fn advance(late_ms: LateMs) -> Verdict {
    let result = run(late_ms);
    let window = Windows::new(SPIKE_S, START_NS).spike;
    points_advance(&result, &Arrivals::new(&result), &window)
}

fn in_spike(at_s: f64) -> bool {
    (BEFORE_S..SPIKE_END_S).contains(&at_s)
}

#[test]
fn each_command_has_to_be_answered_in_time() {
    for (p99, holds) in [
        (&[9.0, 99.0][..], true),
        (&[9.0, 101.0, 9.0], false),
        // One that was never given was not answered either.
        (&[], false),
    ] {
        let verdict = commands_answered(&commands(p99));
        assert_eq!(verdict.holds, holds, "{p99:?}: {}", verdict.found);
    }
}

#[test]
fn the_newest_point_has_to_advance_at_every_viewer() {
    let cases: [(&str, LateMs, bool); 5] = [
        ("quick", |_| Some(5.0), true),
        ("late, and yet moving", |_| Some(900.0), true),
        (
            "two seconds of silence in the spike",
            |at| {
                let left_ms = (BEFORE_S + 2.0 - at) * 1_000.0;
                Some(if in_spike(at) { left_ms.max(1.0) } else { 1.0 })
            },
            false,
        ),
        (
            "a viewer that gets nothing more",
            |at| (at < BEFORE_S).then_some(1.0),
            false,
        ),
        ("nothing at all", |_| None, false),
    ];
    for (what, late_ms, holds) in cases {
        let verdict = advance(late_ms);
        assert_eq!(verdict.holds, holds, "{what}: {}", verdict.found);
    }
}

#[test]
fn a_chat_without_viewers_has_nothing_that_could_advance() {
    let mut result = run(|_| None);
    result.steady_viewers.fill(0);
    let window = Windows::new(SPIKE_S, START_NS).spike;
    assert!(points_advance(&result, &Arrivals::new(&result), &window).holds);
}

#[test]
fn every_point_is_accounted_for_on_both_sides() {
    let right = Verdicts {
        accepted: 70,
        superseded: 20,
        refused: BTreeMap::from([("rate".to_owned(), 10)]),
        unknown: 0,
    };
    let counted = Counted {
        accepted: 70,
        superseded: 20,
    };
    let cases: [(&str, Spoil, bool); 6] = [
        ("right", |_, _| {}, true),
        ("one lost", |told, _| told.accepted -= 1, false),
        ("one told twice", |told, _| told.superseded += 1, false),
        (
            "nothing said of one",
            |told, _| {
                told.accepted -= 1;
                told.unknown += 1;
            },
            false,
        ),
        (
            "acknowledged, and not appended",
            |_, counted| counted.accepted -= 1,
            false,
        ),
        (
            "appended, and said to be superseded",
            |told, _| {
                told.accepted -= 1;
                told.superseded += 1;
            },
            false,
        ),
    ];
    for (what, spoil, holds) in cases {
        let (mut told, mut counted) = (right.clone(), counted);
        spoil(&mut told, &mut counted);
        let mut result = run(|_| Some(1.0));
        result.summary.sending.sent = 100;
        result.summary.verdicts = Some(told);
        let verdict = sums_agree(&result, counted);
        assert_eq!(verdict.holds, holds, "{what}: {}", verdict.found);
    }
}

#[test]
fn a_server_that_was_started_anew_has_counted_nothing() {
    let counted = |accepted| Counted {
        accepted,
        superseded: 0,
    };
    assert_eq!(counted(9).since(counted(4)).expect("more"), counted(5));
    assert!(counted(3).since(counted(4)).is_err());
}

#[test]
fn after_two_seconds_all_has_to_be_as_before() {
    let cases: [(&str, LateMs, &[f64], bool); 9] = [
        ("as before", |_| Some(5.0), &[9.0], true),
        (
            "late in the spike and in the two seconds",
            |at| {
                let late = in_spike(at) || (SPIKE_END_S..SPIKE_END_S + 1.0).contains(&at);
                Some(if late { 900.0 } else { 5.0 })
            },
            &[9.0],
            true,
        ),
        (
            "late afterwards",
            |at| Some(if at > SPIKE_END_S { 70.0 } else { 5.0 }),
            &[9.0],
            false,
        ),
        ("always as late", |_| Some(700.0), &[9.0], true),
        (
            "nothing comes afterwards",
            |at| (at < SPIKE_END_S).then_some(5.0),
            &[9.0],
            false,
        ),
        // New points are quick again, and those of the spike still come in.
        (
            "a backlog that nobody waits for",
            |at| {
                Some(if in_spike(at) {
                    4_000.0 + (SPIKE_END_S - at) * 1_000.0
                } else {
                    5.0
                })
            },
            &[9.0],
            false,
        ),
        (
            "some of the spike never come",
            |at| (!in_spike(at)).then_some(5.0),
            &[9.0],
            false,
        ),
        ("commands are slow", |_| Some(5.0), &[9.0, 150.0], false),
        ("no command was given", |_| Some(5.0), &[], false),
    ];
    for (what, late_ms, p99, holds) in cases {
        let verdict = normal(late_ms, p99);
        assert_eq!(verdict.holds, holds, "{what}: {}", verdict.found);
    }
}

#[test]
fn nothing_is_normal_where_nothing_came_before() {
    let verdict = normal(|at| (at > BEFORE_S).then_some(5.0), &[9.0]);
    assert!(!verdict.holds, "{}", verdict.found);
}

#[test]
fn a_loader_that_is_late_or_busy_is_told() {
    let line = ["skein-load", "spike", "--worker-cores", "0,1"];
    let Some(Command::Spike(args)) = Cli::parse_from(line).command else {
        panic!("a spike was asked for");
    };
    for (late_ms, cores, holds) in [(49.0, 1.0, true), (51.0, 1.0, false), (1.0, 1.9, false)] {
        let mut result = run(|_| Some(1.0));
        result.summary.lateness.p99 = late_ms;
        result.summary.worker_cores = cores;
        let verdict = loader_keeps_up(&args.load, &result);
        assert_eq!(verdict.holds, holds, "{}", verdict.found);
    }
}
