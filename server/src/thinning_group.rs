//! Which points of the log stand for the same when old ones are thinned. Pure.
//!
//! As in the history a window of time is known from a point alone. There a session's start bounds what a
//! device may claim; here nobody knows it, and points that were sent late without saying so matter, too.
//! So a point that was late counts by when the device says that it was *and* by when it came: a clock that
//! is wrong or stands still costs a point per window of arrival more, never a trail.

use skein_engine::journal::kind;
use skein_log::RecordRef;

use crate::history::sampler::moment;
use crate::raw_record::captured_at_ms;

/// In place of a window that was claimed: nothing but a sign of life.
const NO_PLACE: u64 = u64::MAX;

/// The group of a record of a session that was appended at `arrived_ms`: of each the first stays.
/// `None`: it tells what happened, and stays.
///
/// # Panics
/// If `every_ms` is 0.
pub fn group(every_ms: u64, arrived_ms: u64, record: &RecordRef<'_>) -> Option<[u64; 2]> {
    group_of(every_ms, arrived_ms, record.kind, || captured_at_ms(record))
}

fn group_of(
    every_ms: u64,
    arrived_ms: u64,
    kind: u8,
    captured_ms: impl FnOnce() -> i64,
) -> Option<[u64; 2]> {
    let arrived = arrived_ms / every_ms;
    match kind {
        kind::POINT | kind::HISTORICAL_POINT => {
            let claimed_ms = moment(false, captured_ms(), 0, arrived_ms);
            let is_late = arrived_ms - claimed_ms > every_ms;
            let was_ms = if is_late { claimed_ms } else { arrived_ms };
            Some([was_ms / every_ms, arrived])
        }
        // It has no place: no point may go because of it.
        kind::HEARTBEAT => Some([NO_PLACE, arrived]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE_MS: u64 = 60_000;
    const NOON_MS: u64 = 1_700_000_000_000 / MINUTE_MS * MINUTE_MS;

    /// How many of these points stay: when the device says they were, and when they came.
    fn kept(points: impl IntoIterator<Item = (i64, u64)>) -> usize {
        let mut groups = BTreeSet::new();
        for (captured_ms, arrived_ms) in points {
            let of = |kind| group_of(MINUTE_MS, arrived_ms, kind, || captured_ms);
            let group = of(kind::POINT).expect("points are thinned");
            assert_eq!(of(kind::HISTORICAL_POINT), Some(group));
            groups.insert(group);
        }
        groups.len()
    }

    /// An hour, a point each ten seconds.
    fn hour() -> impl Iterator<Item = u64> {
        (0..360).map(|count| NOON_MS + count * 10_000)
    }

    #[test]
    fn live_points_stay_once_a_window_however_slow_the_network_was() {
        assert_eq!(kept(hour().map(|at| (at as i64, at))), 60);
        assert_eq!(kept(hour().map(|at| (at as i64 - 9_000, at))), 60);
    }

    #[test]
    fn a_backlog_that_came_within_a_second_stays_once_a_window_of_when_it_was() {
        let came = NOON_MS + 7_200_000;
        assert_eq!(kept(hour().map(|at| (at as i64, came))), 60);
    }

    /// All that was appended has one time until the clock has come there again.
    #[test]
    fn a_servers_clock_that_was_ahead_leaves_a_trail() {
        let ahead = NOON_MS + 86_400_000;
        assert_eq!(kept(hour().map(|at| (at as i64, ahead))), 60);
    }

    #[test]
    fn a_device_whose_clock_is_wrong_keeps_a_trail() {
        for claimed in [-5, 0, 1_000_000, i64::MIN, i64::MAX] {
            assert_eq!(kept(hour().map(|at| (claimed, at))), 60, "{claimed}");
        }
        let behind = hour().map(|at| (at as i64 - 86_405_000, at));
        assert!((60..=120).contains(&kept(behind)));
    }

    #[test]
    fn a_heartbeat_takes_no_point_away_and_what_happened_stays() {
        let of = |kind| group_of(MINUTE_MS, NOON_MS, kind, || NOON_MS as i64);
        assert!(of(kind::HEARTBEAT).is_some());
        assert_ne!(of(kind::HEARTBEAT), of(kind::POINT));
        for kind in (0..=u8::MAX)
            .filter(|it| ![kind::POINT, kind::HISTORICAL_POINT, kind::HEARTBEAT].contains(it))
        {
            assert_eq!(of(kind), None, "{kind}");
        }
    }
}
