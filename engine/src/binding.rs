//! A connection that feeds a session, and what it has been told about its points.
//!
//! Acknowledgements are cumulative: one at once after the first point, after a resume and for a
//! refusal, else at most one every two seconds.

use skein_wire::ids::Counter;
use skein_wire::update::Verdict;

use skein_wire::error::Code;

use crate::ids::{ConnectionId, ShardId};
use crate::limits::{ACCEPTED_INTERVAL_MS, VERDICTS_HELD_MAX};
use crate::time::Timestamp;

/// One binding.
#[derive(Debug)]
pub(crate) struct Binding {
    pub shard: ShardId,
    pub connection: ConnectionId,
    told: Counter,
    told_at: Timestamp,
    /// The next point is acknowledged at once.
    prompt: bool,
    refusal: bool,
    /// Something was appended that the counter does not tell of.
    news: bool,
    verdicts: Vec<Verdict>,
}

impl Binding {
    /// A connection that has been told `told` just now.
    pub fn new(now: Timestamp, shard: ShardId, connection: ConnectionId, told: Counter) -> Self {
        Self {
            shard,
            connection,
            told,
            told_at: now,
            prompt: true,
            refusal: false,
            news: false,
            verdicts: Vec::new(),
        }
    }

    /// Whether it is this connection.
    pub fn is(&self, shard: ShardId, connection: ConnectionId) -> bool {
        self.shard == shard && self.connection == connection
    }

    /// Notes what became of a point that was not appended.
    pub fn verdict(&mut self, counter: Counter, code: Code) {
        self.refusal |= code != Code::Superseded || self.verdicts.len() + 1 >= VERDICTS_HELD_MAX;
        self.verdicts.push(Verdict { counter, code });
    }

    /// The next acknowledgement goes out at once, even if nothing is new.
    pub fn ask(&mut self) {
        self.refusal = true;
    }

    /// A historical point was appended: the next acknowledgement tells that it got through.
    pub fn note_history(&mut self) {
        self.news = true;
    }

    /// When an acknowledgement is due, given what the log holds.
    pub fn due_at(&self, followed: Counter) -> Option<Timestamp> {
        if self.refusal {
            return Some(Timestamp(0));
        }
        if followed <= self.told && self.verdicts.is_empty() && !self.news {
            return None;
        }
        Some(if self.prompt {
            Timestamp(0)
        } else {
            self.told_at.plus_ms(ACCEPTED_INTERVAL_MS)
        })
    }

    /// Takes the verdicts of an acknowledgement that goes out now.
    pub fn tell(&mut self, now: Timestamp, followed: Counter) -> Vec<Verdict> {
        self.prompt &= followed <= self.told;
        self.told = followed;
        self.told_at = now;
        self.refusal = false;
        self.news = false;
        std::mem::take(&mut self.verdicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        Binding::new(Timestamp(1_000), ShardId(0), ConnectionId(1), Counter(5))
    }

    #[test]
    fn first_point_is_told_at_once_and_the_rest_in_two_seconds() {
        let mut binding = binding();
        assert_eq!(binding.due_at(Counter(5)), None, "nothing new");
        assert_eq!(binding.due_at(Counter(6)), Some(Timestamp(0)));
        binding.tell(Timestamp(1_100), Counter(6));
        assert_eq!(binding.due_at(Counter(6)), None);
        assert_eq!(binding.due_at(Counter(7)), Some(Timestamp(3_100)));
    }

    #[test]
    fn a_refusal_is_told_at_once_and_superseded_is_not() {
        let mut binding = binding();
        binding.tell(Timestamp(1_100), Counter(6));
        binding.verdict(Counter(3), Code::Superseded);
        assert_eq!(binding.due_at(Counter(6)), Some(Timestamp(3_100)));
        binding.verdict(Counter(9), Code::RateLimited);
        assert_eq!(binding.due_at(Counter(6)), Some(Timestamp(0)));
        assert_eq!(binding.tell(Timestamp(1_200), Counter(6)).len(), 2);
        assert_eq!(binding.due_at(Counter(6)), None);
    }

    #[test]
    fn verdicts_are_bounded() {
        let mut binding = binding();
        binding.tell(Timestamp(1_100), Counter(6));
        for counter in 1..=VERDICTS_HELD_MAX as u64 {
            binding.verdict(Counter(counter), Code::Superseded);
        }
        assert_eq!(binding.due_at(Counter(6)), Some(Timestamp(0)));
    }
}
