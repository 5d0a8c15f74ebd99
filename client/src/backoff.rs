//! Pauses between attempts: exponential with full jitter, never before the server's own wish.

use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN};

/// Pauses of one peer. Randomness is a seed, so that a simulation repeats.
///
/// ```
/// use skein_client::backoff::Backoff;
/// let mut backoff = Backoff::new(7);
/// assert!(backoff.next_ms() <= 200);
/// backoff.retry_after(5_000);
/// assert!(backoff.next_ms() >= 5_000);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    attempt: u32,
    retry_after_ms: u64,
    state: u64,
}

impl Backoff {
    /// With a seed that differs between peers.
    pub fn new(seed: u64) -> Self {
        Self {
            attempt: 0,
            retry_after_ms: 0,
            // xorshift must not start at 0.
            state: seed | 1,
        }
    }

    /// The server said when to come back, milliseconds from now; counts for the next pause.
    pub fn retry_after(&mut self, ms: u64) {
        self.retry_after_ms = ms;
    }

    /// The next pause in milliseconds: uniformly up to a ceiling that doubles each time, after what
    /// the server asked for.
    pub fn next_ms(&mut self) -> u64 {
        let ceiling = (BACKOFF_MS_MIN << self.attempt.min(16)).min(BACKOFF_MS_MAX);
        self.attempt = self.attempt.saturating_add(1);
        let jitter = self.random() % (ceiling + 1);
        std::mem::take(&mut self.retry_after_ms).saturating_add(jitter)
    }

    /// It worked: the next pause is short again.
    pub fn reset(&mut self) {
        self.attempt = 0;
        self.retry_after_ms = 0;
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[cfg(test)]
mod tests {
    use crate::backoff::Backoff;
    use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN};

    #[test]
    fn pauses_double_up_to_a_ceiling_and_are_spread() {
        let mut greatest = [0; 12];
        for seed in 0..200 {
            let mut backoff = Backoff::new(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
            for slot in &mut greatest {
                *slot = backoff.next_ms().max(*slot);
            }
        }
        for (attempt, greatest) in greatest.into_iter().enumerate() {
            let ceiling = (BACKOFF_MS_MIN << attempt).min(BACKOFF_MS_MAX);
            assert!(greatest <= ceiling, "{attempt}: {greatest}");
            assert!(greatest > ceiling / 2, "{attempt}: {greatest} is no spread");
        }
    }

    #[test]
    fn the_servers_wish_counts_once() {
        let mut backoff = Backoff::new(1);
        backoff.retry_after(60_000);
        assert!(backoff.next_ms() >= 60_000);
        assert!(backoff.next_ms() <= 2 * BACKOFF_MS_MIN);
    }
}
