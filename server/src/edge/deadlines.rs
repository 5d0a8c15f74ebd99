//! One coarse timer wheel for all connections of a transport: no timer of their own.
//!
//! A connection knows when it is due; the wheel only remembers in which second to look at it
//! again. Moving a deadline back costs nothing: when its slot comes up the wheel asks, and puts
//! the connection further on. A connection without a deadline is in no slot, so that a shard full
//! of quiet viewers never wakes.

use skein_engine::ids::ConnectionId;

/// A moment that never comes.
pub const NEVER_MS: u64 = u64::MAX;

/// Slots of one second each: longer deadlines are looked at on the way.
const SLOTS: u64 = 128;
/// Resolution of the wheel.
const TICK_MS: u64 = 1_000;

/// The second in which a connection stands in the wheel; 0 = in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Armed(u64);

/// The wheel.
#[derive(Debug)]
pub struct Deadlines {
    slots: Vec<Vec<(ConnectionId, Armed)>>,
    /// Every slot up to this second has been emptied.
    done: u64,
    entries: usize,
}

impl Deadlines {
    /// An empty wheel at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            done: now_ms / TICK_MS,
            entries: 0,
        }
    }

    /// Makes sure that the wheel looks at the connection at `due_ms` or up to a second later.
    pub fn arm(&mut self, id: ConnectionId, armed: &mut Armed, due_ms: u64) {
        if due_ms == NEVER_MS {
            return;
        }
        let second = (due_ms / TICK_MS + 1).clamp(self.done + 1, self.done + SLOTS - 1);
        if armed.0 != 0 && armed.0 <= second && armed.0 > self.done {
            return;
        }
        *armed = Armed(second);
        self.slots[(second % SLOTS) as usize].push((id, *armed));
        self.entries += 1;
    }

    /// When to call [`Deadlines::take`] next; `None` while nothing is armed.
    pub fn next_ms(&self) -> Option<u64> {
        if self.entries == 0 {
            return None;
        }
        (self.done + 1..self.done + SLOTS)
            .find(|second| !self.slots[(second % SLOTS) as usize].is_empty())
            .map(|second| second * TICK_MS)
    }

    /// The connections to look at by `now_ms`, each with the mark it was armed with. Whoever
    /// holds another mark by now was armed again and is to be left alone.
    pub fn take(&mut self, now_ms: u64) -> Vec<(ConnectionId, Armed)> {
        let now = now_ms / TICK_MS;
        let mut due = Vec::new();
        if self.entries > 0 {
            let first = self.done + 1;
            // After a long pause every slot is looked at once, not once for each second of it.
            for second in first..=now.min(first + SLOTS - 1) {
                // With its memory: else each slot kept what the largest crowd of its second has taken.
                let slot = std::mem::take(&mut self.slots[(second % SLOTS) as usize]);
                match due.is_empty() {
                    true => due = slot,
                    false => due.extend(slot),
                }
            }
        }
        self.entries -= due.len();
        self.done = self.done.max(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnectionId = ConnectionId(7);

    #[test]
    fn a_deadline_comes_up_after_its_time_and_within_a_second() {
        let mut wheel = Deadlines::new(10_000);
        let mut armed = Armed::default();
        wheel.arm(ID, &mut armed, 15_300);
        assert_eq!(wheel.next_ms(), Some(16_000));
        assert_eq!(wheel.take(15_999), []);
        assert_eq!(wheel.take(16_000), [(ID, armed)]);
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn slots_that_were_taken_hold_no_memory() {
        let mut wheel = Deadlines::new(0);
        for second in 1..100 {
            for number in 0..100 {
                let mut armed = Armed::default();
                wheel.arm(ConnectionId(number), &mut armed, second * TICK_MS);
            }
            wheel.take((second + 1) * TICK_MS);
        }
        let held: usize = wheel.slots.iter().map(Vec::capacity).sum();
        assert_eq!((wheel.entries, held), (0, 0));
    }

    #[test]
    fn an_earlier_deadline_leaves_the_old_entry_with_an_old_mark() {
        let mut wheel = Deadlines::new(0);
        let mut armed = Armed::default();
        wheel.arm(ID, &mut armed, 100_000);
        let old = armed;
        wheel.arm(ID, &mut armed, 2_000);
        assert_ne!(old, armed);
        assert_eq!(wheel.take(3_000), [(ID, armed)]);
        assert_eq!(wheel.take(101_000), [(ID, old)]);
    }

    #[test]
    fn a_later_deadline_costs_no_second_entry() {
        let mut wheel = Deadlines::new(0);
        let mut armed = Armed::default();
        for due in 1..100 {
            wheel.arm(ID, &mut armed, due * 1_000);
        }
        assert_eq!(wheel.take(1_000_000).len(), 1);
    }

    #[test]
    fn a_deadline_beyond_the_wheel_is_looked_at_on_the_way() {
        let mut wheel = Deadlines::new(0);
        let mut armed = Armed::default();
        wheel.arm(ID, &mut armed, 1_000_000);
        assert_eq!(wheel.take(200_000), [(ID, armed)]);
        wheel.arm(ID, &mut armed, 1_000_000);
        assert!(wheel.next_ms().unwrap() > 200_000);
    }

    #[test]
    fn nothing_armed_means_no_wake_up() {
        let mut wheel = Deadlines::new(0);
        wheel.arm(ID, &mut Armed::default(), NEVER_MS);
        assert_eq!(wheel.next_ms(), None);
    }
}
