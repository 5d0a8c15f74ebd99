//! Where the shared batch of returning viewers begins: viewers whose cursor is older than every
//! walk that [`super::heads::Heads`] remembers, because they were away, wanted few batches, could
//! not take one, or watch what seldom changes.
//!
//! One offset for all of them, the smallest cursor that they bring, so that each gets little more
//! than what changed, and a crowd costs one encoding. It is chosen when the first of them is
//! served; a lower cursor that comes after that has to do with the horizon, until batches are
//! built anew.

/// The offset from which returning viewers of one scope are served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returning {
    /// The series of batches for which the rest holds.
    series: u64,
    /// Smallest cursor presented; 0 = none.
    offset: u64,
    /// A batch from `offset` was built, or is about to be.
    is_chosen: bool,
}

impl Returning {
    /// A viewer with this cursor waits to be served with the batches of `series`; 0 = it has
    /// nothing, and gets a full batch.
    pub(crate) fn present(&mut self, series: u64, cursor: u64) {
        self.renew(series);
        if !self.is_chosen && cursor > 0 && (self.offset == 0 || cursor < self.offset) {
            self.offset = cursor;
        }
    }

    /// Where the batch for a viewer with this cursor begins; `None` if the horizon has to do.
    pub(crate) fn choose(&mut self, series: u64, cursor: u64, horizon: u64) -> Option<u64> {
        self.present(series, cursor);
        if !self.is_chosen && self.offset < horizon {
            // Whoever presented it gets a full batch by now.
            self.offset = cursor;
        }
        self.is_chosen = true;
        (horizon..=cursor)
            .contains(&self.offset)
            .then_some(self.offset)
    }

    fn renew(&mut self, series: u64) {
        if self.series != series {
            *self = Self {
                series,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_served_from_its_smallest_cursor() {
        let mut returning = Returning::default();
        for cursor in [0, 30, 24, 27] {
            returning.present(1, cursor);
        }
        for cursor in [30, 24, 27] {
            assert_eq!(returning.choose(1, cursor, 10), Some(24), "{cursor}");
        }
    }

    #[test]
    fn a_lower_cursor_that_comes_late_waits_for_the_next_series() {
        let mut returning = Returning::default();
        returning.present(1, 24);
        assert_eq!(returning.choose(1, 24, 10), Some(24));
        returning.present(1, 20);
        assert_eq!(returning.choose(1, 20, 10), None);
        assert_eq!(returning.choose(1, 40, 10), Some(24));
        assert_eq!(returning.choose(2, 20, 10), Some(20));
    }

    #[test]
    fn who_presents_nothing_is_served_from_its_own_cursor() {
        let mut returning = Returning::default();
        assert_eq!(returning.choose(1, 24, 10), Some(24));
    }

    #[test]
    fn a_cursor_that_the_horizon_has_passed_spoils_nothing() {
        let mut returning = Returning::default();
        returning.present(1, 9);
        assert_eq!(returning.choose(1, 24, 10), Some(24));
        assert_eq!(returning.choose(1, 30, 25), None, "the horizon moves on");
    }
}
