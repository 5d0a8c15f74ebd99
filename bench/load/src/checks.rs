//! Whether a viewer got what it is owed: every counter of every sender is looked at.
//!
//! Per viewer and sender a few numbers are kept. A counter must grow; at the end the viewer must
//! hold the last one that was sent, and where every point is owed, what it got and what the server
//! said it skipped must add up to what was sent.

use serde::{Deserialize, Serialize};

/// What a viewer holds of one sender.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// What came before (and this one) is not owed. [`UNSEEN`]: not known yet.
    first: u32,
    last: u32,
    received: u32,
    skipped: u32,
}

/// `first` of a sender of which nothing has come.
const UNSEEN: u32 = u32::MAX;

/// What an arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than what the viewer had, which was this.
    Newer(u64),
    /// The first that this viewer sees, which came in the middle.
    First,
    /// The same again.
    Duplicate,
    /// Older than what it has.
    Backwards,
    /// No counter of this run.
    Foreign,
}

/// What a sender really sent and the server did not turn away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The greatest counter; 0 = nothing.
    pub last: u64,
    /// Counters up to `last` that nobody is owed: from, to, both included, ascending.
    pub gaps: Vec<(u64, u64)>,
}

impl Sent {
    /// Everything from 1 to `last`.
    pub fn all(last: u64) -> Self {
        let gaps = Vec::new();
        Self { last, gaps }
    }

    /// Notes that a counter was not sent or was turned away. Call it in ascending order.
    pub fn leave_out(&mut self, counter: u64) {
        match self.gaps.last_mut() {
            Some((_, to)) if *to + 1 >= counter => *to = counter.max(*to),
            _ => self.gaps.push((counter, counter)),
        }
    }

    /// Takes gaps at the very end off: what was not sent is not the last.
    pub fn trim(&mut self) {
        while let Some(&(from, to)) = self.gaps.last()
            && to >= self.last
        {
            self.last = from - 1;
            self.gaps.pop();
        }
    }

    /// How many were sent with counters above `first`.
    pub fn after(&self, first: u64) -> u64 {
        let within = |&(from, to): &(u64, u64)| {
            let (from, to) = (from.max(first + 1), to.min(self.last));
            (to + 1).saturating_sub(from)
        };
        let gaps: u64 = self.gaps.iter().map(within).sum();
        self.last.saturating_sub(first).saturating_sub(gaps)
    }
}

/// What a viewer holds of all senders of its chat.
#[derive(Clone, Debug)]
pub struct ViewerCheck {
    held: Vec<Held>,
    every: bool,
    /// It was there before the first point: everything is owed to it.
    from_the_start: bool,
}

impl ViewerCheck {
    /// Of so many senders, nothing.
    pub fn new(senders: u32, every: bool, from_the_start: bool) -> Self {
        let nothing = Held {
            first: UNSEEN,
            last: 0,
            received: 0,
            skipped: 0,
        };
        Self {
            held: vec![nothing; senders as usize],
            every,
            from_the_start,
        }
    }

    /// A point has come from the sender with this number in the chat.
    pub fn take(&mut self, sender: u32, counter: u64) -> Arrival {
        let Some(held) = self.held.get_mut(sender as usize) else {
            return Arrival::Foreign;
        };
        let Some(counter) = u32::try_from(counter).ok().filter(|counter| *counter > 0) else {
            return Arrival::Foreign;
        };
        if held.first == UNSEEN {
            if !self.from_the_start {
                (held.first, held.last) = (counter, counter);
                return Arrival::First;
            }
            held.first = 0;
        }
        if counter == held.last {
            return Arrival::Duplicate;
        }
        if counter < held.last {
            return Arrival::Backwards;
        }
        held.received += 1;
        Arrival::Newer(u64::from(std::mem::replace(&mut held.last, counter)))
    }

    /// What came up to this counter was before the viewer's time, if it is the first of that sender.
    pub fn first(&mut self, sender: u32, counter: u64) {
        let counter = u32::try_from(counter).unwrap_or(UNSEEN - 1);
        if let Some(held) = self.held.get_mut(sender as usize)
            && held.first == UNSEEN
        {
            (held.first, held.last) = (counter, counter);
        }
    }

    /// The server said that so many will not come.
    pub fn skip(&mut self, sender: u32, count: u64) {
        if let Some(held) = self.held.get_mut(sender as usize) {
            held.skipped = held
                .skipped
                .saturating_add(u32::try_from(count).unwrap_or(UNSEEN));
        }
    }

    /// Points that are owed and are not here; `sent` are the senders of the chat in their order.
    pub fn missing(&self, sent: &[Sent]) -> u64 {
        let pairs = self.held.iter().zip(sent);
        pairs.map(|(held, sent)| self.missing_of(held, sent)).sum()
    }

    fn missing_of(&self, held: &Held, sent: &Sent) -> u64 {
        let lacks_last = u64::from(u64::from(held.last) < sent.last);
        if !self.every || (held.first == UNSEEN && !self.from_the_start) {
            return lacks_last;
        }
        let first = if held.first == UNSEEN { 0 } else { held.first };
        let owed = sent.after(u64::from(first));
        let got = u64::from(held.received) + u64::from(held.skipped);
        owed.saturating_sub(got).max(lacks_last)
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::{Arrival, Sent, ViewerCheck};

    fn after(every: bool, counters: &[u64]) -> (ViewerCheck, Vec<Arrival>) {
        let mut check = ViewerCheck::new(1, every, true);
        let arrivals = counters.iter().map(|counter| check.take(0, *counter));
        let arrivals = arrivals.collect();
        (check, arrivals)
    }

    #[test]
    fn a_viewer_that_got_everything_misses_nothing() {
        for every in [true, false] {
            let (check, arrivals) = after(every, &[1, 2, 3]);
            assert_eq!(arrivals, [0, 1, 2].map(Arrival::Newer));
            assert_eq!(check.missing(&[Sent::all(3)]), 0);
        }
    }

    #[test]
    fn a_lost_point_is_missing_where_every_point_is_owed() {
        let (check, _) = after(true, &[1, 3, 4]);
        assert_eq!(check.missing(&[Sent::all(4)]), 1);
        let (check, _) = after(false, &[1, 3, 4]);
        assert_eq!(check.missing(&[Sent::all(4)]), 0, "conflated");
    }

    #[test]
    fn a_lost_last_point_is_missing_always() {
        for every in [true, false] {
            let (check, _) = after(every, &[1, 2]);
            assert_eq!(check.missing(&[Sent::all(3)]), 1);
            let (check, _) = after(every, &[]);
            assert!(check.missing(&[Sent::all(3)]) > 0);
        }
    }

    #[test]
    fn a_doubled_and_a_swapped_point_are_told() {
        let (_, arrivals) = after(true, &[1, 1, 3, 2]);
        let expected = [
            Arrival::Newer(0),
            Arrival::Duplicate,
            Arrival::Newer(1),
            Arrival::Backwards,
        ];
        assert_eq!(arrivals, expected);
        let (_, arrivals) = after(true, &[0, u64::MAX]);
        assert_eq!(arrivals, [Arrival::Foreign, Arrival::Foreign]);
    }

    #[test]
    fn what_the_server_says_it_skipped_explains_a_gap() {
        let (mut check, _) = after(true, &[1, 5]);
        check.skip(0, 2);
        assert_eq!(check.missing(&[Sent::all(5)]), 1);
        check.skip(0, 1);
        assert_eq!(check.missing(&[Sent::all(5)]), 0);
    }

    #[test]
    fn who_comes_late_is_owed_what_follows() {
        let mut check = ViewerCheck::new(2, true, false);
        check.first(0, 10);
        assert_eq!(check.take(0, 11), Arrival::Newer(10));
        assert_eq!(check.take(0, 13), Arrival::Newer(11));
        assert_eq!(check.take(1, 7), Arrival::First);
        assert_eq!(check.missing(&[Sent::all(13), Sent::all(7)]), 1);
    }

    #[test]
    fn what_was_not_sent_is_not_owed() {
        let mut sent = Sent::all(10);
        for counter in [3, 4, 7, 9, 10] {
            sent.leave_out(counter);
        }
        sent.trim();
        assert_eq!(sent.gaps, [(3, 4), (7, 7)]);
        assert_eq!((sent.last, sent.after(0), sent.after(3)), (8, 5, 3));
        let (check, _) = after(true, &[1, 2, 5, 6, 8]);
        assert_eq!(check.missing(&[sent]), 0);
    }
}
