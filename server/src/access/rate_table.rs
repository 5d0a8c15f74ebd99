//! How often each of very many may do something, in a fixed piece of memory that all threads share.
//!
//! Each key has two cells, one in each half of the table, chosen by two hashes. A cell is the moment until
//! which its keys have used up what they may (the *generic cell rate algorithm*), so that a rate with a
//! burst is one number and one comparison. Who shares a cell with a busy key has another one that is
//! not: the lesser of the two counts. Nothing is allocated, evicted or locked, whatever strangers send.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::limits::RATE_CELLS;

/// A key as the table knows it. Small, because each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateKey(NonZeroU32);

impl RateKey {
    /// Of whoever may do something as often as they like.
    pub const EXEMPT: Self = Self(NonZeroU32::MIN);
}

/// The table.
#[derive(Debug)]
pub struct RateTable {
    /// Times in microseconds of the server's clock.
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Microseconds that one event costs; 0 = there is no limit.
    cost_us: u64,
    /// Microseconds that may be used ahead: the burst.
    ahead_us: u64,
}

impl RateTable {
    /// Each key may do something `per_second` times per second, sustained, and `burst` times at once.
    /// 0 per second: as often as it likes.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let cost_us = match per_second {
            0 => 0,
            // More than a million a second is no limit that anybody would notice.
            some => 1_000_000_u64.div_ceil(some.into()),
        };
        let cells = if cost_us == 0 { 0 } else { RATE_CELLS };
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            cost_us,
            ahead_us: cost_us * u64::from(burst.max(1)),
        }
    }

    /// The key of something. Two things share one by chance, once in four thousand million pairs.
    pub fn key(&self, of: impl Hash) -> RateKey {
        let hash = self.hasher.hash_one(of) as u32;
        let first = RateKey::EXEMPT.0.saturating_add(1);
        RateKey(NonZeroU32::new(hash).map_or(first, |hash| hash.max(first)))
    }

    /// Does it once.
    ///
    /// # Errors
    /// When it was too often: milliseconds until it may be done again.
    pub fn take(&self, key: RateKey, now_ms: u64) -> Result<(), u32> {
        let Some(until) = self.look(key, now_ms)? else {
            return Ok(());
        };
        for cell in self.cells_of(key) {
            // A cell that another key has put ahead stays there. Two threads that take at the same
            // moment may count as one.
            cell.fetch_max(until, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether it may be done now.
    ///
    /// # Errors
    /// As [`RateTable::take`].
    pub fn check(&self, key: RateKey, now_ms: u64) -> Result<(), u32> {
        self.look(key, now_ms).map(|_| ())
    }

    /// What the cells would be after it was done; `None` where there is no limit.
    fn look(&self, key: RateKey, now_ms: u64) -> Result<Option<u64>, u32> {
        if self.cost_us == 0 || key == RateKey::EXEMPT {
            return Ok(None);
        }
        let now = now_ms.saturating_mul(1_000);
        let used = self.cells_of(key).map(|cell| cell.load(Ordering::Relaxed));
        let until = used[0].min(used[1]).max(now).saturating_add(self.cost_us);
        let over = until.saturating_sub(now.saturating_add(self.ahead_us));
        match over {
            0 => Ok(Some(until)),
            over => Err(u32::try_from(over.div_ceil(1_000)).unwrap_or(u32::MAX)),
        }
    }

    fn cells_of(&self, key: RateKey) -> [&AtomicU64; 2] {
        let half = self.cells.len() / 2;
        let hash = key.0.get();
        // Fibonacci hashing: keys that share the first cell are spread over the second half.
        let other = hash.wrapping_mul(0x9e37_79b9) >> 8;
        [
            &self.cells[hash as usize % half],
            &self.cells[half + other as usize % half],
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::access::rate_table::{RateKey, RateTable};

    #[test]
    fn a_burst_then_the_rate() {
        let table = RateTable::new(10, 5);
        let key = table.key("ana");
        for _ in 0..5 {
            table.take(key, 1_000).unwrap();
        }
        assert_eq!(table.check(key, 1_000), Err(100));
        assert_eq!(table.take(key, 1_000), Err(100));
        assert_eq!(table.take(key, 1_040), Err(60));
        // What was refused costs nothing.
        table.take(key, 1_100).unwrap();
        assert_eq!(table.take(key, 1_100), Err(100));
        // A second later ten more are free, of which five at once.
        let free = (0..20).filter(|_| table.take(key, 2_100).is_ok()).count();
        assert_eq!(free, 5);
    }

    #[test]
    fn looking_costs_nothing() {
        let table = RateTable::new(1, 1);
        let key = table.key(7);
        for _ in 0..9 {
            table.check(key, 0).unwrap();
        }
        table.take(key, 0).unwrap();
        assert_eq!(table.check(key, 0), Err(1_000));
    }

    #[test]
    fn one_key_does_not_use_up_what_others_have() {
        let table = RateTable::new(1, 10);
        for busy in 0..300 {
            let key = table.key(busy);
            while table.take(key, 0).is_ok() {}
        }
        let calm = (1_000..11_000).filter(|&calm| table.take(table.key(calm), 0).is_ok());
        // Some share both of their cells with busy ones, by chance.
        assert!(calm.count() > 9_950);
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let table = RateTable::new(0, 1);
        let key = table.key("ana");
        assert!((0..10_000).all(|_| table.take(key, 0).is_ok()));
        let table = RateTable::new(1, 1);
        assert!((0..10_000).all(|_| table.take(RateKey::EXEMPT, 0).is_ok()));
    }

    #[test]
    fn a_clock_at_its_end_does_no_harm() {
        let table = RateTable::new(1, 1);
        let key = table.key("ana");
        table.take(key, u64::MAX).unwrap();
        let _ = table.take(key, u64::MAX);
    }
}
