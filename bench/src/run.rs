//! One run of `cargo bench`: its parts one after the other, criterion for distributions, ratios
//! beside their floors, the last lines.

use std::process::ExitCode;
use std::time::Instant;

use criterion::Criterion;

use crate::mode::{Effort, Mode};
use crate::names::{NAMES, missing};
use crate::part::Part;
use crate::pin;
use crate::ratio::{self, Outcome, Sides, Spec};
use crate::ratios_file;
use crate::thread_time::ThreadTime;

/// Samples that criterion takes; its least.
const SAMPLES: usize = 10;

/// A run.
pub struct Run {
    mode: Mode,
    part: &'static str,
    outcomes: Vec<Outcome>,
    /// How many of the outcomes are printed and written down.
    told: usize,
    criterion: Criterion<ThreadTime>,
    began: Instant,
}

impl Run {
    /// Does what the command line asks for, with this thread on the last core. Fails if a figure
    /// that a part promises, or one of [`NAMES`], was not measured although it was wanted.
    pub fn all(parts: &[Part<Self>]) -> ExitCode {
        let mode = Mode::of_process();
        if mode.lists() {
            let figures = parts.iter().flat_map(|part| part.figures);
            figures.for_each(|figure| println!("{figure}: benchmark"));
            return ExitCode::SUCCESS;
        }
        pin::to_last();
        let wanted: Vec<&Part<Self>> = parts.iter().filter(|part| mode.wants_part(part)).collect();
        let seconds = wanted.iter().map(|part| mode.effort.seconds(part)).sum();
        let mut run = Self::new(mode);
        run.announce(wanted.len(), seconds);
        let mut before = 0;
        for (index, part) in wanted.iter().enumerate() {
            let elapsed = run.began.elapsed().as_secs();
            eprintln!(
                "[{}, {} of {}] {}",
                clock(elapsed),
                index + 1,
                wanted.len(),
                part.name
            );
            run.part = part.name;
            (part.measure)(&mut run);
            run.end_part();
            before += run.mode.effort.seconds(part);
            run.progress(before, seconds);
        }
        let missing = run.missing(&wanted);
        run.finish();
        if missing.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("not measured: {}", missing.join(", "));
        ExitCode::FAILURE
    }

    /// Figures that are wanted and not there.
    fn missing(&self, parts: &[&Part<Self>]) -> Vec<&'static str> {
        if self.floors_only() {
            return Vec::new();
        }
        let promised = parts.iter().flat_map(|part| {
            let figures = part.figures.iter().copied();
            figures.filter(|figure| self.mode.wants(part.name, figure))
        });
        let names = NAMES.iter().copied().filter(|_| self.mode.is_whole());
        let has = |name: &str| self.outcomes.iter().any(|outcome| outcome.name == name);
        missing(promised.chain(names), has)
    }

    fn new(mode: Mode) -> Self {
        let criterion = Criterion::default()
            .with_measurement(ThreadTime)
            .sample_size(SAMPLES)
            .nresamples(mode.effort.resamples())
            .without_plots()
            .warm_up_time(mode.effort.criterion() / 4)
            .measurement_time(mode.effort.criterion())
            .configure_from_args();
        Self {
            mode,
            part: "",
            outcomes: Vec::new(),
            told: 0,
            criterion,
            began: Instant::now(),
        }
    }

    fn announce(&self, parts: usize, seconds: u64) {
        if self.effort() == Effort::Check {
            return;
        }
        let effort = self.effort().name();
        eprintln!(
            "a {effort} run: parts {parts}, about {} on two quiet cores",
            clock(seconds)
        );
        if self.effort() == Effort::Full {
            eprintln!("SKEIN_BENCH=quick cargo bench is done in about three minutes");
        }
    }

    fn progress(&self, done: u64, all: u64) {
        if self.effort() != Effort::Check && done < all {
            let left = (all - done) * self.began.elapsed().as_secs() / done.max(1);
            eprintln!(
                "[{}] about {} left",
                clock(self.began.elapsed().as_secs()),
                clock(left)
            );
        }
    }

    /// How much to measure.
    pub fn effort(&self) -> Effort {
        self.mode.effort
    }

    /// Whether the floors are measured alone.
    pub fn floors_only(&self) -> bool {
        self.mode.floors_only()
    }

    /// Whether a figure is to be measured: ask before costly preparations.
    pub fn wants(&self, figure: &str) -> bool {
        self.mode.wants(self.part, figure)
    }

    /// Whether any of some figures is to be measured.
    pub fn wants_any(&self, figures: &[&str]) -> bool {
        figures.iter().any(|figure| self.wants(figure))
    }

    /// For the distribution of one side by itself.
    pub fn criterion(&mut self) -> &mut Criterion<ThreadTime> {
        &mut self.criterion
    }

    /// Measures a ratio, if it is wanted.
    pub fn ratio(&mut self, spec: &Spec, ours: impl FnMut() -> f64, floor: impl FnMut() -> f64) {
        if !self.wants(spec.name) {
            return;
        }
        self.say(spec.name);
        let blocks = self.mode.effort.blocks();
        if self.floors_only() {
            println!("{}", ratio::measure_floor(spec, blocks, floor));
        } else {
            self.keep(ratio::measure(spec, blocks, ours, floor));
        }
    }

    /// Measures a ratio over several set-ups, if it is wanted: for sides whose figures depend on
    /// where their memory comes to lie.
    pub fn ratio_of_set_ups<'a>(&mut self, spec: &Spec, set_up: impl FnMut() -> Sides<'a>) {
        if !self.wants(spec.name) {
            return;
        }
        self.say(spec.name);
        let effort = self.mode.effort;
        let (set_ups, blocks) = (effort.set_ups(), effort.blocks());
        if self.floors_only() {
            let outcome = ratio::measure_floor_set_ups(spec, set_ups, blocks, set_up);
            println!("{outcome}");
        } else {
            self.keep(ratio::measure_set_ups(spec, set_ups, blocks, set_up));
        }
    }

    /// Says what is being measured.
    pub fn say(&self, what: &str) {
        eprintln!("[{}] {what}", clock(self.began.elapsed().as_secs()));
    }

    /// Takes a ratio that was measured elsewhere, if it is wanted.
    pub fn keep(&mut self, outcome: Outcome) {
        // What has no floor is no part of a run of the floors.
        if self.wants(&outcome.name) && !self.floors_only() {
            self.outcomes.push(outcome);
        }
    }

    /// Takes a figure that has no floor, if it is wanted.
    pub fn value(&mut self, name: &str, unit: &'static str, ours: f64) {
        self.keep(Outcome {
            name: name.to_owned(),
            unit,
            ours,
            beside: None,
        });
    }

    /// Prints the figures of the part and writes them down, so that a run that is broken off is
    /// not lost.
    fn end_part(&mut self) {
        let new = &self.outcomes[self.told..];
        new.iter().for_each(|outcome| println!("{outcome}"));
        if self.mode.effort != Effort::Check
            && !new.is_empty()
            && let Err(error) = ratios_file::merge(new, self.mode.effort)
        {
            eprintln!("the ratios are not written down: {error}");
        }
        self.told = self.outcomes.len();
    }

    /// Prints all figures together, last of all.
    fn finish(self) {
        self.criterion.final_summary();
        if self.outcomes.is_empty() {
            return;
        }
        let took = clock(self.began.elapsed().as_secs());
        println!("\nall figures of this run, which took {took}:");
        self.outcomes
            .iter()
            .for_each(|outcome| println!("{outcome}"));
    }
}

/// Minutes and seconds.
fn clock(seconds: u64) -> String {
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}
