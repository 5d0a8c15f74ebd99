//! Where a run stands, on stderr: a bar for a person, a line now and then for a file.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::Moment;

/// Time between two lines.
const LINE: Duration = Duration::from_secs(2);

/// Tells a person, or a file.
pub struct ProgressDisplay {
    bar: Option<ProgressBar>,
    told_at: Option<Instant>,
    before: (Duration, u64),
    rate: f64,
}

impl ProgressDisplay {
    /// For a run of so many seconds.
    pub fn new(seconds: f64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {elapsed_precise} {msg}");
            let bar = ProgressBar::new((seconds * 1_000.0) as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            bar,
            told_at: None,
            before: (Duration::ZERO, 0),
            rate: 0.0,
        }
    }

    /// A stage before the run.
    pub fn stage(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("{text}"),
        }
    }

    /// Where it stands.
    pub fn moment(&mut self, moment: &Moment) {
        if self.told_at.is_some_and(|at| at.elapsed() < LINE) && self.bar.is_none() {
            return;
        }
        let since = moment.elapsed.saturating_sub(self.before.0).as_secs_f64();
        if since >= 1.0 {
            let new = moment.viewing.totals.delivered - self.before.1;
            self.rate = new as f64 / since;
            self.before = (moment.elapsed, moment.viewing.totals.delivered);
        }
        self.told_at = Some(Instant::now());
        let text = describe(moment, self.rate);
        match &self.bar {
            Some(bar) => {
                bar.set_position(moment.elapsed.as_millis() as u64);
                bar.set_message(text);
            }
            None => eprintln!("{:6.1} s  {text}", moment.elapsed.as_secs_f64()),
        }
    }

    /// The run is over.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn describe(moment: &Moment, rate: f64) -> String {
    let totals = &moment.viewing.totals;
    let wrong = totals.duplicates + totals.out_of_order;
    let lost: u64 = moment.viewing.lost.values().sum();
    let mut text = format!(
        "{} sent, {} viewers, {} delivered ({}/s)",
        count(moment.sending.sent),
        moment.viewing.watching,
        count(totals.delivered),
        count(rate as u64),
    );
    if wrong > 0 {
        text += &format!(", {wrong} duplicate or out of order");
    }
    if lost > 0 {
        text += &format!(", {lost} viewers lost");
    }
    text
}

/// A large number in a short form.
pub fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{:.1} k", number as f64 / 1e3),
        _ => format!("{:.2} M", number as f64 / 1e6),
    }
}
