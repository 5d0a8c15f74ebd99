//! Ours and the floor in turn, block by block, and the ratio of each pair of blocks.
//!
//! A block is short against the moods of a shared machine, so both blocks of a pair see the same
//! mood; who goes first alternates, so that nobody always finds the caches warm. The median of the
//! ratios is the figure, the middle nine tenths of them are its spread, and how sure the median itself
//! is says its [`interval`].
//!
//! A spread is a promise: another run of the same build finds its median within it. Some of what
//! differs between runs is settled when sides are set up (where memory, sockets and processes come
//! to lie), and neighbouring blocks would never show it. So a run has several *set-ups*, each made
//! anew, and its blocks are theirs together. Where memory alone does it, and set-ups are cheap, each
//! block has a set-up, with another [`Ballast`] before it. And some of it lasts for minutes, as the share of the
//! memory's bandwidth that neighbours leave: so a run goes through its parts in several *laps*, and
//! the blocks of all laps are summarised together.

use std::fmt;
use std::ops::Range;

use crate::ballast::Ballast;
use crate::doubt::Doubt;
use crate::interval;
use crate::quantile::{median, quantile};

/// A floor this many times off what its file documents is flagged: it measured something else.
pub const FLOOR_OFF_MAX: f64 = 1.5;

/// Where the spread of ratios begins and ends: the middle nine tenths of them.
const SPREAD: [f64; 2] = [0.05, 0.95];

/// What is measured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the ratio.
    pub name: &'static str,
    /// Unit of both sides: `B/s`, `ns`, `us`.
    pub unit: &'static str,
    /// What the floor's file documents, in that unit.
    pub floor_expected: Range<f64>,
}

/// A figure, beside its floor if there is one.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the ratio.
    pub name: String,
    /// Unit of `ours` and the floor.
    pub unit: &'static str,
    /// Median of our blocks, or of our values.
    pub ours: f64,
    /// How sure it is: an interval of the median of blocks, the least and the largest of values; `None` of a
    /// single value.
    pub ours_interval: Option<[f64; 2]>,
    /// The floor measured beside it.
    pub beside: Option<Beside>,
    /// What stands against it.
    pub doubts: Vec<Doubt>,
}

/// The floor's part of an outcome.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Median of the floor's blocks.
    pub floor: f64,
    /// What its file documents.
    pub floor_expected: [f64; 2],
    /// Median of the ratios of blocks, ours by floor.
    pub ratio: f64,
    /// 5th and 95th percentile of these ratios.
    pub spread: [f64; 2],
    /// How sure the median of them is.
    pub interval: [f64; 2],
    /// Blocks of each side.
    pub blocks: usize,
    /// Blocks that were measured and do not count, as nothing of them arrived.
    pub dropped: usize,
}

/// Both sides of a ratio as one set-up made them. Each call measures one block and gives its value
/// in the unit of the [`Spec`]; what it does to prepare is not part of the value.
pub struct Sides<'a> {
    ours: Box<dyn FnMut() -> f64 + 'a>,
    floor: Box<dyn FnMut() -> f64 + 'a>,
    /// Held as long as they are.
    _ballast: Option<Ballast>,
}

impl<'a> Sides<'a> {
    /// These two.
    pub fn new(ours: impl FnMut() -> f64 + 'a, floor: impl FnMut() -> f64 + 'a) -> Self {
        Self {
            ours: Box::new(ours),
            floor: Box::new(floor),
            _ballast: None,
        }
    }

    /// They, with some memory that was taken before they were made.
    pub fn beside(self, ballast: Ballast) -> Self {
        Self {
            _ballast: Some(ballast),
            ..self
        }
    }
}

impl Outcome {
    /// A figure that has no floor.
    pub fn bare(name: &str, unit: &'static str, ours: f64) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            ours,
            ours_interval: None,
            beside: None,
            doubts: Vec::new(),
        }
    }

    /// The median of some values that have no floor.
    pub fn of_values(name: &str, unit: &'static str, values: &[f64]) -> Self {
        let mut values = values.to_vec();
        let ours = median(&mut values);
        let ours_interval = match *values {
            [low, .., high] => Some([low, high]),
            _ => None,
        };
        Self {
            ours_interval,
            ..Self::bare(name, unit, ours)
        }
    }
}

impl Beside {
    /// Whether the floor is so far off its documented range that the ratio says nothing.
    ///
    /// One block says nothing: that is a check.
    pub fn is_strange(&self) -> bool {
        self.blocks > 1 && is_strange(self.floor, self.floor_expected)
    }
}

/// A block of ours and the floor's beside it.
pub type Pair = (f64, f64);

/// The blocks of one set-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetUp {
    /// Those that count.
    pub pairs: Vec<Pair>,
    /// How many others there were.
    pub dropped: usize,
}

impl From<Vec<Pair>> for SetUp {
    fn from(pairs: Vec<Pair>) -> Self {
        Self { pairs, dropped: 0 }
    }
}

/// Measures blocks of several set-ups, as many of each.
pub fn pairs_of_set_ups<'a>(
    set_ups: usize,
    blocks: usize,
    mut set_up: impl FnMut() -> Sides<'a>,
) -> Vec<SetUp> {
    let each = blocks.div_ceil(set_ups);
    let all = (0..set_ups).map(|index| pairs_from(index * each, each, set_up()).into());
    all.collect()
}

/// Measures so many blocks of both sides in turn.
pub fn pairs(blocks: usize, sides: Sides<'_>) -> Vec<Pair> {
    pairs_from(0, blocks, sides)
}

/// Measures blocks that last so long that nothing needs to be warm at their beginning. `first`: how many there
/// were before, in other laps.
pub fn long_pairs(first: usize, blocks: usize, mut sides: Sides<'_>) -> Vec<Pair> {
    in_turn(first, blocks, &mut sides)
}

/// The same after others, so that who goes first alternates also where a set-up has one block.
fn pairs_from(first: usize, blocks: usize, mut sides: Sides<'_>) -> Vec<Pair> {
    // One of each to warm up.
    (sides.ours)();
    (sides.floor)();
    in_turn(first, blocks, &mut sides)
}

fn in_turn(first: usize, blocks: usize, sides: &mut Sides<'_>) -> Vec<Pair> {
    let Sides { ours, floor, .. } = sides;
    let pair = |index| {
        if index % 2 == 0 {
            let ours = ours();
            (ours, floor())
        } else {
            let floor = floor();
            (ours(), floor)
        }
    };
    (first..first + blocks).map(pair).collect()
}

/// Measures blocks of the floor alone.
pub fn measure_floor(spec: &Spec, blocks: usize, mut floor: impl FnMut() -> f64) -> FloorOutcome {
    floor();
    summarise_floor(spec, (0..blocks).map(|_| floor()).collect())
}

/// Measures blocks of the floors of several set-ups.
pub fn measure_floor_set_ups<'a>(
    spec: &Spec,
    set_ups: usize,
    blocks: usize,
    mut set_up: impl FnMut() -> Sides<'a>,
) -> FloorOutcome {
    let each = blocks.div_ceil(set_ups);
    let mut values = Vec::with_capacity(blocks);
    for _ in 0..set_ups {
        let mut sides = set_up();
        (sides.floor)();
        values.extend((0..each).map(|_| (sides.floor)()));
    }
    summarise_floor(spec, values)
}

/// The outcome of blocks of the floor.
pub fn summarise_floor(spec: &Spec, mut blocks: Vec<f64>) -> FloorOutcome {
    FloorOutcome {
        spec: spec.clone(),
        floor: median(&mut blocks),
        spread: SPREAD.map(|part| quantile(&mut blocks, part)),
    }
}

/// A floor by itself.
#[derive(Clone, Debug)]
pub struct FloorOutcome {
    spec: Spec,
    floor: f64,
    spread: [f64; 2],
}

impl fmt::Display for FloorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.spec.unit;
        let [low, high] = self.spread.map(|value| Figure(value, unit));
        let range = &self.spec.floor_expected;
        let floor = Figure(self.floor, unit);
        write!(
            f,
            "floor of {:<36} {floor} ({low} to {high})",
            self.spec.name
        )?;
        let verdict = match is_strange(self.floor, [range.start, range.end]) {
            true => "FLAGGED, documented",
            false => "documented",
        };
        let (start, end) = (Figure(range.start, unit), Figure(range.end, unit));
        write!(f, ", {verdict} {start} to {end}")
    }
}

fn is_strange(floor: f64, [low, high]: [f64; 2]) -> bool {
    floor < low / FLOOR_OFF_MAX || floor > high * FLOOR_OFF_MAX
}

/// The outcome of the blocks of all set-ups.
pub fn summarise(spec: &Spec, set_ups: &[SetUp]) -> Outcome {
    let of = |value: fn(&Pair) -> f64| Blocks::of(set_ups, value);
    let (ours, floors, ratios) = (of(|it| it.0), of(|it| it.1), of(|it| it.0 / it.1));
    let doubts = match ratios.count {
        // That is a check.
        0..2 => Vec::new(),
        count => Doubt::of_ratio(count, ours.middle, floors.middle, ratios.middle),
    };
    Outcome {
        doubts,
        name: spec.name.to_owned(),
        unit: spec.unit,
        ours: ours.middle,
        ours_interval: Some(ours.interval),
        beside: Some(Beside {
            floor: floors.middle,
            floor_expected: [spec.floor_expected.start, spec.floor_expected.end],
            ratio: ratios.middle,
            spread: ratios.spread,
            interval: ratios.interval,
            blocks: ratios.count,
            dropped: set_ups.iter().map(|set_up| set_up.dropped).sum(),
        }),
    }
}

/// One value of each block.
struct Blocks {
    middle: f64,
    spread: [f64; 2],
    interval: [f64; 2],
    count: usize,
}

impl Blocks {
    fn of(set_ups: &[SetUp], value: fn(&Pair) -> f64) -> Self {
        let set_ups: Vec<Vec<f64>> = set_ups
            .iter()
            .map(|set_up| set_up.pairs.iter().map(value).collect())
            .collect();
        let mut all = set_ups.concat();
        Self {
            middle: median(&mut all),
            spread: SPREAD.map(|part| quantile(&mut all, part)),
            interval: interval::of_median(&set_ups).unwrap_or_default(),
            count: all.len(),
        }
    }
}

/// One line for people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} ours {}", self.name, Figure(self.ours, self.unit))?;
        for doubt in &self.doubts {
            write!(f, ", DOUBTFUL ({doubt})")?;
        }
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        let [low, high] = beside.spread;
        let floor = Figure(beside.floor, self.unit);
        write!(f, ", floor {floor}, ")?;
        if beside.is_strange() {
            let [low, high] = beside.floor_expected;
            let (low, high) = (Figure(low, self.unit), Figure(high, self.unit));
            write!(f, "FLAGGED (the floor should be {low} to {high}), ")?;
        }
        let (ratio, blocks, dropped) = (beside.ratio, beside.blocks, beside.dropped);
        write!(
            f,
            "ratio {ratio:.3} ({low:.3} to {high:.3}, {blocks} blocks"
        )?;
        if dropped > 0 {
            write!(f, ", {dropped} dropped")?;
        }
        let [low, high] = beside.interval;
        write!(f, "), median within {low:.3} to {high:.3}")
    }
}

/// A value with as many digits as it deserves.
struct Figure(f64, &'static str);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        let (value, prefix) = match value {
            value if unit.starts_with("ns") || unit.starts_with("us") => (value, ""),
            value if value >= 1e9 => (value / 1e9, "G"),
            value if value >= 1e6 => (value / 1e6, "M"),
            value if value >= 1e3 => (value / 1e3, "k"),
            value => (value, ""),
        };
        match value {
            value if value < 10.0 => write!(f, "{value:.2} {prefix}{unit}"),
            value if value < 100.0 => write!(f, "{value:.1} {prefix}{unit}"),
            value => write!(f, "{value:.0} {prefix}{unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Outcome, Sides, Spec, long_pairs, pairs, pairs_of_set_ups, summarise};

    fn spec() -> Spec {
        Spec {
            name: "some",
            unit: "B/s",
            floor_expected: 9e9..11e9,
        }
    }

    #[test]
    fn the_ratio_is_that_of_neighbours_whatever_the_mood() {
        // The machine becomes ten times slower half-way; ours is always half of the floor.
        let mut calls = 0;
        let mut block = |share: f64| {
            calls += 1;
            share * if calls > 42 { 1e9 } else { 1e10 }
        };
        let mut pairs = Vec::new();
        for _ in 0..40 {
            pairs.push((block(0.5), block(1.0)));
        }
        let outcome = summarise(&spec(), &[pairs.into()]);
        assert!(outcome.doubts.is_empty(), "{outcome}");
        let beside = outcome.beside.expect("a floor");
        assert_eq!((beside.ratio, beside.spread), (0.5, [0.5, 0.5]));
        assert_eq!(beside.interval, [0.5, 0.5]);
    }

    #[test]
    fn who_goes_first_alternates_also_where_each_block_has_a_set_up() {
        let calls = RefCell::new(String::new());
        let side = |name: char| {
            let calls = &calls;
            move || {
                calls.borrow_mut().push(name);
                1.0
            }
        };
        pairs_of_set_ups(4, 4, || Sides::new(side('o'), side('f')));
        // One of each to warm up, then the block.
        assert_eq!(calls.borrow().as_str(), "ofofoffoofofoffo");
    }

    #[test]
    fn long_blocks_alternate_over_the_laps_and_are_not_warmed_up() {
        let calls = RefCell::new(String::new());
        let side = |name: char| {
            let calls = &calls;
            move || {
                calls.borrow_mut().push(name);
                1.0
            }
        };
        for lap in 0..3 {
            long_pairs(lap, 1, Sides::new(side('o'), side('f')));
        }
        assert_eq!(calls.borrow().as_str(), "offoof");
    }

    #[test]
    fn the_spread_holds_what_differs_between_set_ups() {
        // Within a set-up every block has the same ratio; each set-up has another one.
        let mut share = 0.0;
        let set_up = || {
            share += 0.1;
            Sides::new(move || share * 1e10, || 1e10)
        };
        let outcome = summarise(&spec(), &pairs_of_set_ups(5, 40, set_up));
        let beside = outcome.beside.expect("a floor");
        assert_eq!(beside.blocks, 40);
        let [low, high] = beside.spread;
        assert!((low - 0.1).abs() < 1e-9, "{low}");
        assert!((high - 0.5).abs() < 1e-9, "{high}");
        assert!((beside.ratio - 0.3).abs() < 1e-9, "{}", beside.ratio);
        // So does the interval: eight blocks of each that agree do not make the median sure.
        let [low, high] = beside.interval;
        assert!(low < 0.25 && high > 0.35, "{low} to {high}");
    }

    #[test]
    fn middles_of_another_ratio_than_the_blocks_are_told() {
        // In half of the blocks the floor alone was slowed down, in a third ours.
        let block = |index| match index % 6 {
            0..3 => (1e9, 0.5e9),
            3 | 4 => (0.4e9, 1e9),
            _ => (1e9, 1e9),
        };
        let outcome = summarise(&spec(), &[(0..60).map(block).collect::<Vec<_>>().into()]);
        assert_eq!(outcome.doubts.len(), 1, "{outcome}");
        assert!(outcome.to_string().contains("DOUBTFUL"), "{outcome}");
    }

    #[test]
    fn values_have_their_range_and_one_has_none() {
        let several = Outcome::of_values("memory", "B", &[3.0, 9.0, 1.0]);
        assert_eq!(
            (several.ours, several.ours_interval),
            (3.0, Some([1.0, 9.0]))
        );
        assert_eq!(
            Outcome::of_values("memory", "B", &[3.0]).ours_interval,
            None
        );
    }

    #[test]
    fn a_floor_out_of_its_range_is_flagged() {
        for (floor, strange) in [(10e9, false), (6.1e9, false), (5.9e9, true), (17e9, true)] {
            let outcome = summarise(&spec(), &[pairs(4, Sides::new(|| 1e9, || floor)).into()]);
            let beside = outcome.beside.as_ref().expect("a floor");
            assert_eq!(beside.is_strange(), strange, "{outcome}");
            assert_eq!(outcome.to_string().contains("FLAGGED"), strange);
        }
    }
}
