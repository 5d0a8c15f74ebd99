//! A client that answers nothing is asked less and less, and then no more.
//!
//! QUIC asks a silent client with probes at doubling distances until it gives the connection up, and
//! keeps each of them until it is acknowledged. The first few make up for lost packets. Later ones
//! reach nobody: a client that is frozen, or has no network, cannot answer, and one that comes back
//! speaks first, because it keeps the path open itself. So after the first few the connection's timer
//! rests until the client is heard again, or the connection is to be given up: a frozen viewer
//! costs nothing that grows.

use crate::limits::{QUIC_IDLE_TIMEOUT_MS, QUIC_TIMEOUTS_MIN, QUIC_TIMEOUTS_MS};

/// How long nothing was heard of one client, counted in timers that have come up since.
#[derive(Debug, Default)]
pub struct QuicSilence {
    /// When the first of them came up.
    since_ms: u64,
    timeouts: u32,
}

impl QuicSilence {
    /// A packet of the client has come.
    pub fn end(&mut self) {
        self.timeouts = 0;
    }

    /// A timer has come up: `None` if it is to be obeyed, otherwise until when it rests.
    ///
    /// Some timers come up without any silence, that of a late acknowledgement for one; that is why
    /// time alone does not decide, nor their number alone.
    pub fn rest_until_ms(&mut self, now_ms: u64) -> Option<u64> {
        if self.timeouts == 0 {
            self.since_ms = now_ms;
        }
        let silent_ms = now_ms.saturating_sub(self.since_ms);
        if self.timeouts >= QUIC_TIMEOUTS_MIN
            && (QUIC_TIMEOUTS_MS..u64::from(QUIC_IDLE_TIMEOUT_MS)).contains(&silent_ms)
        {
            return Some(self.since_ms + u64::from(QUIC_IDLE_TIMEOUT_MS));
        }
        self.timeouts = self.timeouts.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::QuicSilence;
    use crate::limits::{QUIC_IDLE_TIMEOUT_MS, QUIC_TIMEOUTS_MIN, QUIC_TIMEOUTS_MS};

    const IDLE_MS: u64 = QUIC_IDLE_TIMEOUT_MS as u64;

    /// When timers that come up at doubling distances are obeyed.
    fn obeyed(silence: &mut QuicSilence, from_ms: u64, first_ms: u64) -> Vec<u64> {
        let distances = (0..).map(|turn| first_ms << turn);
        let times = distances.scan(from_ms, |at_ms, distance| {
            *at_ms += distance;
            Some(*at_ms)
        });
        let times = times.take_while(|at_ms| *at_ms < from_ms + 2 * IDLE_MS);
        times
            .filter(|at_ms| silence.rest_until_ms(*at_ms).is_none())
            .collect()
    }

    #[test]
    fn a_silent_client_is_asked_for_seconds_and_again_when_it_is_given_up() {
        let times = obeyed(&mut QuicSilence::default(), 1_000, 30);
        let (early, late): (Vec<u64>, Vec<u64>) =
            times.iter().partition(|at_ms| **at_ms < 1_000 + IDLE_MS);
        assert!(early.len() >= QUIC_TIMEOUTS_MIN as usize, "{early:?}");
        assert!(
            early.iter().all(|at_ms| *at_ms <= 2_000 + QUIC_TIMEOUTS_MS),
            "{early:?}"
        );
        assert!(!late.is_empty());
    }

    #[test]
    fn on_a_slow_path_the_first_probes_are_made_whatever_they_take() {
        let times = obeyed(&mut QuicSilence::default(), 0, 1_500);
        assert_eq!(
            times.iter().filter(|at_ms| **at_ms < IDLE_MS).count(),
            5,
            "{times:?}"
        );
    }

    #[test]
    fn a_timer_of_long_ago_takes_no_probe_away() {
        let mut silence = QuicSilence::default();
        // The late acknowledgement of the last packet of the client, which then had nothing to say.
        assert_eq!(silence.rest_until_ms(1_000), None);
        let times = obeyed(&mut silence, 11_000, 30);
        let soon = times.iter().filter(|at_ms| **at_ms < 1_000 + IDLE_MS);
        assert_eq!(soon.count(), QUIC_TIMEOUTS_MIN as usize - 1);
    }

    #[test]
    fn who_is_heard_again_is_asked_again() {
        let mut silence = QuicSilence::default();
        let before = obeyed(&mut silence, 0, 30);
        silence.end();
        let after = obeyed(&mut silence, 3 * IDLE_MS, 30);
        assert_eq!(before.len(), after.len());
    }

    #[test]
    fn what_rests_comes_up_when_the_connection_is_given_up() {
        let mut silence = QuicSilence::default();
        for turn in 0..u64::from(QUIC_TIMEOUTS_MIN) {
            assert_eq!(silence.rest_until_ms(100 + turn), None);
        }
        let rests = silence.rest_until_ms(100 + QUIC_TIMEOUTS_MS);
        assert_eq!(rests, Some(100 + IDLE_MS));
        assert_eq!(silence.rest_until_ms(100 + IDLE_MS), None);
    }
}
