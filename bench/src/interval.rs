//! How sure a median is: a 95 % confidence interval for it, by a two-stage bootstrap.
//!
//! Blocks of one set-up are alike in what the set-up has settled, so they are no independent draws, and
//! the order statistics of all blocks together would promise too much. Resampled are therefore first the
//! set-ups and then the blocks of each, both with replacement; the interval is from the 2.5th to the
//! 97.5th percentile of the medians found so (Davison and Hinkley, *Bootstrap Methods and their
//! Application*, 1997, sections 3.8 and 5.3). Where a run has a single set-up only the second stage is
//! left, and the interval says nothing about other set-ups.
//!
//! The draws are those of a fixed seed: the same blocks have the same interval.

use crate::quantile::{median, quantile};

/// Medians that are drawn.
const DRAWS: usize = 1_000;

/// Where the interval begins and ends among them.
const ENDS: [f64; 2] = [0.025, 0.975];

/// The interval for the median of the values of several set-ups; `None` of no values.
///
/// ```
/// let interval = skein_bench::interval::of_median(&[vec![2.0; 9], vec![2.0; 9]]);
/// assert_eq!(interval, Some([2.0, 2.0]));
/// ```
pub fn of_median(set_ups: &[Vec<f64>]) -> Option<[f64; 2]> {
    let set_ups: Vec<&[f64]> = set_ups
        .iter()
        .map(Vec::as_slice)
        .filter(|values| !values.is_empty())
        .collect();
    if set_ups.is_empty() {
        return None;
    }
    let mut draws = Draws(0);
    let mut resample = Vec::new();
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            resample.clear();
            for _ in 0..set_ups.len() {
                let values = set_ups[draws.below(set_ups.len())];
                resample.extend(values.iter().map(|_| values[draws.below(values.len())]));
            }
            median(&mut resample)
        })
        .collect();
    Some(ENDS.map(|part| quantile(&mut medians, part)))
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        // The high half of the product: without a division, and as even as the draws are.
        ((u128::from(mixed) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Draws, of_median};

    fn normal(draws: &mut Draws) -> f64 {
        // The sum of twelve even draws, with mean 0 and variance 1.
        let even = |draws: &mut Draws| draws.below(1 << 20) as f64 / f64::from(1 << 20);
        (0..12).map(|_| even(draws)).sum::<f64>() - 6.0
    }

    /// Of how many of 100 runs the interval holds the true median, 0.
    fn held(set_ups: usize, blocks: usize, between: f64, within: f64) -> usize {
        let mut draws = Draws(7);
        let run = |draws: &mut Draws| -> Vec<Vec<f64>> {
            let set_up = |draws: &mut Draws| {
                let middle = between * normal(draws);
                let block = |draws: &mut Draws| middle + within * normal(draws);
                (0..blocks).map(|_| block(draws)).collect()
            };
            (0..set_ups).map(|_| set_up(draws)).collect()
        };
        let holds = |[low, high]: [f64; 2]| low <= 0.0 && 0.0 <= high;
        (0..100)
            .filter(|_| of_median(&run(&mut draws)).is_some_and(holds))
            .count()
    }

    #[test]
    fn the_true_median_is_held_as_often_as_promised() {
        for (set_ups, blocks, between, within) in [
            // All blocks are independent.
            (1, 40, 0.0, 1.0),
            (40, 1, 1.0, 0.0),
            // Set-ups differ more than their blocks: order statistics of 45 blocks hold it in half of the runs.
            (9, 5, 1.0, 0.1),
            (9, 5, 1.0, 1.0),
        ] {
            let held = held(set_ups, blocks, between, within);
            assert!(held >= 89, "{set_ups} of {blocks}: {held} of 100");
        }
    }

    #[test]
    fn more_blocks_make_it_narrower() {
        let mut draws = Draws(7);
        let mut width = |blocks: usize| {
            let values: Vec<f64> = (0..blocks).map(|_| normal(&mut draws)).collect();
            let [low, high] = of_median(&[values]).expect("values");
            high - low
        };
        let (few, many) = (width(10), width(1_000));
        assert!(many * 3.0 < few, "{many} {few}");
    }

    #[test]
    fn the_same_blocks_have_the_same_interval_and_none_have_none() {
        let blocks = vec![vec![1.0, 5.0, 2.0], vec![4.0, 3.0], Vec::new()];
        assert_eq!(of_median(&blocks), of_median(&blocks));
        assert_eq!(of_median(&[Vec::new()]), None);
    }
}
