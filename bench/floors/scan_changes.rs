//! Floor of "what changed since": the changed rows read out of one dense array, newest first, by a
//! loop that already knows how many they are.
//!
//! Expected: 0.35 to 1.1 ns a changed row on an AMD EPYC (Zen 4 or 5); they lie side by side.
//!
//! On an Intel Xeon 0.35 to 0.7 ns.

use crate::floors::expected::Expected;
use crate::floors::store_rows::StoredRow;

/// Where the time of a row lies on the machine above, nanoseconds.
pub const EXPECTED: Expected = Expected::new(0.35..1.1, 0.35..0.7);

/// Goes over the last `changed` rows; gives something that depends on all of them.
#[inline(never)]
pub fn sum(rows: &[StoredRow], changed: usize) -> u64 {
    let changed = &rows[rows.len() - changed..];
    let parts = |row: &StoredRow| row.offset ^ row.lat_e6 as u64 ^ row.lon_e6 as u64;
    changed.iter().rev().map(parts).fold(0, u64::wrapping_add)
}
