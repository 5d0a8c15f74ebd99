//! Who has what: each delivery is checked, and each sender waits for its last position.
//!
//! A sender publishes its next position when every viewer has its last one. So a peer always has
//! as much to do as it can take (one position of each sender), never more than it could keep, and
//! nothing needs to be dropped. That is saturation without a queue that grows for ever.

use crate::position::Position;
use crate::sink::Sink;

/// Deliveries to viewers, counted and checked.
pub struct Tally {
    sessions: usize,
    viewers: usize,
    /// The last counter of each viewer and session.
    last: Vec<u32>,
    /// What each session has published last; 0 = nothing yet.
    published: Vec<u32>,
    /// Viewers that do not have it yet.
    waiting: Vec<u32>,
    /// Sessions whose last position has reached everybody, in that order.
    complete: Vec<u32>,
    counts: Counts,
}

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Positions that were new to a viewer.
    pub delivered: u64,
    /// Positions that a viewer had already.
    pub repeated: u64,
    /// Positions that are older than what the viewer had, or that nobody has published.
    pub wrong: u64,
}

impl Tally {
    /// Nothing is published yet.
    pub fn new(sessions: usize) -> Self {
        Self {
            sessions,
            viewers: 0,
            last: Vec::new(),
            published: vec![0; sessions],
            waiting: vec![0; sessions],
            complete: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// More viewers have come. Those who join between two positions of a session get the next one.
    pub fn add_viewers(&mut self, more: usize) {
        self.viewers += more;
        self.last.resize(self.viewers * self.sessions, 0);
        let (joined, published) = (self.viewers - more, &self.published);
        for viewer in joined..self.viewers {
            let row = &mut self.last[viewer * self.sessions..][..self.sessions];
            row.copy_from_slice(published);
        }
    }

    /// A session publishes: the counter of its next position.
    pub fn publish(&mut self, session: u32) -> u64 {
        let index = session as usize;
        self.published[index] += 1;
        self.waiting[index] = self.viewers as u32;
        self.published[index].into()
    }

    /// The sink of one viewer.
    pub fn of_viewer(&mut self, viewer: usize) -> ViewerTally<'_> {
        ViewerTally {
            tally: self,
            row: viewer,
        }
    }

    /// Takes a session whose last position everybody has.
    pub fn next_complete(&mut self) -> Option<u32> {
        self.complete.pop()
    }

    /// Viewers that do not have the last position of this session.
    pub fn waiting(&self, session: u32) -> usize {
        self.waiting[session as usize] as usize
    }

    /// Deliveries that are still to come.
    pub fn missing(&self) -> u64 {
        self.waiting.iter().map(|waiting| u64::from(*waiting)).sum()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn seen(&mut self, viewer: usize, session: u32, counter: u32) {
        let index = session as usize;
        if index >= self.sessions || counter > self.published[index] {
            self.counts.wrong += 1;
            return;
        }
        let last = &mut self.last[viewer * self.sessions + index];
        if counter <= *last {
            match counter == *last {
                true => self.counts.repeated += 1,
                false => self.counts.wrong += 1,
            }
            return;
        }
        *last = counter;
        self.counts.delivered += 1;
        if counter == self.published[index] {
            self.waiting[index] -= 1;
            if self.waiting[index] == 0 {
                self.complete.push(session);
            }
        }
    }
}

/// Takes what one viewer gets.
pub struct ViewerTally<'a> {
    tally: &'a mut Tally,
    row: usize,
}

impl Sink for ViewerTally<'_> {
    fn position(&mut self, position: Position) {
        let counter = u32::try_from(position.counter).unwrap_or(u32::MAX);
        self.tally.seen(self.row, position.session, counter);
    }

    fn position_low(&mut self, session: u32, low: u8) {
        let index = self.row * self.tally.sessions + session as usize;
        let Some(last) = self.tally.last.get(index).copied() else {
            self.tally.counts.wrong += 1;
            return;
        };
        let ahead = low.wrapping_sub(last as u8);
        self.tally.seen(self.row, session, last + u32::from(ahead));
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::position::Position;
    use crate::sink::Sink;

    fn tally(viewers: usize) -> Tally {
        let mut tally = Tally::new(2);
        tally.add_viewers(viewers);
        tally
    }

    fn see(tally: &mut Tally, viewer: usize, session: u32, counter: u64) {
        let position = Position { session, counter };
        tally.of_viewer(viewer).position(position);
    }

    #[test]
    fn a_session_is_complete_with_its_last_viewer() {
        let mut tally = tally(2);
        assert_eq!(tally.publish(1), 1);
        see(&mut tally, 0, 1, 1);
        assert_eq!((tally.next_complete(), tally.missing()), (None, 1));
        see(&mut tally, 1, 1, 1);
        assert_eq!((tally.next_complete(), tally.missing()), (Some(1), 0));
        assert_eq!(tally.counts().delivered, 2);
    }

    #[test]
    fn doubled_swapped_and_invented_deliveries_are_told_apart() {
        let mut tally = tally(1);
        tally.publish(0);
        tally.publish(0);
        see(&mut tally, 0, 0, 2);
        see(&mut tally, 0, 0, 2);
        see(&mut tally, 0, 0, 1);
        see(&mut tally, 0, 0, 3);
        see(&mut tally, 0, 9, 1);
        let counts = tally.counts();
        assert_eq!((counts.delivered, counts.repeated, counts.wrong), (1, 1, 3));
    }

    #[test]
    fn a_low_byte_goes_on_from_the_last_counter() {
        let mut tally = tally(1);
        for _ in 0..300 {
            let counter = tally.publish(0);
            tally.of_viewer(0).position_low(0, counter as u8);
            assert_eq!(tally.next_complete(), Some(0));
        }
        assert_eq!(tally.counts().delivered, 300);
    }

    #[test]
    fn who_joins_later_needs_no_older_position() {
        let mut tally = tally(1);
        tally.publish(0);
        see(&mut tally, 0, 0, 1);
        tally.add_viewers(1);
        assert_eq!(tally.missing(), 0);
        see(&mut tally, 1, 0, 1);
        assert_eq!(tally.counts().repeated, 1);
        tally.publish(0);
        assert_eq!(tally.waiting(0), 2);
    }
}
