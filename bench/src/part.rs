//! One part of `cargo bench`: what shares its preparations, by name, and how long it takes.

/// A part of a run `R`.
#[derive(Clone, Copy)]
pub struct Part<R> {
    /// Its name; `cargo bench -- NAME` measures all of it.
    pub name: &'static str,
    /// The figures that it may give.
    pub figures: &'static [&'static str],
    /// Seconds that it takes on two cores: in a quick run, and in a full one.
    pub seconds: [u64; 2],
    /// Measures what of it is wanted.
    pub measure: fn(&mut R),
}
