//! A walk over the ready viewers of a chat, cut into slices and begun at another one each time.
//!
//! The list may change between slices and while the walk goes: viewers leave it by `swap_remove`,
//! which puts the last one into the gap, and join it at the end. The walk goes downwards, from
//! `start` to 0 and then from the end to `start`, and knows which places it has passed, so that
//! nobody is moved from a place to come to one that is passed.

/// A walk over one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Where it began: places from here on come second.
    start: usize,
    /// The place below this one is next.
    next: usize,
    /// Whether it has come round the end.
    wrapped: bool,
}

impl Walk {
    /// A walk over `len` viewers that begins below `start`.
    pub(crate) fn new(start: usize, len: usize) -> Self {
        let start = start.min(len);
        Self {
            start,
            next: start,
            wrapped: false,
        }
    }

    /// The next place in a list of `len`, or `None` at the end.
    pub(crate) fn step(&mut self, len: usize) -> Option<usize> {
        self.next = self.next.min(len);
        if !self.wrapped && self.next == 0 {
            self.wrapped = true;
            self.next = len;
        }
        if self.wrapped && self.next <= self.start {
            return None;
        }
        self.next -= 1;
        Some(self.next)
    }

    /// Before the viewer at `place` leaves a list of `len`: where the gap should be that the last
    /// one fills. If it is not `place`, the viewer there moves to `place` first: both places were
    /// passed, and the gap is to come.
    pub(crate) fn make_gap(&mut self, place: usize, len: usize) -> usize {
        if !self.has_passed(place) || self.has_passed(len - 1) {
            return place;
        }
        // With a place passed and the last one to come, the places below `start` are passed.
        self.start -= 1;
        self.start
    }

    /// Whether the place has been passed.
    fn has_passed(&self, place: usize) -> bool {
        match self.wrapped {
            false => (self.next..self.start).contains(&place),
            true => place < self.start || place >= self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever was in the list at the start and stays is visited.
        #[test]
        fn nobody_is_passed_over(
            len in 0usize..40,
            start in 0usize..40,
            removals in prop::collection::vec((0usize..40, any::<bool>()), 0..60),
        ) {
            let mut list: Vec<usize> = (0..len).collect();
            let mut seen = vec![false; len];
            let mut removed = vec![false; len];
            let mut walk = Walk::new(start, len);
            let mut removals = removals.into_iter();
            loop {
                if let Some((place, now)) = removals.next()
                    && now
                    && place < list.len()
                {
                    removed[list[place]] = true;
                    let gap = walk.make_gap(place, list.len());
                    list[place] = list[gap];
                    list.swap_remove(gap);
                }
                let Some(place) = walk.step(list.len()) else { break };
                seen[list[place]] = true;
            }
            for viewer in 0..len {
                prop_assert!(seen[viewer] || removed[viewer], "viewer {viewer}");
            }
        }
    }
}
