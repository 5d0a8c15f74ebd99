//! How often `skein watch` wants news at most: so many times a second.

use std::str::FromStr;

/// Most and fewest times a second.
const RATE_MAX: f64 = 1_000.0;
const RATE_MIN: f64 = 0.001;

/// A rate as people write it: `2` is twice a second, `0.1` every ten seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxRate(f64);

impl MaxRate {
    /// The shortest time between two batches, milliseconds.
    pub fn interval_ms(self) -> u32 {
        (1e3 / self.0).ceil() as u32
    }
}

impl FromStr for MaxRate {
    type Err = String;

    /// # Errors
    /// A text for the person who typed it.
    fn from_str(text: &str) -> Result<Self, String> {
        let rate = text.parse().ok();
        let rate = rate.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate));
        rate.map(Self).ok_or(format!(
            "`{text}` is not a rate per second; write 2, or 0.1 for every ten seconds"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_intervals_or_are_refused() {
        let interval = |text: &str| text.parse::<MaxRate>().map(MaxRate::interval_ms);
        assert_eq!(interval("2"), Ok(500));
        assert_eq!(interval("3"), Ok(334));
        assert_eq!(interval("0.1"), Ok(10_000));
        assert_eq!(interval("1000"), Ok(1));
        for wrong in ["", "0", "-1", "1001", "NaN", "inf", "fast"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
