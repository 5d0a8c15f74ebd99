//! What the laps of a run have measured so far, figure by figure.

use crate::quantile::median;
use crate::ratio::{Outcome, Pair, Spec, summarise};

/// Figures in the order in which they were first measured.
#[derive(Debug, Default)]
pub struct Gathered(Vec<Figure>);

/// One figure.
#[derive(Debug)]
struct Figure {
    part: &'static str,
    measured: Measured,
}

#[derive(Debug)]
enum Measured {
    /// Blocks of a ratio.
    Blocks { spec: Spec, pairs: Vec<Pair> },
    /// A value without a floor, one of each set-up or lap.
    Values {
        name: &'static str,
        unit: &'static str,
        values: Vec<f64>,
    },
    /// The largest of all.
    Worst {
        name: &'static str,
        unit: &'static str,
        worst: f64,
    },
}

impl Gathered {
    /// Adds blocks of a ratio; none of them says nothing.
    pub fn add_pairs(&mut self, part: &'static str, spec: &Spec, more: Vec<Pair>) {
        if more.is_empty() {
            return;
        }
        let new = || Measured::Blocks {
            spec: spec.clone(),
            pairs: Vec::new(),
        };
        if let Measured::Blocks { pairs, .. } = self.of(part, spec.name, new) {
            pairs.extend(more);
        }
    }

    /// Adds a value, of which the median counts.
    pub fn add_value(
        &mut self,
        part: &'static str,
        name: &'static str,
        unit: &'static str,
        value: f64,
    ) {
        let new = || Measured::Values {
            name,
            unit,
            values: Vec::new(),
        };
        if let Measured::Values { values, .. } = self.of(part, name, new) {
            values.push(value);
        }
    }

    /// Adds a value, of which the largest counts.
    pub fn add_worst(
        &mut self,
        part: &'static str,
        name: &'static str,
        unit: &'static str,
        value: f64,
    ) {
        let new = || Measured::Worst {
            name,
            unit,
            worst: value,
        };
        if let Measured::Worst { worst, .. } = self.of(part, name, new) {
            *worst = worst.max(value);
        }
    }

    /// The figure of that name, made where it is new.
    fn of(
        &mut self,
        part: &'static str,
        name: &str,
        new: impl FnOnce() -> Measured,
    ) -> &mut Measured {
        let known = self.0.iter().position(|figure| figure.name() == name);
        let index = known.unwrap_or_else(|| {
            let measured = new();
            self.0.push(Figure { part, measured });
            self.0.len() - 1
        });
        &mut self.0[index].measured
    }

    /// The outcomes of a part, of all blocks and values so far.
    pub fn outcomes(&self, part: &str) -> Vec<Outcome> {
        let of_part = self.0.iter().filter(|figure| figure.part == part);
        of_part.map(|figure| figure.measured.outcome()).collect()
    }
}

impl Figure {
    fn name(&self) -> &'static str {
        match &self.measured {
            Measured::Blocks { spec, .. } => spec.name,
            Measured::Values { name, .. } | Measured::Worst { name, .. } => name,
        }
    }
}

impl Measured {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Blocks { spec, pairs } => summarise(spec, pairs),
            Self::Values { name, unit, values } => {
                Outcome::bare(name, unit, median(&mut values.clone()))
            }
            Self::Worst { name, unit, worst } => Outcome::bare(name, unit, *worst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gathered;
    use crate::ratio::Spec;

    fn spec(name: &'static str) -> Spec {
        Spec {
            name,
            unit: "us",
            floor_expected: 1.0..2.0,
        }
    }

    #[test]
    fn blocks_of_all_laps_are_summarised_together() {
        let mut gathered = Gathered::default();
        for ratio in [1.0, 2.0, 3.0] {
            gathered.add_pairs("append", &spec("a"), vec![(ratio, 1.0); 10]);
            gathered.add_pairs("append", &spec("b"), vec![(5.0, 1.0)]);
        }
        let outcomes = gathered.outcomes("append");
        let beside = outcomes[0].beside.as_ref().expect("a floor");
        assert_eq!((beside.blocks, beside.ratio), (30, 2.0));
        assert_eq!(beside.spread, [1.0, 3.0]);
        assert_eq!(outcomes[1].name, "b");
        assert!(gathered.outcomes("another").is_empty());
    }

    #[test]
    fn of_values_the_median_counts_and_of_the_worst_the_largest() {
        let mut gathered = Gathered::default();
        for value in [3.0, 9.0, 1.0] {
            gathered.add_value("memory", "m", "B", value);
            gathered.add_worst("memory", "w", "us", value);
        }
        let ours: Vec<f64> = gathered.outcomes("memory").iter().map(|o| o.ours).collect();
        assert_eq!(ours, [3.0, 9.0]);
    }

    #[test]
    fn no_blocks_are_no_figure() {
        let mut gathered = Gathered::default();
        gathered.add_pairs("append", &spec("a"), Vec::new());
        assert!(gathered.outcomes("append").is_empty());
    }
}
