//! One bench executable: criterion for its distributions, ratios beside the floor, the last lines.

use std::time::Instant;

use criterion::Criterion;

use crate::mode::{Effort, Mode};
use crate::pin;
use crate::ratio::{self, Outcome, Spec};
use crate::ratios_file;
use crate::thread_time::ThreadTime;

/// Samples that criterion takes; its least.
const SAMPLES: usize = 10;

/// A run of one bench executable.
pub struct Run {
    mode: Mode,
    outcomes: Vec<Outcome>,
    criterion: Criterion<ThreadTime>,
    began: Instant,
}

impl Run {
    /// Reads the command line and keeps this thread on one core.
    pub fn start() -> Self {
        pin::to_last();
        Self::start_unpinned()
    }

    /// Like [`Self::start`] for benches with several threads, which place them themselves.
    pub fn start_unpinned() -> Self {
        let mode = Mode::of_process();
        let criterion = Criterion::default()
            .with_measurement(ThreadTime)
            .sample_size(SAMPLES)
            .warm_up_time(mode.effort.criterion() / 4)
            .measurement_time(mode.effort.criterion())
            .configure_from_args();
        Self {
            mode,
            outcomes: Vec::new(),
            criterion,
            began: Instant::now(),
        }
    }

    /// How much to measure.
    pub fn effort(&self) -> Effort {
        self.mode.effort
    }

    /// Whether something of this name is to be measured: ask before costly preparations.
    pub fn wants(&self, name: &str) -> bool {
        self.mode.wants(name)
    }

    /// For the distribution of one side by itself.
    pub fn criterion(&mut self) -> &mut Criterion<ThreadTime> {
        &mut self.criterion
    }

    /// Measures a ratio, if it is wanted.
    pub fn ratio(&mut self, spec: &Spec, ours: impl FnMut() -> f64, floor: impl FnMut() -> f64) {
        if self.wants(spec.name) {
            self.say(spec.name);
            let blocks = self.mode.effort.blocks();
            self.keep(ratio::measure(spec, blocks, ours, floor));
        }
    }

    /// Says that something is being measured, where that takes a while.
    pub fn say(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        eprintln!("[{seconds:>3} s] measuring {what} beside its floor");
    }

    /// Takes a ratio that was measured elsewhere.
    pub fn keep(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Takes a figure that has no floor.
    pub fn value(&mut self, name: &str, unit: &'static str, ours: f64) {
        if self.wants(name) {
            self.keep(Outcome {
                name: name.to_owned(),
                unit,
                ours,
                beside: None,
            });
        }
    }

    /// Writes the ratios down and prints them, last of all.
    pub fn finish(self) {
        self.criterion.final_summary();
        if self.outcomes.is_empty() {
            return;
        }
        if self.mode.effort != Effort::Check
            && let Err(error) = ratios_file::merge(&self.outcomes, self.mode.effort)
        {
            eprintln!("the ratios are not written down: {error}");
        }
        println!();
        for outcome in &self.outcomes {
            println!("{outcome}");
        }
    }
}
