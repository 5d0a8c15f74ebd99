//! Which points are kept: of each session the first one in each window of time. Pure.
//!
//! Windows begin at multiples of the interval since 1970, so a window is known from a point alone,
//! and whether it is taken already is a question to the database (its index allows one row per
//! session and window). What is remembered here only saves asking: a sampler that has forgotten
//! everything keeps the same rows. A "last kept time" would need an order of arrival, which points
//! from a backlog do not have.

use hashbrown::HashMap;

/// A session within its chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The chat's handle.
    pub chat: u32,
    /// The session.
    pub session: u64,
}

/// The time of a point, milliseconds since 1970. A live point happened when it arrived: the
/// server's clock decides, whatever the device says. A point from a backlog happened when the
/// device says, but neither before its session began nor after it arrived.
pub fn moment(live: bool, captured_at_ms: i64, started_at_ms: u64, arrived_at_ms: u64) -> u64 {
    if live {
        return arrived_at_ms;
    }
    let captured = u64::try_from(captured_at_ms).unwrap_or(0);
    captured.max(started_at_ms).min(arrived_at_ms)
}

/// Decides which points are offered to the database.
///
/// ```
/// use skein_server::history::sampler::{Sampler, SessionKey};
/// let mut sampler = Sampler::new(30_000);
/// let session = SessionKey { chat: 1, session: 7 };
/// assert_eq!(sampler.offer(session, 60_001), Some(60_000));
/// assert_eq!(sampler.offer(session, 89_999), None, "the window is taken");
/// assert_eq!(sampler.offer(session, 90_000), Some(90_000));
/// ```
#[derive(Debug)]
pub struct Sampler {
    every_ms: u64,
    /// The newest window of each live session that is known to be taken.
    newest: HashMap<SessionKey, u64>,
}

impl Sampler {
    /// One point per so many milliseconds.
    ///
    /// # Panics
    /// If `every_ms` is 0.
    pub fn new(every_ms: u64) -> Self {
        assert!(every_ms > 0, "a window has a length");
        Self {
            every_ms,
            newest: HashMap::new(),
        }
    }

    /// The window of a point at this moment, by its begin, unless it is known to be taken.
    /// Counts as taken from now on, whether by this point or by an earlier one.
    pub fn offer(&mut self, key: SessionKey, at_ms: u64) -> Option<u64> {
        let window_ms = at_ms - at_ms % self.every_ms;
        let newest = self.newest.entry(key).or_insert(0);
        if *newest == window_ms && window_ms > 0 {
            return None;
        }
        *newest = window_ms.max(*newest);
        Some(window_ms)
    }

    /// The session is over.
    pub fn forget(&mut self, key: SessionKey) {
        self.newest.remove(&key);
    }

    /// What was offered may not be in the database: ask it again.
    pub fn clear(&mut self) {
        self.newest.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::history::sampler::{Sampler, SessionKey, moment};

    const A: SessionKey = SessionKey {
        chat: 1,
        session: 1,
    };
    const B: SessionKey = SessionKey {
        chat: 2,
        session: 1,
    };

    /// The moments that a database with its unique index keeps; `forgets` names the points before
    /// which the process dies.
    fn kept(points: &[u64], forgets: &[usize]) -> Vec<u64> {
        let mut sampler = Sampler::new(10);
        let mut windows = BTreeSet::new();
        let mut kept = Vec::new();
        for (index, at) in points.iter().enumerate() {
            if forgets.contains(&index) {
                sampler.clear();
            }
            if sampler
                .offer(A, *at)
                .is_some_and(|window| windows.insert(window))
            {
                kept.push(*at);
            }
        }
        kept
    }

    #[test]
    fn the_first_point_of_each_window_is_kept() {
        assert_eq!(
            kept(&[100, 101, 109, 110, 125, 129, 131], &[]),
            [100, 110, 125, 131]
        );
    }

    #[test]
    fn a_restart_anywhere_keeps_the_same_points() {
        let points: Vec<u64> = (0..200).map(|index| 1_000 + index * 3).collect();
        let expected = kept(&points, &[]);
        for restart in 0..points.len() {
            assert_eq!(kept(&points, &[restart]), expected, "{restart}");
        }
        assert_eq!(
            kept(&points, &(0..points.len()).collect::<Vec<_>>()),
            expected
        );
    }

    #[test]
    fn a_backlog_fills_windows_that_nothing_has() {
        assert_eq!(
            kept(&[100, 200, 110, 115, 105, 120, 201], &[]),
            [100, 200, 110, 120]
        );
    }

    #[test]
    fn sessions_of_the_same_number_in_two_chats_do_not_mix() {
        let mut sampler = Sampler::new(10);
        assert_eq!(sampler.offer(A, 100), Some(100));
        assert_eq!(sampler.offer(B, 100), Some(100));
        assert_eq!(sampler.offer(A, 101), None);
        sampler.forget(A);
        assert_eq!(sampler.offer(A, 101), Some(100), "the database is asked");
    }

    #[test]
    fn a_clock_of_a_device_moves_no_live_point_and_no_backlog_out_of_its_session() {
        let year_2038 = 2_147_483_648_000;
        assert_eq!(moment(true, year_2038, 50, 100), 100);
        assert_eq!(moment(true, -5, 50, 100), 100);
        assert_eq!(moment(false, year_2038, 50, 100), 100);
        assert_eq!(moment(false, -5, 50, 100), 50);
        assert_eq!(moment(false, 70, 50, 100), 70);
        // A session that is known from later than its backlog: never after it arrived.
        assert_eq!(moment(false, 70, 150, 100), 100);
    }
}
