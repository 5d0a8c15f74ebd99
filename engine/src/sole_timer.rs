//! A kind of timer of which one is set at a time: what happens again and again leaves no pile of them behind.

use crate::time::Timestamp;

/// When the one that counts fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoleTimer {
    at: Timestamp,
}

impl Default for SoleTimer {
    fn default() -> Self {
        Self {
            at: Timestamp::NEVER,
        }
    }
}

impl SoleTimer {
    /// One is wanted for this moment. Whether it is to be set: not where one fires before, after which it is wanted anew
    /// if it still is.
    pub fn wants(&mut self, at: Timestamp) -> bool {
        let is_sooner = at < self.at;
        if is_sooner {
            self.at = at;
        }
        is_sooner
    }

    /// One fires that was set for this moment. Whether it is the one that counts; then none is set any more.
    pub fn fires(&mut self, at: Timestamp) -> bool {
        let counts = self.at == at;
        if counts {
            self.at = Timestamp::NEVER;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_counts_and_once() {
        let mut timer = SoleTimer::default();
        assert!(timer.wants(Timestamp(5)));
        assert!(!timer.wants(Timestamp(5)) && !timer.wants(Timestamp(7)));
        assert!(timer.wants(Timestamp(3)));
        assert!(
            !timer.fires(Timestamp(5)),
            "the later one, which is set too"
        );
        assert!(timer.fires(Timestamp(3)) && !timer.fires(Timestamp(3)));
        assert!(timer.wants(Timestamp(9)));
    }
}
