//! Whether a second run of `cargo bench` gives what the first one promised: each ratio's median
//! within the spread that the first run stated for it. A ratio that cannot be compared says nothing for the
//! runs; where many cannot, the answer is no.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::ratios::Ratio;

/// The share of the first run's ratios that must be compared at least, for "they repeat" to be said at all.
const COMPARED_LEAST: f64 = 0.9;

/// What became of one name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The second median lies within the spread of the first run.
    Repeats {
        /// First and second median.
        medians: [f64; 2],
        /// Of the first run.
        spread: [f64; 2],
    },
    /// It does not.
    Differs {
        /// First and second median.
        medians: [f64; 2],
        /// Of the first run.
        spread: [f64; 2],
    },
    /// One of the runs has not published it: its floor was off its range.
    Flagged,
    /// The runs measured it with different effort, so their spreads say different things.
    OtherEffort,
    /// Only the first run has it.
    Gone,
    /// Only the second run has it.
    New,
}

/// Two runs, name by name.
#[derive(Debug, Default)]
pub struct Repeats(Vec<(String, Verdict)>);

impl Repeats {
    /// Compares the ratios of two runs. A figure without a floor is no ratio and not compared.
    pub fn of(first: &BTreeMap<String, Ratio>, second: &BTreeMap<String, Ratio>) -> Self {
        let names = first.keys().chain(second.keys());
        let mut names: Vec<&String> = names.collect();
        names.sort_unstable();
        names.dedup();
        let verdict = |name: &String| {
            let verdict = verdict(first.get(name), second.get(name))?;
            Some((name.clone(), verdict))
        };
        Self(names.into_iter().filter_map(verdict).collect())
    }

    /// Whether enough was compared and all of it repeats.
    pub fn all(&self) -> bool {
        self.compares_enough() && self.count(Verdict::differs) == 0
    }

    /// Whether most of what the first run has was compared, and anything at all.
    fn compares_enough(&self) -> bool {
        let compared = self.count(Verdict::is_compared);
        compared > 0 && compared as f64 >= COMPARED_LEAST * self.of_first() as f64
    }

    /// Ratios of the first run.
    fn of_first(&self) -> usize {
        self.count(|verdict| *verdict != Verdict::New)
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.0.iter().filter(|(_, verdict)| is(verdict)).count()
    }
}

/// `None`: neither run has a ratio of it.
fn verdict(first: Option<&Ratio>, second: Option<&Ratio>) -> Option<Verdict> {
    let has_ratio = |ratio: &&Ratio| ratio.ratio.is_some();
    let (first, second) = match (first.filter(has_ratio), second.filter(has_ratio)) {
        (Some(first), Some(second)) => (first, second),
        (Some(_), None) => return Some(Verdict::Gone),
        (None, Some(_)) => return Some(Verdict::New),
        (None, None) => return None,
    };
    let (before, spread, after) = (first.ratio?, first.stated_spread()?, second.ratio?);
    let medians = [before, after];
    Some(match (spread[0]..=spread[1]).contains(&after) {
        _ if first.flagged || second.flagged => Verdict::Flagged,
        _ if first.effort != second.effort => Verdict::OtherEffort,
        true => Verdict::Repeats { medians, spread },
        false => Verdict::Differs { medians, spread },
    })
}

impl Verdict {
    fn repeats(&self) -> bool {
        matches!(self, Self::Repeats { .. })
    }

    fn differs(&self) -> bool {
        matches!(self, Self::Differs { .. })
    }

    fn is_compared(&self) -> bool {
        self.repeats() || self.differs()
    }
}

/// A line for each name, and one for all.
impl fmt::Display for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.0 {
            writeln!(f, "{name:<40} {verdict}")?;
        }
        let count = |verdict| self.count(|it| *it == verdict);
        writeln!(
            f,
            "{} ratios repeat, {} differ; not compared: {} flagged, {} of different effort, {} only in the first \
             run, {} only in the second",
            self.count(Verdict::repeats),
            self.count(Verdict::differs),
            count(Verdict::Flagged),
            count(Verdict::OtherEffort),
            count(Verdict::Gone),
            count(Verdict::New),
        )?;
        let (compared, all) = (self.count(Verdict::is_compared), self.of_first());
        match self.compares_enough() {
            true => Ok(()),
            false => writeln!(
                f,
                "TOO FEW: {compared} of the first run's {all} were compared, {:.0} % are needed",
                COMPARED_LEAST * 100.0
            ),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, [first, second], [low, high]) = match self {
            Self::Repeats { medians, spread } => ("repeats", medians, spread),
            Self::Differs { medians, spread } => ("DIFFERS", medians, spread),
            Self::Flagged => return write!(f, "flagged, a floor was off its range"),
            Self::OtherEffort => return write!(f, "measured with different effort"),
            Self::Gone => return write!(f, "measured in the first run only"),
            Self::New => return write!(f, "measured in the second run only"),
        };
        write!(
            f,
            "{word}: {second:.3} after {first:.3} ({low:.3} to {high:.3})"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Repeats, Verdict};
    use crate::report::ratios::Ratio;

    fn run(text: &str) -> BTreeMap<String, Ratio> {
        serde_json::from_str(text).expect("ratios")
    }

    fn ratio(ratio: f64, spread: [f64; 2], more: &str) -> String {
        let [low, high] = spread;
        format!(
            r#"{{"ours": 1, "unit": "us", "floor": 1, "ratio": {ratio}, "spread": [{low}, {high}]{more}}}"#
        )
    }

    fn verdict(first: &str, second: &str) -> Option<Verdict> {
        let one = |entry: &str| run(&format!(r#"{{"a": {entry}}}"#));
        let repeats = Repeats::of(&one(first), &one(second));
        repeats.0.first().map(|(_, verdict)| *verdict)
    }

    #[test]
    fn a_median_outside_of_the_stated_spread_differs() {
        let first = ratio(1.5, [1.2, 1.6], "");
        for (median, repeats) in [(1.2, true), (1.6, true), (1.19, false), (1.61, false)] {
            let second = ratio(median, [0.1, 9.0], "");
            let found = verdict(&first, &second).expect("a ratio");
            let expected = matches!(found, Verdict::Repeats { .. });
            assert_eq!(expected, repeats, "{median}: {found}");
            let one = |entry: &str| run(&format!(r#"{{"a": {entry}}}"#));
            assert_eq!(Repeats::of(&one(&first), &one(&second)).all(), repeats);
        }
    }

    #[test]
    fn what_cannot_be_compared_neither_passes_nor_fails() {
        let fine = ratio(1.5, [1.2, 1.6], r#", "effort": "full""#);
        let quick = ratio(9.5, [1.2, 9.6], r#", "effort": "quick""#);
        let flagged = ratio(9.5, [1.2, 9.6], r#", "effort": "full", "flagged": true"#);
        let bare = r#"{"ours": 1, "unit": "B"}"#;
        assert_eq!(verdict(&fine, &quick), Some(Verdict::OtherEffort));
        assert_eq!(verdict(&fine, &flagged), Some(Verdict::Flagged));
        assert_eq!(verdict(&fine, bare), Some(Verdict::Gone));
        assert_eq!(verdict(bare, &fine), Some(Verdict::New));
        assert_eq!(verdict(bare, bare), None);
    }

    /// Two runs of ten ratios, of which so many are flagged or absent in the second one.
    fn of_ten(flagged: usize, absent: usize) -> Repeats {
        let fine = ratio(1.5, [1.2, 1.6], "");
        let strange = ratio(1.5, [1.2, 1.6], r#", "flagged": true"#);
        let names = |entries: Vec<&String>| {
            let named = entries.iter().enumerate();
            let named: Vec<_> = named
                .map(|(n, entry)| format!(r#""{n}": {entry}"#))
                .collect();
            run(&format!("{{{}}}", named.join(",")))
        };
        let second = (absent..10).map(|n| {
            if n < absent + flagged {
                &strange
            } else {
                &fine
            }
        });
        let mut second = names(second.collect());
        let new = run(&format!(r#"{{"new": {fine}}}"#));
        second.extend(new);
        Repeats::of(&names(vec![&fine; 10]), &second)
    }

    #[test]
    fn runs_of_which_little_can_be_compared_do_not_repeat() {
        for (flagged, absent, repeats) in [
            (0, 0, true),
            (1, 0, true),
            (0, 1, true),
            (1, 1, false),
            (2, 0, false),
            (9, 0, false),
            (0, 9, false),
        ] {
            let compared = of_ten(flagged, absent);
            assert_eq!(compared.all(), repeats, "{compared}");
            assert_eq!(
                compared.to_string().contains("TOO FEW"),
                !repeats,
                "{compared}"
            );
        }
        let line = "8 ratios repeat, 0 differ; not compared: 1 flagged, 0 of different effort, 1 only in the first run, \
                    1 only in the second";
        let compared = of_ten(1, 1).to_string();
        assert!(compared.contains(line), "{compared}");
    }

    #[test]
    fn two_runs_with_nothing_in_common_do_not_repeat() {
        assert!(!Repeats::of(&BTreeMap::new(), &BTreeMap::new()).all());
    }
}
