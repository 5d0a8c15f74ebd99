//! Floor of a walk over viewers: an array of 64-byte viewers, each called for by number through a
//! function that the compiler cannot see into, its cursor moved to the head.
//!
//! Expected: 1.2 to 2.4 ns a viewer with 100,000 of them on an AMD EPYC (Zen 4 or 5): five to seven
//! cycles, after the place of the loop in the executable, hence [`WALKS`].
//!
//! On an Intel Xeon: 2 to 4 ns.

use crate::floors::expected::Expected;

/// Where the time of a viewer lies on the machine above, nanoseconds.
pub const EXPECTED: Expected = Expected::new(1.2..2.4, 2.0..4.0);

/// A viewer in the least that it can be, as large as a line of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct PlainViewer {
    /// Where its batches go.
    pub connection: u64,
    /// Up to where it has everything.
    pub cursor: u64,
}

/// One way to walk.
pub type Walk = fn(&mut [PlainViewer], u64, fn(u64) -> bool) -> u64;

/// The same walk, at several places of the executable. The loop has a handful of instructions, and
/// how it comes to lie over the lines of the instruction cache decides whether a viewer takes five,
/// six or seven cycles (1.39, 1.67, 1.94 ns; as many for 1,000 viewers as for 100,000, wherever
/// they lie). Any change of the program moves it, so one place would be a throw of dice for each
/// build, and all of them together hold still.
pub const WALKS: [Walk; 8] = [
    walk::<0>, walk::<1>, walk::<2>, walk::<3>, walk::<4>, walk::<5>, walk::<6>, walk::<7>,
];

/// Offers everything up to `head` to all who do not have it; gives how many took it.
///
/// The count begins at `PLACE`, or the compiler would merge the places to one.
#[inline(never)]
fn walk<const PLACE: u64>(viewers: &mut [PlainViewer], head: u64, offer: fn(u64) -> bool) -> u64 {
    let mut taken = PLACE;
    for viewer in viewers {
        if viewer.cursor < head && offer(viewer.connection) {
            viewer.cursor = head;
            taken += 1;
        }
    }
    taken - PLACE
}
