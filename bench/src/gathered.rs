//! What the laps of a run have measured so far, figure by figure.

use crate::doubt::Doubt;
use crate::ratio::{Outcome, SetUp, Spec, summarise};

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
    Blocks { spec: Spec, set_ups: Vec<SetUp> },
    /// A value without a floor, one of each set-up or lap.
    Values {
        name: &'static str,
        unit: &'static str,
        values: Vec<f64>,
        doubts: Vec<Doubt>,
    },
    /// The largest of all.
    Worst {
        name: &'static str,
        unit: &'static str,
        worst: f64,
    },
}

impl Gathered {
    /// Adds a set-up's blocks of a ratio; none of them says nothing.
    pub fn add_set_up(&mut self, part: &'static str, spec: &Spec, more: SetUp) {
        if more == SetUp::default() {
            return;
        }
        let new = || Measured::Blocks {
            spec: spec.clone(),
            set_ups: Vec::new(),
        };
        if let Measured::Blocks { set_ups, .. } = self.of(part, spec.name, new) {
            set_ups.push(more);
        }
    }

    /// Adds a value, of which the median counts, and what stands against it.
    pub fn add_value(
        &mut self,
        part: &'static str,
        (name, unit): (&'static str, &'static str),
        value: f64,
        doubt: Option<Doubt>,
    ) {
        let new = || Measured::Values {
            name,
            unit,
            values: Vec::new(),
            doubts: Vec::new(),
        };
        if let Measured::Values { values, doubts, .. } = self.of(part, name, new) {
            values.push(value);
            doubts.extend(doubt.filter(|doubt| !doubts.contains(doubt)));
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
            Self::Blocks { spec, set_ups } => summarise(spec, set_ups),
            Self::Values {
                name,
                unit,
                values,
                doubts,
            } => Outcome {
                doubts: doubts.clone(),
                ..Outcome::of_values(name, unit, values)
            },
            Self::Worst { name, unit, worst } => Outcome::bare(name, unit, *worst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gathered;
    use crate::doubt::Doubt;
    use crate::ratio::{SetUp, Spec};

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
            let ten = SetUp {
                pairs: vec![(ratio, 1.0); 10],
                dropped: 2,
            };
            gathered.add_set_up("append", &spec("a"), ten);
            gathered.add_set_up("append", &spec("b"), vec![(5.0, 1.0)].into());
        }
        let outcomes = gathered.outcomes("append");
        let beside = outcomes[0].beside.as_ref().expect("a floor");
        assert_eq!((beside.blocks, beside.ratio), (30, 2.0));
        assert_eq!(beside.dropped, 6);
        assert_eq!(beside.spread, [1.0, 3.0]);
        assert_eq!(outcomes[1].name, "b");
        assert!(gathered.outcomes("another").is_empty());
    }

    #[test]
    fn of_values_the_median_counts_and_of_the_worst_the_largest() {
        let mut gathered = Gathered::default();
        for value in [3.0, 9.0, 1.0] {
            let doubt = (value > 5.0).then_some(Doubt::Skipped);
            gathered.add_value("memory", ("m", "B"), value, doubt);
            gathered.add_worst("memory", "w", "us", value);
        }
        let outcomes = gathered.outcomes("memory");
        let ours: Vec<f64> = outcomes.iter().map(|outcome| outcome.ours).collect();
        assert_eq!(ours, [3.0, 9.0]);
        assert_eq!(outcomes[0].doubts, [Doubt::Skipped], "one is enough");
    }

    #[test]
    fn no_blocks_are_no_figure() {
        let mut gathered = Gathered::default();
        gathered.add_set_up("append", &spec("a"), SetUp::default());
        assert!(gathered.outcomes("append").is_empty());
    }
}
