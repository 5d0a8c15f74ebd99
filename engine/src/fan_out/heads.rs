//! Where the last walks of a chat ended: the offsets from which shared batches are built.
//!
//! A viewer that missed k walks finds an offset at most twice as far back, so encoding costs
//! O(log lag) whatever the number of viewers.

/// Walks remembered: a viewer further behind gets what changed since the horizon.
const WALKS: usize = 32;

/// How many walks ago a shared batch may begin.
const AGO: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Shared batches per chat and kind of watch while a walk lasts: the six above, from the horizon,
/// and from 0.
pub const BATCHES_PER_SCOPE_MAX: usize = AGO.len() + 2;

/// Ends of the last walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    /// The end of the walk in progress or the last one; 0 = none yet.
    current: u64,
    /// Ends of the walks before it, a ring.
    before: [u64; WALKS],
    /// Where the next one goes.
    next: usize,
    /// Smallest cursor that a viewer has brought along before the first walk; 0 = none.
    presented: u64,
}

impl Heads {
    /// A viewer has come with a cursor. Before the first walk that is where shared batches can
    /// begin: after a restart viewers come back with what they had, and want only what changed.
    pub(crate) fn present(&mut self, cursor: u64) {
        if self.current == 0 && cursor > 0 {
            let first = self.presented == 0;
            self.presented = if first {
                cursor
            } else {
                self.presented.min(cursor)
            };
        }
    }

    /// A walk begins that ends at `to`.
    pub(crate) fn begin(&mut self, to: u64) {
        if self.current == 0 {
            self.current = self.presented;
        }
        self.before[self.next] = self.current;
        self.next = (self.next + 1) % WALKS;
        self.current = to;
    }

    /// The end of the walk in progress, or of the last one.
    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    /// The greatest offset at or below `cursor` from which batches are built; 0 = a full batch.
    pub(crate) fn from(&self, cursor: u64, horizon: u64) -> u64 {
        if cursor < horizon {
            return 0;
        }
        AGO.iter()
            .map(|ago| self.before[(self.next + WALKS - ago) % WALKS])
            .find(|head| *head <= cursor)
            .map_or(horizon, |head| head.max(horizon))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gets_the_nearest_offset_behind_it() {
        let mut heads = Heads::default();
        for to in 1..=100 {
            heads.begin(to * 10);
        }
        let check = |cursor, expected| assert_eq!(heads.from(cursor, 5), expected, "{cursor}");
        check(1_000, 990); // 1 ago
        check(990, 990);
        check(989, 980); // 2 ago
        check(975, 960); // 4 ago
        check(950, 920); // 8 ago
        check(900, 840); // 16 ago
        check(700, 680); // 32 ago
        check(679, 5); // the horizon
        check(5, 5);
        check(4, 0);
        check(0, 0);
        // A horizon beyond all of them.
        assert_eq!(heads.from(995, 993), 993);
        assert_eq!(heads.from(992, 993), 0);
    }

    #[test]
    fn a_young_chat_begins_at_its_horizon() {
        let mut heads = Heads::default();
        heads.begin(10);
        assert_eq!(heads.from(10, 1), 1);
        assert_eq!(heads.from(9, 1), 1);
        assert_eq!(heads.from(0, 1), 0);
    }

    #[test]
    fn before_the_first_walk_the_viewers_say_where_batches_begin() {
        let mut heads = Heads::default();
        for cursor in [0, 30, 24, 27] {
            heads.present(cursor);
        }
        heads.begin(40);
        assert_eq!(heads.current(), 40);
        for (cursor, from) in [(30, 24), (24, 24), (23, 1), (0, 0)] {
            assert_eq!(heads.from(cursor, 1), from, "{cursor}");
        }
        // Later the walks say it.
        heads.present(12);
        heads.begin(50);
        assert_eq!((heads.from(40, 1), heads.from(12, 1)), (40, 1));
    }

    #[test]
    fn never_more_offsets_than_promised() {
        let mut heads = Heads::default();
        for to in 1..=200 {
            heads.begin(to * 7);
            let mut froms: Vec<u64> = (0..to * 7).map(|cursor| heads.from(cursor, 3)).collect();
            froms.sort_unstable();
            froms.dedup();
            assert!(froms.len() <= BATCHES_PER_SCOPE_MAX, "{froms:?}");
        }
    }
}
