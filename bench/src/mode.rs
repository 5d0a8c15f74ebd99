//! How long and what to measure, from the command line and the environment.

use std::env;
use std::time::Duration;

use crate::part::Part;

/// The environment variable that shortens everything when it says `quick`.
const VARIABLE: &str = "SKEIN_BENCH";

/// The filter that measures the floors alone.
const FLOORS: &str = "floors";

/// Options of criterion that are followed by a value, which is no filter.
const OPTIONS_WITH_VALUE: &[&str] = &[
    "--baseline",
    "--baseline-lenient",
    "--color",
    "--confidence-level",
    "--format",
    "--load-baseline",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--plotting-backend",
    "--profile-time",
    "--sample-size",
    "--save-baseline",
    "--significance-level",
    "--warm-up-time",
];

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As much as a figure in the documents needs.
    Full,
    /// All benches in about four minutes.
    Quick,
    /// Once, to see that it works; nothing is written down.
    Check,
}

impl Effort {
    /// How often a run goes through its parts: see [`crate::ratio`].
    pub fn laps(self) -> usize {
        match self {
            Self::Full => 3,
            Self::Quick | Self::Check => 1,
        }
    }

    /// Blocks of each side in a lap.
    pub fn blocks(self) -> usize {
        match self {
            Self::Full => 14,
            Self::Quick => 20,
            Self::Check => 1,
        }
    }

    /// How often both sides are set up anew in a lap: see [`crate::ratio`].
    pub fn set_ups(self) -> usize {
        match self {
            Self::Full => 3,
            Self::Quick => 4,
            Self::Check => 1,
        }
    }

    /// The same where a set-up is a server and its crowd, which takes seconds to gather when it
    /// is large.
    pub fn crowds(self, viewers: usize) -> usize {
        match (self, viewers) {
            (Self::Full, 0..=1_000) | (Self::Quick, 0..=100) => 2,
            _ => 1,
        }
    }

    /// How long a block lasts: long against a timer tick, short against the moods of a shared
    /// machine, which last for seconds.
    pub fn block(self) -> Duration {
        match self {
            Self::Full => Duration::from_millis(100),
            Self::Quick => Duration::from_millis(20),
            Self::Check => Duration::from_micros(100),
        }
    }

    /// Place of its figure in [`Part::seconds`].
    fn column(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Quick | Self::Check => 0,
        }
    }

    /// Seconds that a part takes.
    pub fn seconds<R>(self, part: &Part<R>) -> u64 {
        part.seconds[self.column()]
    }

    /// How long criterion measures one side.
    pub fn criterion(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(1),
            Self::Quick => Duration::from_millis(150),
            Self::Check => Duration::from_millis(1),
        }
    }

    /// How often criterion resamples: its default takes it seconds a bench.
    pub fn resamples(self) -> usize {
        match self {
            Self::Full => 20_000,
            Self::Quick | Self::Check => 1_000,
        }
    }

    /// Its name in `ratios.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
            Self::Check => "check",
        }
    }
}

/// What the command line asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// How much is measured.
    pub effort: Effort,
    /// Only what has this in its name.
    filter: Option<String>,
    /// Names are listed, nothing is measured.
    list: bool,
}

impl Mode {
    /// What the process was started with. Cargo passes `--bench` when it is to be measured.
    pub fn of_process() -> Self {
        let quick = env::var(VARIABLE).is_ok_and(|value| value == "quick");
        Self::parse(env::args().skip(1), quick)
    }

    fn parse(arguments: impl Iterator<Item = String>, quick: bool) -> Self {
        let (mut bench, mut list, mut test, mut filter) = (false, false, false, None);
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => bench = true,
                "--list" => list = true,
                "--test" => test = true,
                option if OPTIONS_WITH_VALUE.contains(&option) => {
                    arguments.next();
                }
                option if option.starts_with('-') => {}
                _ => filter = filter.or(Some(argument)),
            }
        }
        let effort = match (bench && !test, quick) {
            (true, false) => Effort::Full,
            (true, true) => Effort::Quick,
            (false, _) => Effort::Check,
        };
        Self {
            effort,
            filter,
            list,
        }
    }

    /// Whether names are wanted and nothing else.
    pub fn lists(&self) -> bool {
        self.list
    }

    /// Whether everything is to be measured.
    pub fn is_whole(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether the floors are to be measured alone.
    pub fn floors_only(&self) -> bool {
        self.filter.as_deref() == Some(FLOORS)
    }

    /// Whether a figure of a part is to be measured.
    pub fn wants(&self, part: &str, figure: &str) -> bool {
        self.floors_only() || self.matches(part) || self.matches(figure)
    }

    /// Whether anything of a part is to be measured.
    pub fn wants_part<R>(&self, part: &Part<R>) -> bool {
        let mut figures = part.figures.iter();
        self.wants(part.name, part.name) || figures.any(|figure| self.matches(figure))
    }

    fn matches(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|text| name.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Mode};
    use crate::part::{Laps, Part};

    fn mode(line: &str, quick: bool) -> Mode {
        Mode::parse(line.split_whitespace().map(str::to_owned), quick)
    }

    #[test]
    fn only_cargo_bench_measures() {
        for (line, quick, effort) in [
            ("--bench", false, Effort::Full),
            ("--bench", true, Effort::Quick),
            ("", true, Effort::Check),
            ("--bench --test", false, Effort::Check),
        ] {
            assert_eq!(mode(line, quick).effort, effort, "{line}");
        }
    }

    #[test]
    fn a_value_of_an_option_is_no_filter() {
        let all = mode("--bench --sample-size 20 --noplot", false);
        assert!(all.wants("log_append", "log_append_64B_batched"));
        let some = mode("--bench --save-baseline before log_ read", false);
        assert!(some.wants("log_append", "log_append_64B_batched"));
        assert!(!some.wants("wire_batch", "wire_batch_build"));
        assert!(mode("--bench --list", false).lists());
    }

    #[test]
    fn a_part_is_wanted_for_itself_or_for_one_of_its_figures() {
        let part: Part<()> = Part {
            name: "fanout_ws",
            figures: &["last_of_1000_p50", "memory_ws_viewer_bytes"],
            seconds: [1, 10],
            laps: Laps::Each,
            measure: |_| {},
        };
        for (filter, wanted) in [
            ("", true),
            ("fanout", true),
            ("memory", true),
            ("floors", true),
            ("wire", false),
        ] {
            let mode = mode(&format!("--bench {filter}"), false);
            assert_eq!(mode.wants_part(&part), wanted, "{filter}");
        }
        assert!(!mode("--bench memory", false).wants(part.name, "last_of_1000_p50"));
    }
}
