//! Memory that is held so that what is made next comes to lie elsewhere.
//!
//! Memory that is given back is given out again: a table that is made anew lies at the same address, often in
//! the same pages. Where it lies decides which lines of the caches its rows share, so a process has a figure of
//! its own, and none of its blocks shows that another one would have another.

use std::hint::black_box;

/// Sizes, bytes: odd multiples of pages, so that neither pages nor addresses repeat soon.
const STEP_BYTES: usize = 1_300_000;

/// How many sizes there are: up to 38 MB.
const SIZES: usize = 29;

/// Goes through the sizes in no order: a prime.
const STRIDE: usize = 7_919;

/// Some memory in nobody's way.
pub struct Ballast {
    _held: Vec<u8>,
}

impl Ballast {
    /// One of them; neighbours in number differ in size.
    pub fn new(number: usize) -> Self {
        // Touched, or it would be an address without memory.
        let bytes = (number * STRIDE % SIZES + 1) * STEP_BYTES;
        Self {
            _held: black_box(vec![1; bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ballast::{Ballast, SIZES, STEP_BYTES};

    #[test]
    fn all_sizes_come_once_in_a_round() {
        let mut sizes: Vec<usize> = (0..SIZES)
            .map(|number| Ballast::new(number)._held.len())
            .collect();
        assert!(sizes.windows(2).all(|two| two[0] != two[1]));
        sizes.sort_unstable();
        let all: Vec<usize> = (1..=SIZES).map(|size| size * STEP_BYTES).collect();
        assert_eq!(sizes, all);
    }
}
