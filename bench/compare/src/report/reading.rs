//! What a person has to say about the figures: why, by measure, for the case that skein wins and
//! for the case that it loses. That it does the one or the other is not for a person to say.
//!
//! ```text
//! ## last_viewer_p50
//! wins: one write per viewer and pass …
//! loses: the log and the access checks come first …
//! always: measured on a quiet system …
//! ```

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

/// Which sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// Whatever the figures say.
    Always,
    /// Some peer is worse.
    Wins,
    /// Some peer is better.
    Loses,
}

/// All sentences.
#[derive(Debug, Default)]
pub struct Reading(BTreeMap<(String, Case), String>);

impl Reading {
    /// Reads the text. Lines before the first heading are for the people who write it.
    ///
    /// # Errors
    /// If a line belongs nowhere, or a text states how many times faster something is: such
    /// numbers come from the figures.
    pub fn parse(text: &str) -> Result<Self> {
        let mut all = Self::default();
        let mut measure: Option<String> = None;
        let mut case = None;
        for line in text.lines().map(str::trim) {
            if let Some(heading) = line.strip_prefix("## ") {
                (measure, case) = (Some(heading.to_owned()), None);
                continue;
            }
            let Some(measure) = measure.as_ref().filter(|_| !line.is_empty()) else {
                continue;
            };
            let (begins, rest) = opening(line);
            case = begins.or(case);
            let Some(case) = case else {
                bail!("`{line}` under `{measure}` begins with neither wins: nor loses: nor always:")
            };
            ensure!(
                !states_a_factor(rest),
                "`{line}` states a factor or a share; such numbers come from the figures"
            );
            let said = all.0.entry((measure.clone(), case)).or_default();
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(rest);
        }
        Ok(all)
    }

    /// What is said about a measure in a case.
    pub fn about(&self, measure: &str, case: Case) -> Option<&str> {
        self.0.get(&(measure.to_owned(), case)).map(String::as_str)
    }

    /// The measures that something is said about.
    pub fn measures(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|(measure, _)| measure.as_str())
    }
}

fn opening(line: &str) -> (Option<Case>, &str) {
    for (word, case) in [
        ("wins:", Case::Wins),
        ("loses:", Case::Loses),
        ("always:", Case::Always),
    ] {
        if let Some(rest) = line.strip_prefix(word) {
            return (Some(case), rest.trim_start());
        }
    }
    (None, line)
}

/// A digit with an `x`, a `%` or the word "times" behind it.
fn states_a_factor(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let factor = |word: &&str| {
        let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
        is_number(bare) && (bare.ends_with('x') || bare.ends_with('%'))
    };
    let times = |pair: &[&str]| is_number(pair[0]) && pair[1].starts_with("times");
    words.iter().any(factor) || words.windows(2).any(times)
}

#[cfg(test)]
mod tests {
    use super::{Case, Reading};

    #[test]
    fn sentences_are_found_by_measure_and_case() {
        let text = "For people.\n\n## a\nwins: one\n  two\nalways: three\n\n## b\nloses: four\n";
        let reading = Reading::parse(text).expect("a reading");
        assert_eq!(reading.about("a", Case::Wins), Some("one two"));
        assert_eq!(reading.about("a", Case::Always), Some("three"));
        assert_eq!(reading.about("a", Case::Loses), None);
        assert_eq!(reading.about("b", Case::Loses), Some("four"));
    }

    #[test]
    fn typed_factors_are_refused() {
        for (text, fine) in [
            ("wins: it is 2.5x faster", false),
            ("wins: 30 % of it", true),
            ("wins: 30% of it", false),
            ("wins: 3 times as fast", false),
            ("wins: one of 1,000 viewers, 64 bytes", true),
            ("no case", false),
        ] {
            let parsed = Reading::parse(&format!("## a\n{text}\n"));
            assert_eq!(parsed.is_ok(), fine, "{text}");
        }
    }
}
