//! Figures for people.

use std::fmt;

use crate::figure::Figure;
use crate::results::Results;

/// A value with its unit, with as many digits as it deserves.
pub struct Amount<'a>(pub f64, pub &'a str);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        let scale = Scale::of(value, unit);
        let space = if scale.unit.is_empty() { "" } else { " " };
        let (prefix, unit) = (scale.prefix, scale.unit);
        write!(f, "{}{space}{prefix}{unit}", scale.digits(value))
    }
}

/// How a value is written, and those that stand beside it.
struct Scale<'a> {
    divisor: f64,
    prefix: &'static str,
    unit: &'a str,
}

impl<'a> Scale<'a> {
    /// Times go on to the next unit, everything else takes a prefix.
    fn of(value: f64, unit: &'a str) -> Self {
        let (divisor, prefix, unit) = match (unit, value) {
            ("us", value) if value >= 1e6 => (1e6, "", "s"),
            ("us", value) if value >= 1e3 => (1e3, "", "ms"),
            ("ms", value) if value >= 10e3 => (1e3, "", "s"),
            ("ms" | "us", _) => (1.0, "", unit),
            (_, value) if value < 1e3 => (1.0, "", unit),
            (_, value) if value < 1e6 => (1e3, "k", unit),
            (_, value) if value < 1e9 => (1e6, "M", unit),
            _ => (1e9, "G", unit),
        };
        Self {
            divisor,
            prefix,
            unit,
        }
    }

    fn digits(&self, value: f64) -> String {
        match value / self.divisor {
            value if value < 10.0 => format!("{value:.2}"),
            value if value < 100.0 => format!("{value:.1}"),
            value => format!("{value:.0}"),
        }
    }
}

/// The middle and the spread of a figure.
pub struct Spread<'a>(pub &'a Figure);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = self.0;
        write!(f, "{}", Amount(figure.median, &figure.unit))?;
        if figure.values.len() > 1 {
            let scale = Scale::of(figure.median, &figure.unit);
            let (low, high) = (scale.digits(figure.low), scale.digits(figure.high));
            write!(f, " ({low} to {high})")?;
        }
        Ok(())
    }
}

/// All figures of a run, a line each.
impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for peer in &self.peers {
            writeln!(f, "{}: {}", peer.name, peer.title)?;
            for figure in self.figures.iter().filter(|one| one.peer == peer.name) {
                let name = serde_json::to_string(&figure.measure).unwrap_or_default();
                writeln!(f, "  {:<24} {}", name.trim_matches('"'), Spread(figure))?;
            }
            if !peer.trouble.is_empty() {
                writeln!(f, "  {}", peer.trouble)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Spread};
    use crate::figure::{Figures, Measure};

    #[test]
    fn amounts_have_the_digits_they_deserve() {
        for (value, unit, text) in [
            (1_234_567.0, "positions/s", "1.23 Mpositions/s"),
            (45_600.0, "B", "45.6 kB"),
            (512.0, "B", "512 B"),
            (4.256, "ms", "4.26 ms"),
            (12_345.0, "ms", "12.3 s"),
            (345.0, "us", "345 us"),
            (7_000.0, "us", "7.00 ms"),
            (2_500.0, "ns/row", "2.50 kns/row"),
            (0.987, "", "0.99"),
        ] {
            assert_eq!(Amount(value, unit).to_string(), text);
        }
    }

    #[test]
    fn a_spread_is_in_the_unit_of_its_middle() {
        let mut figures = Figures::default();
        for value in [13_690.0, 9_510.0, 13_820.0] {
            figures.add("kafka", Measure::Restart, value);
        }
        let figures = figures.into_vec();
        assert_eq!(Spread(&figures[0]).to_string(), "13.7 s (9.51 to 13.8)");
    }
}
