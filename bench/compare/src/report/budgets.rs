//! What the project wants of its figures, whether they keep to it, and why not where they don't.
//!
//! A budget is the design's; the figures are those of the page's runs. A budget that is missed stays in
//! the table and is marked.

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

/// Whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Met(f64),
    Missed(f64),
    /// Not measured, or measured beside a floor that was off its range.
    Unknown,
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

    fn verdict(&self, results: &Results, ratios: &BTreeMap<String, Ratio>) -> Verdict {
        let measured = match self.bounded {
            Bounded::Ratio(name) => ratios
                .get(name)
                .filter(|ratio| !ratio.flagged)
                .and_then(|ratio| ratio.ratio),
            Bounded::Value(name) => ratios.get(name).map(|ratio| ratio.ours),
            Bounded::Beside(name, other) => {
                let published = |name| ratios.get(name).filter(|it: &&Ratio| !it.flagged);
                let both = published(name).zip(published(other));
                both.map(|(one, other)| one.ours / other.ours)
            }
            Bounded::Lead(measure, peer) => lead_over(results, measure, peer),
        };
        match (measured, self.bound) {
            (None, _) => Verdict::Unknown,
            (Some(value), AtLeast(least)) if value >= least => Verdict::Met(value),
            (Some(value), AtMost(most)) if value <= most => Verdict::Met(value),
            (Some(value), _) => Verdict::Missed(value),
        }
    }

    /// The spread of the ratio, if the bound lies within it: the middle alone decides then.
    fn spread_over_bound(&self, ratios: &BTreeMap<String, Ratio>) -> Option<[f64; 2]> {
        let Bounded::Ratio(name) = self.bounded else {
            return None;
        };
        let (AtLeast(bound) | AtMost(bound)) = self.bound;
        let [low, high] = ratios.get(name)?.stated_spread()?;
        (low..high).contains(&bound).then_some([low, high])
    }

    fn unit<'a>(&self, ratios: &'a BTreeMap<String, Ratio>) -> &'a str {
        match self.bounded {
            Bounded::Value(name) => ratios.get(name).map_or("", |ratio| &ratio.unit),
            Bounded::Ratio(_) | Bounded::Beside(..) | Bounded::Lead(..) => "x",
        }
    }
}

/// How many times better than a peer skein's WebSocket is, by the middles.
fn lead_over(results: &Results, measure: Measure, peer: &str) -> Option<f64> {
    let ours = results.figure("skein", measure)?.median;
    let theirs = results.figure(peer, measure)?.median;
    Some(match measure.less_is_better() {
        true => theirs / ours,
        false => ours / theirs,
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

/// The section: a table, and a sentence on each budget that is missed.
pub fn section(
    out: &mut String,
    results: &Results,
    ratios: &BTreeMap<String, Ratio>,
    reading: &Reading,
) {
    let verdicts = BUDGETS.iter().map(|it| (it, it.verdict(results, ratios)));
    let verdicts: Vec<_> = verdicts.collect();
    let missed = |verdict: &Verdict| matches!(verdict, Verdict::Missed(_));
    let known = verdicts.iter().filter(|(_, it)| *it != Verdict::Unknown);
    let _ = writeln!(
        out,
        "## Against its budgets\n\nWhat the design asks for on two cores over loopback, by the figures of this \
         page. {} of {} are kept. Where the bound lies within the spread of the blocks, the spread is beside the \
         middle, which decides.\n\n| what | figure | budget | measured | |\n|---|---|---|---|---|",
        known.clone().filter(|(_, it)| !missed(it)).count(),
        known.count(),
    );
    for (budget, verdict) in &verdicts {
        let unit = budget.unit(ratios);
        let bound = match budget.bound {
            AtLeast(least) => format!("at least {}", amount(least, unit)),
            AtMost(most) => format!("at most {}", amount(most, unit)),
        };
        let (measured, word) = match verdict {
            Verdict::Met(value) => (amount(*value, unit), "kept"),
            Verdict::Missed(value) => (amount(*value, unit), "**missed**"),
            Verdict::Unknown => (String::new(), "not measured"),
        };
        let spread = budget
            .spread_over_bound(ratios)
            .filter(|_| !measured.is_empty());
        let spread = spread.map(|[low, high]| format!(" ({low:.2} to {high:.2})"));
        let word = match &spread {
            Some(_) => format!("{word}, by the middle"),
            None => word.to_owned(),
        };
        let measured = measured + &spread.unwrap_or_default();
        let (what, figure) = (budget.what, budget.bounded);
        let _ = writeln!(out, "| {what} | {figure} | {bound} | {measured} | {word} |");
    }
    let _ = writeln!(out);
    for (budget, _) in verdicts.iter().filter(|(_, verdict)| missed(verdict)) {
        let why = reading.about(budget.key(), Case::Loses);
        let why = why.unwrap_or("why is not known yet.");
        let _ = writeln!(out, "**{}**, missed: {why}\n", budget.bounded);
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

    use super::{BUDGETS, Bound, Bounded, Budget, Verdict, section};
    use crate::figure::Measure;
    use crate::report::ratios::Ratio;
    use crate::report::reading::Reading;
    use crate::results::{Results, of_values};

    fn results() -> Results {
        let values = [("skein", [2.0, 2.0]), ("redis", [4.0, 4.0])];
        of_values(&values, Measure::LastViewerP50)
    }

    fn one(name: &str, ours: f64, ratio: f64, flagged: bool) -> BTreeMap<String, Ratio> {
        let text = format!(
            r#"{{"{name}": {{"ours": {ours}, "unit": "us", "floor": 1, "ratio": {ratio}, "spread": [1, 2],
            "flagged": {flagged}}}}}"#
        );
        serde_json::from_str(&text).expect("ratios")
    }

    fn verdict(bounded: Bounded, bound: Bound, ratios: &BTreeMap<String, Ratio>) -> Verdict {
        let budget = Budget {
            what: "",
            bounded,
            bound,
        };
        budget.verdict(&results(), ratios)
    }

    #[test]
    fn a_bound_itself_is_kept_and_what_was_not_measured_is_not() {
        let ratios = one("a", 7.0, 1.5, false);
        let met = Verdict::Met(1.5);
        assert_eq!(
            verdict(Bounded::Ratio("a"), Bound::AtLeast(1.5), &ratios),
            met
        );
        assert_eq!(
            verdict(Bounded::Ratio("a"), Bound::AtMost(1.5), &ratios),
            met
        );
        let missed = Verdict::Missed(7.0);
        assert_eq!(
            verdict(Bounded::Value("a"), Bound::AtMost(6.9), &ratios),
            missed
        );
        assert_eq!(
            verdict(Bounded::Value("a"), Bound::AtLeast(7.1), &ratios),
            missed
        );
        let unknown = Verdict::Unknown;
        assert_eq!(
            verdict(Bounded::Ratio("b"), Bound::AtMost(9.0), &ratios),
            unknown
        );
        let flagged = one("a", 7.0, 1.5, true);
        assert_eq!(
            verdict(Bounded::Ratio("a"), Bound::AtMost(9.0), &flagged),
            unknown
        );
        let lead = |peer| Bounded::Lead(Measure::LastViewerP50, peer);
        assert_eq!(verdict(lead("nats"), Bound::AtLeast(1.0), &ratios), unknown);
        let twice = Verdict::Met(2.0);
        assert_eq!(verdict(lead("redis"), Bound::AtLeast(1.6), &ratios), twice);
    }

    #[test]
    fn a_missed_budget_is_marked_and_explained() {
        let reading = "## stall_worst_us\nloses: the machine takes the core away.";
        let reading = Reading::parse(reading).expect("a reading");
        let mut out = String::new();
        let ratios = one("stall_worst_us", 1_380.0, 1.0, false);
        section(&mut out, &results(), &ratios, &reading);
        assert!(
            out.contains("| at most 1.00 ms | 1.38 ms | **missed** |"),
            "{out}"
        );
        assert!(
            out.contains("missed: the machine takes the core away."),
            "{out}"
        );
        assert_eq!(
            out.matches("not measured").count(),
            BUDGETS.len() - 2,
            "{out}"
        );
        assert!(out.contains("1 of 2 are kept"), "{out}");
    }
}
