//! Who speaks on a connection, as the edge has to know it.

use crate::access::rate_table::RateKey;
use crate::limits::{RENEWAL_INTERVAL_S, RENEWALS_BURST_MAX};

/// A client that was welcomed. Each connection has one, so it is small.
#[derive(Clone, Copy, Debug)]
pub struct Speaker {
    user: RateKey,
    /// When it may bring a whole burst of tokens again, seconds: the generic cell rate algorithm.
    full_at_s: u32,
}

impl Speaker {
    /// One that has said nothing more than its `Hello`.
    pub fn new(user: RateKey) -> Self {
        Self { user, full_at_s: 0 }
    }

    /// Under what its requests are counted.
    pub fn user(&self) -> RateKey {
        self.user
    }

    /// Whether it may bring one more token, each of which costs a verified signature.
    pub fn may_renew(&mut self, now_ms: u64) -> bool {
        let now_s = u32::try_from(now_ms / 1_000).unwrap_or(u32::MAX);
        let full_at_s = self.full_at_s.max(now_s);
        if full_at_s - now_s > RENEWAL_INTERVAL_S * (RENEWALS_BURST_MAX - 1) {
            return false;
        }
        self.full_at_s = full_at_s.saturating_add(RENEWAL_INTERVAL_S);
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::access::rate_table::RateKey;
    use crate::edge::speaker::Speaker;

    #[test]
    fn a_burst_of_tokens_then_one_a_second() {
        let mut speaker = Speaker::new(RateKey::EXEMPT);
        let mut taken = |now_ms| (0..100).filter(|_| speaker.may_renew(now_ms)).count();
        assert_eq!(taken(5_000), 8);
        assert_eq!(taken(5_999), 0);
        assert_eq!(taken(6_000), 1);
        assert_eq!(taken(60_000), 8);
    }
}
