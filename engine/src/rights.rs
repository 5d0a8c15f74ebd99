//! What a member may do in a chat.

use std::fmt;

use crate::grid::Grid;

/// Right to start sessions.
pub const RIGHT_SHARE: u8 = 0b01;

/// Right to watch places as they were reported.
pub const RIGHT_WATCH: u8 = 0b10;

/// No right, and those that a token brings do not count either.
pub const RIGHTS_REVOKED: u8 = 0b100;

/// Bits of the step of a grid: the right to watch places on it. They stand instead of [`RIGHT_WATCH`], so that a
/// reader that does not know them grants nothing.
const GRID_BITS: u8 = 0b111_1000;

/// Where they begin.
const GRID_SHIFT: u32 = 3;

/// A set of rights; bit 0 share, bit 1 watch, bit 2 "revoked, whatever a token says", bits 3 to 6 watch
/// on a grid. No rights at all is the same as not being a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

/// How much of places is seen, the finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    /// As they were reported.
    Exact,
    /// On the grid of this step.
    OnGrid(u8),
    /// Nothing.
    None,
}

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// May start sessions.
    pub const SHARE: Self = Self(RIGHT_SHARE);
    /// May see the chat, places as they were reported.
    pub const WATCH: Self = Self(RIGHT_WATCH);
    /// The least right to watch: on the coarsest grid. Whoever may watch at all has it.
    pub const WATCH_LEAST: Self = Self((Grid::STEPS_M.len() as u8) << GRID_SHIFT);
    /// May share, and see everything.
    pub const ALL: Self = Self(RIGHT_SHARE | RIGHT_WATCH);
    /// Nothing, and rights that a token brings do not count either.
    pub const REVOKED: Self = Self(RIGHTS_REVOKED);

    /// From the bits of a record; unknown bits grant nothing. Of two rights to watch the lesser one counts.
    pub fn from_bits(bits: u8) -> Self {
        let sight = match (bits & GRID_BITS) >> GRID_SHIFT {
            0 if bits & RIGHT_WATCH != 0 => Sight::Exact,
            step if Grid::of_step(step).is_some() => Sight::OnGrid(step),
            _ => Sight::None,
        };
        Self::new(bits & (RIGHT_SHARE | RIGHTS_REVOKED), sight)
    }

    /// From the bits of a request, which may grant and nothing else; `None` where they are none of ours.
    ///
    /// ```
    /// use skein_engine::rights::Rights;
    /// assert_eq!(Rights::asked(Rights::ALL.bits()), Some(Rights::ALL));
    /// assert_eq!(Rights::asked(Rights::REVOKED.bits()), None);
    /// assert_eq!(Rights::asked(Rights::WATCH.bits() | Rights::WATCH_LEAST.bits()), None);
    /// ```
    pub fn asked(bits: u8) -> Option<Self> {
        let rights = Self::from_bits(bits);
        (rights.0 == bits && !rights.is_revoked()).then_some(rights)
    }

    /// The same with places on this grid only, for rights that may watch; `None` where they do not, or for a size
    /// that is none of [`Grid::STEPS_M`].
    pub fn on_grid(self, grid: Grid) -> Option<Self> {
        let step = grid.step()?;
        self.watches()
            .then(|| Self::new(self.0, Sight::OnGrid(step)))
    }

    fn new(others: u8, sight: Sight) -> Self {
        let bits = match sight {
            Sight::Exact => RIGHT_WATCH,
            Sight::OnGrid(step) => step << GRID_SHIFT,
            Sight::None => 0,
        };
        Self(others & (RIGHT_SHARE | RIGHTS_REVOKED) | bits)
    }

    fn sight(self) -> Sight {
        match (self.0 & GRID_BITS) >> GRID_SHIFT {
            0 if self.0 & RIGHT_WATCH != 0 => Sight::Exact,
            0 => Sight::None,
            step => Sight::OnGrid(step),
        }
    }

    /// The bits, as they are stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is granted, and places as fine as there.
    pub fn has(self, other: Self) -> bool {
        let missing = other.0 & (RIGHT_SHARE | RIGHTS_REVOKED) & !self.0;
        missing == 0 && self.sight() <= other.sight()
    }

    /// Whether the chat may be watched, on whatever grid.
    pub fn watches(self) -> bool {
        self.sight() != Sight::None
    }

    /// The grid on which places may be watched; `None` where they may be seen as they are, or not at all.
    pub fn grid(self) -> Option<Grid> {
        match self.sight() {
            Sight::OnGrid(step) => Grid::of_step(step),
            Sight::Exact | Sight::None => None,
        }
    }

    /// Whether nothing is granted and nothing is remembered.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether rights that a token brings do not count.
    pub fn is_revoked(self) -> bool {
        self.0 & RIGHTS_REVOKED != 0
    }

    /// What is granted, without what is remembered.
    pub fn granted(self) -> Self {
        Self(self.0 & !RIGHTS_REVOKED)
    }

    /// What both grant. A revocation on either side stays one.
    pub fn and(self, other: Self) -> Self {
        let revoked = (self.0 | other.0) & RIGHTS_REVOKED;
        let share = self.0 & other.0 & RIGHT_SHARE;
        Self::new(share | revoked, self.sight().max(other.sight()))
    }

    /// What either grants.
    pub fn or(self, other: Self) -> Self {
        let share = (self.0 | other.0) & RIGHT_SHARE;
        Self::new(share, self.sight().min(other.sight()))
    }

    /// What these, which are stored, and those that a token brings grant together. A stored
    /// revocation wins, and so does a stored grid.
    pub fn with_claim(self, claim: Self) -> Self {
        match (self.is_revoked(), self.sight()) {
            (true, _) => Self::NONE,
            (false, sight @ Sight::OnGrid(_)) => Self::new((self.0 | claim.0) & RIGHT_SHARE, sight),
            (false, _) => self.or(claim),
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.has(Self::SHARE), self.watches()) {
            (false, false) => "none",
            (true, false) => "share",
            (false, true) => "watch",
            (true, true) => "share,watch",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::grid::Grid;
    use crate::rights::Rights;

    fn watch_on(metres: u32) -> Rights {
        let grid = Grid::new(metres).unwrap();
        Rights::WATCH.on_grid(grid).unwrap()
    }

    #[test]
    fn a_revocation_wins_over_every_claim() {
        for claim in [Rights::NONE, Rights::SHARE, Rights::WATCH, Rights::ALL] {
            assert_eq!(Rights::REVOKED.with_claim(claim), Rights::NONE);
            assert_eq!(Rights::NONE.with_claim(claim), claim);
        }
        assert_eq!(Rights::SHARE.with_claim(Rights::WATCH), Rights::ALL);
        assert_eq!(Rights::NONE.with_claim(Rights::REVOKED), Rights::NONE);
    }

    #[test]
    fn a_revocation_stays_one_beside_anything() {
        assert_eq!(Rights::ALL.and(Rights::REVOKED), Rights::REVOKED);
        assert_eq!(Rights::REVOKED.and(Rights::ALL), Rights::REVOKED);
        assert_eq!(Rights::ALL.and(Rights::WATCH), Rights::WATCH);
        assert!(!Rights::REVOKED.is_none());
        assert_eq!(Rights::REVOKED.granted(), Rights::NONE);
    }

    #[test]
    fn a_grid_is_less_than_the_right_to_watch_and_more_than_none() {
        let (fine, coarse) = (watch_on(100), watch_on(5_000));
        assert_eq!(watch_on(100_000), Rights::WATCH_LEAST);
        let falling = [
            Rights::WATCH,
            fine,
            coarse,
            Rights::WATCH_LEAST,
            Rights::NONE,
        ];
        for (place, more) in falling.iter().enumerate() {
            for less in &falling[place..] {
                assert!(more.has(*less), "{more:?} {less:?}");
                assert_eq!(less.has(*more), less == more, "{less:?} {more:?}");
                assert_eq!(more.and(*less), *less);
                assert_eq!(less.or(*more), *more);
            }
        }
        assert_eq!(fine.grid().map(Grid::metres), Some(100));
        assert_eq!((Rights::WATCH.grid(), Rights::SHARE.grid()), (None, None));
        assert!(coarse.watches() && !Rights::SHARE.watches());
    }

    #[test]
    fn a_stored_grid_wins_over_every_claim() {
        let stored = watch_on(1_000);
        for claim in [Rights::NONE, Rights::WATCH, watch_on(10), watch_on(5_000)] {
            assert_eq!(stored.with_claim(claim), stored, "{claim:?}");
        }
        assert_eq!(stored.with_claim(Rights::ALL), stored.or(Rights::SHARE));
        assert_eq!(Rights::WATCH.with_claim(stored), Rights::WATCH);
        assert_eq!(Rights::SHARE.with_claim(stored), stored.or(Rights::SHARE));
        assert_eq!(Rights::REVOKED.with_claim(stored), Rights::NONE);
    }

    #[test]
    fn bits_that_are_not_known_grant_nothing() {
        for bits in 0..=u8::MAX {
            let rights = Rights::from_bits(bits);
            assert_eq!(Rights::from_bits(rights.bits()), rights, "{bits:08b}");
            let step = bits >> 3 & 0b1111;
            let is_exact = bits & 0b10 != 0 && step == 0;
            assert_eq!(rights.has(Rights::WATCH), is_exact, "{bits:08b}");
            let is_known = usize::from(step) <= Grid::STEPS_M.len();
            assert_eq!(rights.grid().is_some(), step > 0 && is_known, "{bits:08b}");
            if let Some(asked) = Rights::asked(bits) {
                assert_eq!(asked, rights, "{bits:08b}");
            }
        }
        assert_eq!(Rights::asked(watch_on(10).bits()), Some(watch_on(10)));
        let odd = Grid::new(333).unwrap();
        assert_eq!(Rights::WATCH.on_grid(odd), None, "no size of members");
        assert_eq!(Rights::SHARE.on_grid(Grid::new(100).unwrap()), None);
    }
}
