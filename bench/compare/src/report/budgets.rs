//! What the project wants of its figures, whether they keep to it, and why not where they don't.
//!
//! A budget is the design's; the figures are those of the page's runs. What decides is the interval in
//! which the figure lies, not its middle: where the bound is inside, it cannot be told. A budget that is
//! missed stays in the table and is marked.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::figure::Measure;
use crate::report::ratios::Ratio;
use crate::report::reading::{Case, Reading};
use crate::results::Results;
use crate::table::Amount;

/// What a budget bounds.
#[derive(Clone, Copy, Debug)]
enum Bounded {
    /// The ratio of a figure of `cargo bench` to its floor.
    Ratio(&'static str),
    /// Such a figure itself.
    Value(&'static str),
    /// Such a figure, as a part of another one of the same unit.
    Beside(&'static str, &'static str),
    /// How many times better than a peer skein is in a measure of `compare`.
    Lead(Measure, &'static str),
}

/// How.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the design's list.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    what: &'static str,
    bounded: Bounded,
    bound: Bound,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    value: f64,
    /// Where the true value lies; a single value stands for itself.
    interval: [f64; 2],
    /// Nothing stands against it.
    is_sound: bool,
}

/// Whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept,
    Missed,
    /// The bound lies within the interval, or something stands against the figure.
    Unclear,
    /// Not measured, or measured beside a floor that was off its range.
    Unknown,
}

impl Measured {
    /// A figure that was measured, by its interval or by itself.
    fn new(value: f64, interval: Option<[f64; 2]>) -> Self {
        Self {
            value,
            interval: interval.unwrap_or([value, value]),
            is_sound: true,
        }
    }

    /// The quotient of two: between those of the ends that are furthest apart.
    fn by(self, other: Self) -> Self {
        let ([low, high], [other_low, other_high]) = (self.interval, other.interval);
        Self {
            value: self.value / other.value,
            interval: [low / other_high, high / other_low],
            is_sound: self.is_sound && other.is_sound,
        }
    }
}

impl Bound {
    fn verdict(self, measured: Measured) -> Verdict {
        let [low, high] = measured.interval;
        let (kept, missed) = match self {
            AtLeast(least) => (low >= least, high < least),
            AtMost(most) => (high <= most, low > most),
        };
        match (kept, missed) {
            _ if !measured.is_sound => Verdict::Unclear,
            (true, _) => Verdict::Kept,
            (_, true) => Verdict::Missed,
            _ => Verdict::Unclear,
        }
    }
}

const fn ratio(what: &'static str, name: &'static str, bound: Bound) -> Budget {
    Budget {
        what,
        bounded: Bounded::Ratio(name),
        bound,
    }
}

const fn value(what: &'static str, name: &'static str, bound: Bound) -> Budget {
    Budget {
        what,
        bounded: Bounded::Value(name),
        bound,
    }
}

const fn lead(what: &'static str, measure: Measure, peer: &'static str, times: f64) -> Budget {
    Budget {
        what,
        bounded: Bounded::Lead(measure, peer),
        bound: AtLeast(times),
    }
}

use Bound::{AtLeast, AtMost};

/// All of them, in the design's order.
pub const BUDGETS: &[Budget] = &[
    ratio(
        "append of 64 bytes in batches of 64, payload bytes of bulk memcpy",
        "log_append_64B_batched",
        AtLeast(0.17),
    ),
    ratio(
        "sustained append, of raw flush bandwidth",
        "log_sustained",
        AtLeast(0.8),
    ),
    value(
        "longest append meanwhile",
        "log_sustained_stall_worst_us",
        AtMost(1_000.0),
    ),
    ratio(
        "durable append of 4 KiB, p50",
        "log_durable_p50",
        AtMost(1.25),
    ),
    ratio("the same, p99", "log_durable_p99", AtMost(2.0)),
    ratio(
        "the same, throughput",
        "log_durable_throughput",
        AtLeast(0.8),
    ),
    ratio(
        "durable append of 64 KiB, p50",
        "log_durable_64KiB_p50",
        AtMost(1.25),
    ),
    ratio("the same, p99", "log_durable_64KiB_p99", AtMost(2.0)),
    ratio(
        "durable append of 1 MiB, p50",
        "log_durable_1MiB_p50",
        AtMost(1.25),
    ),
    ratio("the same, p99", "log_durable_1MiB_p99", AtMost(2.0)),
    Budget {
        what: "verified read, of the rate of appends",
        bounded: Bounded::Beside("log_read_verified", "log_append_64B_batched"),
        bound: AtLeast(1.0),
    },
    value(
        "passes that start within 20 ms after a sync, p99",
        "stall_after_sync_p99_us",
        AtMost(100.0),
    ),
    value("the longest of 60 s", "stall_worst_us", AtMost(1_000.0)),
    ratio(
        "publication to the first viewer, idle, one shard, beside a bare epoll server",
        "first_viewer_p50",
        AtMost(1.1),
    ),
    ratio(
        "publication to the last of 1,000 WebSocket viewers, beside the loop of sends",
        "last_of_1000_p50",
        AtMost(0.9),
    ),
    lead(
        "the same beside Redis",
        Measure::LastViewerP50,
        "redis",
        1.6,
    ),
    lead("the same beside NATS", Measure::LastViewerP50, "nats", 2.5),
    ratio(
        "WebSocket fan-out to 10,000 viewers, of the loop of sends",
        "fanout_ws_10k",
        AtLeast(0.9),
    ),
    ratio(
        "the same by io_uring, of the same loop",
        "fanout_ws_10k_uring",
        AtLeast(1.1),
    ),
    ratio(
        "the same over TLS, of the same loop with rustls",
        "fanout_wss_10k",
        AtLeast(0.9),
    ),
    ratio(
        "32 pending points of 32 sessions to 10,000 viewers, of the loop of sends",
        "fanout_ws_10k_backlog32",
        AtLeast(20.0),
    ),
    lead(
        "positions delivered at saturation beside Redis",
        Measure::Delivered,
        "redis",
        2.0,
    ),
    value(
        "positions applied per second of server CPU, 10,000 viewers",
        "positions_per_cpu_s",
        AtLeast(60e6),
    ),
    value("their mean age", "positions_age_ms", AtMost(600.0)),
    ratio(
        "QUIC fan-out to 5,000 viewers per second of server CPU, of stock quinn",
        "fanout_quic_5k_vs_quinn",
        AtLeast(2.0),
    ),
    value(
        "bytes per position in large batches",
        "bytes_per_row",
        AtMost(11.0),
    ),
    value(
        "the same with heading, speed, accuracy",
        "bytes_per_row_full",
        AtMost(14.0),
    ),
    value(
        "memory per idle WebSocket viewer",
        "memory_ws_viewer_bytes",
        AtMost(512.0),
    ),
    value(
        "the same over TLS",
        "memory_wss_viewer_bytes",
        AtMost(8_192.0),
    ),
    value(
        "the same over QUIC",
        "memory_quic_viewer_bytes",
        AtMost(20_000.0),
    ),
];

impl Budget {
    /// The key under which the reading says why it is missed.
    pub fn key(&self) -> &'static str {
        match self.bounded {
            Bounded::Ratio(name) | Bounded::Value(name) | Bounded::Beside(name, _) => name,
            Bounded::Lead(_, peer) => peer,
        }
    }

    fn measured(&self, results: &Results, ratios: &BTreeMap<String, Ratio>) -> Option<Measured> {
        let published = |name| ratios.get(name).filter(|ratio: &&Ratio| !ratio.flagged);
        match self.bounded {
            Bounded::Ratio(name) => published(name).and_then(of_ratio),
            Bounded::Value(name) => published(name).map(of_value),
            Bounded::Beside(name, other) => {
                let (one, other) = published(name).zip(published(other))?;
                Some(of_value(one).by(of_value(other)))
            }
            Bounded::Lead(measure, peer) => lead_over(results, measure, peer),
        }
    }

    fn unit<'a>(&self, ratios: &'a BTreeMap<String, Ratio>) -> &'a str {
        match self.bounded {
            Bounded::Value(name) => ratios.get(name).map_or("", |ratio| &ratio.unit),
            Bounded::Ratio(_) | Bounded::Beside(..) | Bounded::Lead(..) => "x",
        }
    }
}

fn of_ratio(ratio: &Ratio) -> Option<Measured> {
    let interval = ratio.stated_interval();
    Some(Measured {
        // Without an interval nobody knows how sure it is.
        is_sound: ratio.is_sound() && interval.is_some(),
        ..Measured::new(ratio.ratio?, interval)
    })
}

fn of_value(ratio: &Ratio) -> Measured {
    Measured {
        is_sound: ratio.is_sound(),
        ..Measured::new(ratio.ours, ratio.ours_interval)
    }
}

/// How many times better than a peer skein's WebSocket is, each by the repeats.
fn lead_over(results: &Results, measure: Measure, peer: &str) -> Option<Measured> {
    let of = |peer| {
        let figure = results.figure(peer, measure)?;
        Some(Measured::new(
            figure.median,
            Some([figure.low, figure.high]),
        ))
    };
    let (ours, theirs) = (of("skein")?, of(peer)?);
    Some(match measure.less_is_better() {
        true => theirs.by(ours),
        false => ours.by(theirs),
    })
}

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(name) => write!(f, "`{name}`, ratio"),
            Self::Value(name) => write!(f, "`{name}`"),
            Self::Beside(name, other) => write!(f, "`{name}` by `{other}`"),
            Self::Lead(_, peer) => write!(f, "`compare --only skein,{peer}`"),
        }
    }
}

/// A budget, and what became of it.
struct Judged<'a> {
    budget: &'a Budget,
    measured: Option<Measured>,
    verdict: Verdict,
    unit: &'a str,
}

impl<'a> Judged<'a> {
    fn new(budget: &'a Budget, results: &Results, ratios: &'a BTreeMap<String, Ratio>) -> Self {
        let measured = budget.measured(results, ratios);
        Self {
            budget,
            measured,
            verdict: measured.map_or(Verdict::Unknown, |it| budget.bound.verdict(it)),
            unit: budget.unit(ratios),
        }
    }

    /// The value, and the interval where there is one.
    fn measured(&self) -> String {
        let Some(Measured {
            value, interval, ..
        }) = self.measured
        else {
            return String::new();
        };
        let value = amount(value, self.unit);
        match interval {
            [low, high] if low == high => value,
            ends => {
                let [low, high] = ends.map(|end| amount(end, self.unit));
                format!("{value} ({low} to {high})")
            }
        }
    }
}

/// A row of the table.
impl fmt::Display for Judged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, figure) = (self.budget.what, self.budget.bounded);
        let bound = match self.budget.bound {
            AtLeast(least) => format!("at least {}", amount(least, self.unit)),
            AtMost(most) => format!("at most {}", amount(most, self.unit)),
        };
        let (measured, verdict) = (self.measured(), self.verdict);
        write!(
            f,
            "| {what} | {figure} | {bound} | {measured} | {verdict} |"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Missed => "**missed**",
            Self::Unclear => "cannot be told",
            Self::Unknown => "not measured",
        })
    }
}

/// The section: a table, and a sentence on each budget that is missed.
pub fn section(
    out: &mut String,
    results: &Results,
    ratios: &BTreeMap<String, Ratio>,
    reading: &Reading,
) {
    let all = BUDGETS.iter().map(|it| Judged::new(it, results, ratios));
    let all: Vec<Judged<'_>> = all.collect();
    let count = |verdict| all.iter().filter(|it| it.verdict == verdict).count();
    let _ = writeln!(
        out,
        "## Against its budgets\n\nWhat the design asks for on two cores over loopback, by the figures of this \
         page: {} are kept, {} are missed, {} cannot be told, {} were not measured. In parentheses is where the \
         figure itself lies: for a ratio the 95 % interval of the median of its blocks by a bootstrap of set-ups \
         and their blocks (`bench/src/interval.rs`), and at least 3 % either side, by which two processes of one \
         build differ; for what was repeated, from the least to the largest. A budget is kept or missed where all \
         of that is on one side of the bound; else, and where something stands against the figure (see *Beside its \
         floors*), it cannot be told. A figure without parentheses was measured once, and stands for itself.\n\n\
         | what | figure | budget | measured | |\n|---|---|---|---|---|",
        count(Verdict::Kept),
        count(Verdict::Missed),
        count(Verdict::Unclear),
        count(Verdict::Unknown),
    );
    for judged in &all {
        let _ = writeln!(out, "{judged}");
    }
    let _ = writeln!(out);
    for judged in all.iter().filter(|it| it.verdict == Verdict::Missed) {
        let why = reading.about(judged.budget.key(), Case::Loses);
        let why = why.unwrap_or("why is not known yet.");
        let _ = writeln!(out, "**{}**, missed: {why}\n", judged.budget.bounded);
    }
    let _ = writeln!(
        out,
        "Not in this table: the restart with 10 GiB and 100,000 sessions, which takes long (`cargo run --release -p \
         skein-bench --bin restart`); a shard that polls, and a viewer on another shard than the sender's, beside the \
         bare loop (`SKEIN_FULL=1 cargo test --release -p skein-tests --test leading_edge -- --nocapture` prints both); \
         100,000 viewers of one chat, see below.\n"
    );
}

/// Ratios in full, all else as in the tables.
fn amount(value: f64, unit: &str) -> String {
    match unit {
        "x" => format!("{value:.2}"),
        _ => Amount(value, unit).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{BUDGETS, Bound, Bounded, Budget, Judged, Verdict, section};
    use crate::figure::Measure;
    use crate::report::ratios::Ratio;
    use crate::report::reading::Reading;
    use crate::results::{Results, of_values};

    use Verdict::{Kept, Missed, Unclear, Unknown};

    fn results() -> Results {
        let values = [("skein", [2.0, 2.5]), ("redis", [4.0, 5.0])];
        of_values(&values, Measure::LastViewerP50)
    }

    fn ratios(text: &str) -> BTreeMap<String, Ratio> {
        serde_json::from_str(&format!("{{{text}}}")).expect("ratios")
    }

    /// One with an interval from 1.4 to 1.7, our value from 6 to 9.
    fn one(name: &str, more: &str) -> String {
        format!(
            r#""{name}": {{"ours": 7, "unit": "us", "floor": 1, "ratio": 1.5, "spread": [1, 2],
            "interval": [1.4, 1.7], "ours_interval": [6, 9]{more}}}"#
        )
    }

    fn verdict(bounded: Bounded, bound: Bound, text: &str) -> Verdict {
        let budget = Budget {
            what: "",
            bounded,
            bound,
        };
        Judged::new(&budget, &results(), &ratios(text)).verdict
    }

    #[test]
    fn what_decides_is_the_interval_and_not_the_middle() {
        use Bound::{AtLeast, AtMost};
        use Bounded::{Beside, Lead, Ratio, Value};
        let redis = Lead(Measure::LastViewerP50, "redis");
        for (bounded, kept, missed, unclear) in [
            (Ratio("a"), AtLeast(1.4), AtLeast(1.71), AtLeast(1.45)),
            (Ratio("a"), AtMost(1.7), AtMost(1.39), AtMost(1.65)),
            (Value("a"), AtLeast(6.0), AtLeast(9.1), AtLeast(6.1)),
            (Value("a"), AtMost(9.0), AtMost(5.9), AtMost(8.9)),
            // From 6 / 9 to 9 / 6.
            (Beside("a", "b"), AtLeast(0.66), AtLeast(1.51), AtLeast(1.0)),
            // From 4 / 2.5 to 5 / 2.
            (redis, AtLeast(1.6), AtLeast(2.6), AtLeast(1.7)),
        ] {
            let text = format!("{}, {}", one("a", ""), one("b", ""));
            for (bound, expected) in [(kept, Kept), (missed, Missed), (unclear, Unclear)] {
                let found = verdict(bounded, bound, &text);
                assert_eq!(found, expected, "{bounded} {bound:?}");
            }
        }
    }

    #[test]
    fn what_is_not_known_or_not_sound_is_neither_kept_nor_missed() {
        let kept = Bound::AtLeast(1.0);
        for (text, of_ratio, of_value) in [
            (one("a", ""), Kept, Kept),
            (one("b", ""), Unknown, Unknown),
            (one("a", r#", "flagged": true"#), Unknown, Unknown),
            (one("a", r#", "doubts": ["few_blocks"]"#), Unclear, Unclear),
            (
                one("a", r#", "doubts": ["middles_apart"]"#),
                Unclear,
                Unclear,
            ),
            // A value that was measured once stands for itself; a ratio has to say how sure it is.
            (
                r#""a": {"ours": 7, "unit": "us", "ratio": 1.5}"#.to_owned(),
                Unclear,
                Kept,
            ),
        ] {
            assert_eq!(
                verdict(Bounded::Ratio("a"), kept, &text),
                of_ratio,
                "{text}"
            );
            assert_eq!(
                verdict(Bounded::Value("a"), kept, &text),
                of_value,
                "{text}"
            );
        }
        let nats = Bounded::Lead(Measure::LastViewerP50, "nats");
        assert_eq!(verdict(nats, kept, ""), Unknown);
    }

    #[test]
    fn a_missed_budget_is_marked_and_explained() {
        let reading = "## stall_worst_us\nloses: the machine takes the core away.";
        let reading = Reading::parse(reading).expect("a reading");
        let mut out = String::new();
        let missed = r#""stall_worst_us": {"ours": 1380, "unit": "us"}"#;
        let text = format!(
            "{missed}, {}",
            one("fanout_wss_10k", r#", "doubts": ["few_blocks"]"#)
        );
        section(&mut out, &results(), &ratios(&text), &reading);
        assert!(
            out.contains("| at most 1.00 ms | 1.38 ms | **missed** |"),
            "{out}"
        );
        assert!(
            out.contains("missed: the machine takes the core away."),
            "{out}"
        );
        assert!(
            out.contains("| at least 0.90 | 1.50 (1.40 to 1.70) | cannot be told |"),
            "{out}"
        );
        // And redis, from 1.6 on, which is the bound itself.
        let counts = format!(
            "1 are kept, 1 are missed, 1 cannot be told, {} were",
            BUDGETS.len() - 3
        );
        assert!(out.contains(&counts), "{out}");
    }
}
