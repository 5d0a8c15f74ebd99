//! One part of `cargo bench`: what shares its preparations, by name, and how long it takes.

/// Which laps of a run measure a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laps {
    /// Each, a share of its blocks: its ratios have a spread.
    Each,
    /// The last one: it measures over a time, and has no spread.
    Last,
}

/// A part of a run `R`.
#[derive(Clone, Copy)]
pub struct Part<R> {
    /// Its name; `cargo bench -- NAME` measures all of it.
    pub name: &'static str,
    /// The figures that it may give.
    pub figures: &'static [&'static str],
    /// Seconds that it takes on two cores, all laps together: in a quick run, and in a full one.
    pub seconds: [u64; 2],
    /// Which laps of a run measure it.
    pub laps: Laps,
    /// Measures what of it is wanted.
    pub measure: fn(&mut R),
}
