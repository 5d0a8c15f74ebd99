//! Medians and other quantiles of a handful of measurements.

/// The value below which a `part` (0 to 1) of the values lies; sorts them. 0 of no values.
///
/// ```
/// let mut values = [3.0, 1.0, 2.0];
/// assert_eq!(skein_bench::quantile::quantile(&mut values, 0.5), 2.0);
/// ```
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len() - 1;
    values[(last as f64 * part).round() as usize]
}

/// The value in the middle; sorts them.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};

    #[test]
    fn few_and_no_values_have_quantiles() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut values, 0.0), 0.0);
        assert_eq!(quantile(&mut values, 1.0), 100.0);
    }
}
