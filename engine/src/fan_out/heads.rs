//! Where the last walks of a chat ended: the offsets from which shared batches are built.
//!
//! A viewer that missed k walks finds an offset less than three times as far back, so encoding
//! costs O(log lag) whatever the number of viewers. Who was away for longer is served from where
//! [`Returning`] says.

use crate::fan_out::returning::Returning;

/// Walks remembered: what a viewer that could not take a batch for half a minute has missed in a
/// chat with the greatest floor interval.
const WALKS: usize = 32;

/// How many walks ago a shared batch may begin: each about 2.5 times the one before.
const AGO: [usize; 5] = [1, 2, 5, 12, WALKS];

/// Shared batches per chat and kind of watch while a walk lasts: those above, from where viewers
/// return, from the horizon, and from 0.
pub const BATCHES_PER_SCOPE_MAX: usize = AGO.len() + 3;

/// Ends of the last walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    /// The end of the walk in progress or the last one; 0 = none yet.
    current: u64,
    /// Ends of the walks before it, a ring; 0 = none yet.
    before: [u64; WALKS],
    /// Where the next one goes.
    next: usize,
}

impl Heads {
    /// A walk begins that ends at `to`.
    pub(crate) fn begin(&mut self, to: u64) {
        self.before[self.next] = self.current;
        self.next = (self.next + 1) % WALKS;
        self.current = to;
    }

    /// The end of the walk in progress, or of the last one.
    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    /// Where the batch of a viewer with this cursor begins, at or below it; 0 = a full batch.
    pub(crate) fn from(
        &self,
        cursor: u64,
        horizon: u64,
        returning: &mut Returning,
        series: u64,
    ) -> u64 {
        if cursor == 0 || cursor < horizon {
            return 0;
        }
        match self.nearest(cursor) {
            Some(head) => head.max(horizon),
            None => returning.choose(series, cursor, horizon).unwrap_or(horizon),
        }
    }

    /// The greatest remembered offset at or below `cursor`.
    fn nearest(&self, cursor: u64) -> Option<u64> {
        AGO.iter()
            .map(|ago| self.before[(self.next + WALKS - ago) % WALKS])
            .find(|head| (1..=cursor).contains(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a viewer is served that comes alone.
    fn alone(heads: &Heads, cursor: u64, horizon: u64) -> u64 {
        heads.from(cursor, horizon, &mut Returning::default(), 1)
    }

    #[test]
    fn a_cursor_gets_the_nearest_offset_behind_it() {
        let mut heads = Heads::default();
        for to in 1..=100 {
            heads.begin(to * 10);
        }
        let check = |cursor, expected| assert_eq!(alone(&heads, cursor, 5), expected, "{cursor}");
        check(1_000, 990); // 1 ago
        check(990, 990);
        check(989, 980); // 2 ago
        check(975, 950); // 5 ago
        check(949, 880); // 12 ago
        check(700, 680); // 32 ago
        check(679, 679); // its own
        check(5, 5);
        check(4, 0);
        check(0, 0);
        // A horizon beyond all of them.
        assert_eq!(alone(&heads, 995, 993), 993);
        assert_eq!(alone(&heads, 992, 993), 0);
    }

    #[test]
    fn before_the_first_walk_the_viewers_say_where_batches_begin() {
        let mut heads = Heads::default();
        let mut returning = Returning::default();
        for cursor in [0, 30, 24, 27] {
            returning.present(1, cursor);
        }
        heads.begin(40);
        assert_eq!(heads.current(), 40);
        for (cursor, from) in [(30, 24), (24, 24), (23, 1), (0, 0)] {
            assert_eq!(heads.from(cursor, 1, &mut returning, 1), from, "{cursor}");
        }
        // Later the walks say it.
        heads.begin(50);
        assert_eq!(alone(&heads, 40, 1), 40);
    }

    #[test]
    fn never_more_offsets_than_promised() {
        let mut heads = Heads::default();
        let mut most = 0;
        for to in 1..=200 {
            heads.begin(to * 7);
            let mut returning = Returning::default();
            // Each presents its cursor when it comes, the last ones after the first are served.
            let cursors = (0..to * 7).map(|cursor| cursor * 1_409 % (to * 7));
            let mut froms: Vec<u64> = cursors
                .map(|cursor| {
                    returning.present(to, cursor);
                    heads.from(cursor, 3, &mut returning, to)
                })
                .collect();
            froms.sort_unstable();
            froms.dedup();
            assert!(froms.len() <= BATCHES_PER_SCOPE_MAX, "{froms:?}");
            most = most.max(froms.len());
        }
        assert_eq!(most, BATCHES_PER_SCOPE_MAX);
    }
}
