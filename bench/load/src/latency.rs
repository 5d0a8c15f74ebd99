//! A histogram of latencies that can be merged and sent between processes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart: an hour, in microseconds.
const MICROS_MAX: u64 = 3_600_000_000;

/// Digits that are kept in the histogram of a whole run.
const DIGITS_FINE: u8 = 3;

/// Digits that are kept in the histogram of one second: there are many of them.
const DIGITS_COARSE: u8 = 1;

/// Latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// The counts that are not 0, as (microseconds, count): how histograms travel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counts(Vec<(u64, u64)>);

/// The figures that are reported, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are not longer.
    pub p50: f64,
    /// Nine in ten are not longer.
    pub p90: f64,
    /// 99 in a hundred are not longer.
    pub p99: f64,
    /// 999 in a thousand are not longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    /// For a whole run: three digits.
    ///
    /// # Panics
    /// Never: the bounds are good ones.
    pub fn fine() -> Self {
        Self::new(DIGITS_FINE)
    }

    /// For a second of it: one digit.
    ///
    /// # Panics
    /// Never: the bounds are good ones.
    pub fn coarse() -> Self {
        Self::new(DIGITS_COARSE)
    }

    fn new(digits: u8) -> Self {
        let histogram = Histogram::new_with_max(MICROS_MAX, digits);
        Self(histogram.expect("the bounds are good ones"))
    }

    /// Notes one latency. Above the longest that is told apart it counts as that.
    pub fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record(ns / 1_000);
    }

    /// Adds what another process counted.
    pub fn add(&mut self, counts: &Counts) {
        for &(micros, count) in &counts.0 {
            self.0.saturating_record_n(micros, count);
        }
    }

    /// What there is.
    pub fn counts(&self) -> Counts {
        let recorded = self.0.iter_recorded();
        let pair = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (value.value_iterated_to(), value.count_at_value())
        };
        Counts(recorded.map(pair).collect())
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that so many (0 to 1) are not longer than, milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// The figures that are reported.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.len(),
            mean: self.0.mean() / 1_000.0,
            p50: self.quantile_ms(0.5),
            p90: self.quantile_ms(0.9),
            p99: self.quantile_ms(0.99),
            p999: self.quantile_ms(0.999),
            max: self.0.max() as f64 / 1_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::latency::Latencies;

    #[test]
    fn what_two_processes_counted_is_one_distribution() {
        let (mut left, mut right) = (Latencies::fine(), Latencies::fine());
        for micros in 1..=1_000u64 {
            let half = if micros % 2 == 0 {
                &mut left
            } else {
                &mut right
            };
            half.record_ns(micros * 1_000);
        }
        let text = serde_json::to_string(&right.counts()).expect("plain data");
        left.add(&serde_json::from_str(&text).expect("plain data"));
        let found = left.percentiles();
        assert_eq!(found.count, 1_000);
        assert!((found.p50 - 0.5).abs() < 0.002, "{found:?}");
        assert!((found.p99 - 0.99).abs() < 0.002, "{found:?}");
    }

    #[test]
    fn a_latency_beyond_the_scale_is_not_lost() {
        let mut latencies = Latencies::coarse();
        latencies.record_ns(u64::MAX);
        assert_eq!(latencies.len(), 1);
        assert!(latencies.quantile_ms(1.0) > 3_000_000.0);
    }
}
