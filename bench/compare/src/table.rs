//! Figures for people.

use std::fmt;

use crate::figure::Figure;
use crate::results::Results;

/// A value with its unit, with as many digits as it deserves.
pub struct Amount<'a>(pub f64, pub &'a str);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        let (value, prefix) = match value {
            value if unit == "ms" && value >= 10_000.0 => (value / 1e3, ""),
            value if unit == "ms" || value < 1e3 => (value, ""),
            value if value < 1e6 => (value / 1e3, "k"),
            value if value < 1e9 => (value / 1e6, "M"),
            value => (value / 1e9, "G"),
        };
        let unit = match unit {
            "ms" if self.0 >= 10_000.0 => "s",
            unit => unit,
        };
        let space = if unit.is_empty() { "" } else { " " };
        match value {
            value if value < 10.0 => write!(f, "{value:.2}{space}{prefix}{unit}"),
            value if value < 100.0 => write!(f, "{value:.1}{space}{prefix}{unit}"),
            value => write!(f, "{value:.0}{space}{prefix}{unit}"),
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
            let (low, high) = (Amount(figure.low, ""), Amount(figure.high, ""));
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
    use super::Amount;

    #[test]
    fn amounts_have_the_digits_they_deserve() {
        for (value, unit, text) in [
            (1_234_567.0, "positions/s", "1.23 Mpositions/s"),
            (45_600.0, "B", "45.6 kB"),
            (512.0, "B", "512 B"),
            (4.256, "ms", "4.26 ms"),
            (12_345.0, "ms", "12.3 s"),
            (0.987, "", "0.99"),
        ] {
            assert_eq!(Amount(value, unit).to_string(), text);
        }
    }
}
