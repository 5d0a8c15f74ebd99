//! `docs/BENCHMARKS.md`: made from what `cargo bench` and `compare` have measured, and from nothing
//! else. Which peer is faster is read off the figures; a person only writes why.

pub mod budgets;
pub mod ratios;
pub mod reading;
pub mod scaling;
pub mod standing;

pub mod plot;

pub mod page;

pub mod write;
