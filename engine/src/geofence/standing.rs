//! Where a session stands towards a geofence, and what becomes of a judgement.
//!
//! What counts is what has been promised: `is_in` changes when a crossing is durable. While one is on
//! its way no other is asked for, so that crossings of one session at one geofence alternate; what has
//! changed meanwhile shows when it is there.

use crate::geofence::judgement::Judgement;
use crate::time::Timestamp;

/// One session (or two) at one geofence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// As it is promised.
    pub is_in: bool,
    /// A crossing is on its way to be a promise.
    pub in_flight: bool,
    /// It led through between two fixes: in, and out as soon as that is promised.
    pub leads_out: bool,
    /// Since when it has been inside without being told of, for geofences that wait.
    pub since: Option<Timestamp>,
}

/// What follows from a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// It is in now.
    In,
    /// It is out now.
    Out,
    /// It has been inside for a while and will be in at that moment, if it stays.
    Wait(Timestamp),
}

impl Standing {
    /// Whether there is nothing to remember.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What a judgement leads to. `led_through`: the way since the last fix came through it.
    pub fn judge(
        &mut self,
        now: Timestamp,
        judgement: Judgement,
        led_through: bool,
        dwell_ms: u64,
    ) -> Step {
        if judgement == Judgement::Outside {
            self.since = None;
        }
        if self.in_flight {
            return Step::Nothing;
        }
        match (self.is_in, judgement) {
            (_, Judgement::Vague) | (true, Judgement::Inside | Judgement::Unsure) => Step::Nothing,
            (true, Judgement::Outside) => Step::Out,
            (false, _) if self.leads_out => Step::In,
            (false, Judgement::Inside) if dwell_ms > 0 => self.dwell(now, dwell_ms),
            (false, Judgement::Inside) => Step::In,
            (false, Judgement::Outside) if led_through && dwell_ms == 0 => {
                self.leads_out = true;
                Step::In
            }
            (false, Judgement::Unsure) if led_through && dwell_ms == 0 => Step::In,
            (false, Judgement::Outside | Judgement::Unsure) => Step::Nothing,
        }
    }

    /// It is inside; it counts when it has been for so long.
    fn dwell(&mut self, now: Timestamp, dwell_ms: u64) -> Step {
        let due = self.since.get_or_insert(now).plus_ms(dwell_ms);
        match due <= now {
            true => Step::In,
            false => Step::Wait(due),
        }
    }

    /// What was asked for is a promise. Gives whether it leads out again at once.
    pub fn promised(&mut self, is_in: bool) -> bool {
        self.is_in = is_in;
        self.in_flight = false;
        self.since = None;
        std::mem::take(&mut self.leads_out) && is_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Judgement::{Inside, Outside, Unsure, Vague};

    const NOW: Timestamp = Timestamp(1_000);

    fn step(standing: &mut Standing, judgement: Judgement) -> Step {
        standing.judge(NOW, judgement, false, 0)
    }

    #[test]
    fn it_is_told_once_and_stays_at_the_border() {
        let mut standing = Standing::default();
        for judgement in [Outside, Unsure, Vague] {
            assert_eq!(step(&mut standing, judgement), Step::Nothing);
        }
        assert_eq!(step(&mut standing, Inside), Step::In);
        standing.in_flight = true;
        assert_eq!(step(&mut standing, Outside), Step::Nothing, "one at a time");
        assert!(!standing.promised(true));
        for judgement in [Inside, Unsure, Vague] {
            assert_eq!(
                step(&mut standing, judgement),
                Step::Nothing,
                "{judgement:?}"
            );
        }
        assert_eq!(step(&mut standing, Outside), Step::Out);
        standing.promised(false);
        assert!(standing.is_nothing());
    }

    #[test]
    fn a_way_through_is_in_and_out() {
        let mut standing = Standing::default();
        assert_eq!(standing.judge(NOW, Outside, true, 0), Step::In);
        standing.in_flight = true;
        assert!(standing.promised(true), "and out again");
        assert_eq!(step(&mut standing, Outside), Step::Out);
        standing.promised(false);
        assert_eq!(step(&mut standing, Outside), Step::Nothing);
        // It ended near the border: whether it is out shows later.
        assert_eq!(standing.judge(NOW, Unsure, true, 0), Step::In);
        assert!(!standing.promised(true));
        // Nobody stayed anywhere on such a way.
        let mut standing = Standing::default();
        assert_eq!(standing.judge(NOW, Outside, true, 60_000), Step::Nothing);
    }

    #[test]
    fn a_stay_counts_from_its_beginning_and_only_as_long_as_it_lasts() {
        let mut standing = Standing::default();
        let mut at = |ms, judgement| standing.judge(Timestamp(ms), judgement, false, 60_000);
        assert_eq!(at(0, Inside), Step::Wait(Timestamp(60_000)));
        assert_eq!(
            at(59_999, Unsure),
            Step::Nothing,
            "the border is no end of it"
        );
        assert_eq!(at(59_999, Inside), Step::Wait(Timestamp(60_000)));
        assert_eq!(at(59_999, Outside), Step::Nothing);
        assert_eq!(at(70_000, Inside), Step::Wait(Timestamp(130_000)));
        assert_eq!(at(130_000, Inside), Step::In);
    }
}
