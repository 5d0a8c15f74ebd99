//! One run of `cargo bench`: its parts one after the other, criterion for distributions, ratios
//! beside their floors, the last lines.

use std::process::ExitCode;
use std::time::Instant;

use criterion::Criterion;

use crate::ballast::Ballast;
use crate::doubt::Doubt;
use crate::gathered::Gathered;
use crate::mode::{Effort, Mode};
use crate::names::{NAMES, missing};
use crate::part::{Laps, Part};
use crate::pin;
use crate::ratio::{self, Outcome, SetUp, Sides, Spec};
use crate::ratios_file;
use crate::thread_time::ThreadTime;

/// Samples that criterion takes; its least.
const SAMPLES: usize = 10;

/// A run.
pub struct Run {
    mode: Mode,
    part: &'static str,
    lap: usize,
    gathered: Gathered,
    /// Of parts that are done, printed and written down.
    outcomes: Vec<Outcome>,
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
        for lap in 0..run.laps() {
            run.lap = lap;
            for part in &wanted {
                before += run.measure_part(part);
                run.progress(before, seconds);
            }
        }
        let missing = run.missing(&wanted);
        run.finish();
        if missing.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("not measured: {}", missing.join(", "));
        ExitCode::FAILURE
    }

    /// Measures a part, if this lap does; the seconds that were announced for it.
    fn measure_part(&mut self, part: &Part<Self>) -> u64 {
        if part.laps == Laps::Last && !self.is_last_lap() {
            return 0;
        }
        let (lap, laps) = (self.lap + 1, self.laps());
        self.say(&format!("lap {lap} of {laps}: {}", part.name));
        self.part = part.name;
        (part.measure)(self);
        if self.is_last_lap() {
            self.end_part();
        }
        let seconds = self.mode.effort.seconds(part);
        match part.laps {
            Laps::Each => seconds / laps as u64,
            Laps::Last => seconds,
        }
    }

    /// How often the parts are measured. Floors alone have nothing to be compared with.
    fn laps(&self) -> usize {
        match self.floors_only() {
            true => 1,
            false => self.effort().laps(),
        }
    }

    fn is_last_lap(&self) -> bool {
        self.lap + 1 == self.laps()
    }

    /// Whether what has no ratio is to be measured: once is enough.
    pub fn is_first_lap(&self) -> bool {
        self.lap == 0
    }

    /// How many laps were before this one.
    pub fn lap(&self) -> usize {
        self.lap
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
            lap: 0,
            gathered: Gathered::default(),
            outcomes: Vec::new(),
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
            eprintln!("SKEIN_BENCH=quick cargo bench is done in about four minutes");
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
            self.set_up(spec, ratio::pairs(blocks, Sides::new(ours, floor)).into());
        }
    }

    /// Measures a ratio over several set-ups, if it is wanted: for sides whose figures depend on
    /// where their memory comes to lie.
    pub fn ratio_of_set_ups<'a>(&mut self, spec: &Spec, set_up: impl FnMut() -> Sides<'a>) {
        self.ratio_of_several(spec, self.mode.effort.set_ups(), set_up);
    }

    /// The same with a set-up for each block, and each somewhere else in memory: for sides that are soon made, and
    /// whose figures depend on which lines of the caches their rows share.
    pub fn ratio_of_places<'a>(&mut self, spec: &Spec, mut set_up: impl FnMut() -> Sides<'a>) {
        let blocks = self.mode.effort.blocks();
        let mut place = self.lap * blocks;
        self.ratio_of_several(spec, blocks, || {
            let ballast = Ballast::new(place);
            place += 1;
            set_up().beside(ballast)
        });
    }

    fn ratio_of_several<'a>(
        &mut self,
        spec: &Spec,
        set_ups: usize,
        set_up: impl FnMut() -> Sides<'a>,
    ) {
        if !self.wants(spec.name) {
            return;
        }
        self.say(spec.name);
        let blocks = self.mode.effort.blocks();
        if self.floors_only() {
            let outcome = ratio::measure_floor_set_ups(spec, set_ups, blocks, set_up);
            println!("{outcome}");
        } else {
            let measured = ratio::pairs_of_set_ups(set_ups, blocks, set_up);
            measured.into_iter().for_each(|one| self.set_up(spec, one));
        }
    }

    /// Says what is being measured.
    pub fn say(&self, what: &str) {
        eprintln!("[{}] {what}", clock(self.began.elapsed().as_secs()));
    }

    /// Takes a set-up's blocks of a ratio, if it is wanted.
    pub fn set_up(&mut self, spec: &Spec, set_up: SetUp) {
        if self.takes(spec.name) {
            self.gathered.add_set_up(self.part, spec, set_up);
        }
    }

    /// Takes a figure that has no floor, if it is wanted: of several the median.
    pub fn value(&mut self, name: &'static str, unit: &'static str, ours: f64) {
        self.value_in_doubt(name, unit, ours, None);
    }

    /// The same, and what stands against it.
    pub fn value_in_doubt(
        &mut self,
        name: &'static str,
        unit: &'static str,
        ours: f64,
        doubt: Option<Doubt>,
    ) {
        if self.takes(name) {
            self.gathered
                .add_value(self.part, (name, unit), ours, doubt);
        }
    }

    /// Takes a figure that has no floor, if it is wanted: of several the largest.
    pub fn worst(&mut self, name: &'static str, unit: &'static str, ours: f64) {
        if self.takes(name) {
            self.gathered.add_worst(self.part, name, unit, ours);
        }
    }

    /// Whether a figure of ours is wanted: in a run of the floors none is.
    fn takes(&self, name: &str) -> bool {
        self.wants(name) && !self.floors_only()
    }

    /// Prints the figures of the part and writes them down, so that a run that is broken off is
    /// not lost.
    fn end_part(&mut self) {
        let new = self.gathered.outcomes(self.part);
        new.iter().for_each(|outcome| println!("{outcome}"));
        if self.mode.effort != Effort::Check
            && !new.is_empty()
            && let Err(error) = ratios_file::merge(&new, self.mode.effort)
        {
            eprintln!("the ratios are not written down: {error}");
        }
        self.outcomes.extend(new);
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
