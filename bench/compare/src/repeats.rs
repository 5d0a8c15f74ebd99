//! Whether a second run of `cargo bench` gives what the first one promised: each ratio's median
//! within the spread that the first run stated for it.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::ratios::Ratio;

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
    /// Only one of the runs has it.
    Alone,
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

    /// Whether something was compared and all of it repeats.
    pub fn all(&self) -> bool {
        let compared = |verdict: &Verdict| {
            let repeats = matches!(verdict, Verdict::Repeats { .. });
            repeats || matches!(verdict, Verdict::Differs { .. })
        };
        let differs = |verdict: &Verdict| matches!(verdict, Verdict::Differs { .. });
        self.count(compared) > 0 && self.count(differs) == 0
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.0.iter().filter(|(_, verdict)| is(verdict)).count()
    }
}

/// `None`: neither run has a ratio of it.
fn verdict(first: Option<&Ratio>, second: Option<&Ratio>) -> Option<Verdict> {
    let (Some(first), Some(second)) = (first, second) else {
        let either = first.or(second)?;
        return either.ratio.map(|_| Verdict::Alone);
    };
    let (Some(before), Some(spread), Some(after)) =
        (first.ratio, first.stated_spread(), second.ratio)
    else {
        return first.ratio.or(second.ratio).map(|_| Verdict::Alone);
    };
    let medians = [before, after];
    Some(match (spread[0]..=spread[1]).contains(&after) {
        _ if first.flagged || second.flagged => Verdict::Flagged,
        _ if first.effort != second.effort => Verdict::OtherEffort,
        true => Verdict::Repeats { medians, spread },
        false => Verdict::Differs { medians, spread },
    })
}

/// A line for each name, and one for all.
impl fmt::Display for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.0 {
            writeln!(f, "{name:<40} {verdict}")?;
        }
        let repeats = self.count(|verdict| matches!(verdict, Verdict::Repeats { .. }));
        let differs = self.count(|verdict| matches!(verdict, Verdict::Differs { .. }));
        let others = self.0.len() - repeats - differs;
        writeln!(
            f,
            "{repeats} ratios repeat, {differs} differ, {others} cannot be compared"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, [first, second], [low, high]) = match self {
            Self::Repeats { medians, spread } => ("repeats", medians, spread),
            Self::Differs { medians, spread } => ("DIFFERS", medians, spread),
            Self::Flagged => return write!(f, "flagged, a floor was off its range"),
            Self::OtherEffort => return write!(f, "measured with different effort"),
            Self::Alone => return write!(f, "measured in one of the runs only"),
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
        assert_eq!(verdict(&fine, bare), Some(Verdict::Alone));
        assert_eq!(verdict(bare, bare), None);
        let first = run(&format!(r#"{{"a": {fine}, "b": {fine}}}"#));
        let second = run(&format!(r#"{{"a": {fine}, "c": {fine}}}"#));
        let repeats = Repeats::of(&first, &second);
        assert!(repeats.all());
        assert_eq!(repeats.count(|verdict| *verdict == Verdict::Alone), 2);
    }

    #[test]
    fn two_runs_with_nothing_in_common_do_not_repeat() {
        assert!(!Repeats::of(&BTreeMap::new(), &BTreeMap::new()).all());
    }
}
