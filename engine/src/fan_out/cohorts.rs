//! What viewers wish for, rounded so that those with like wishes share batches.
//!
//! A batch is encoded once for all who can take it. If each viewer had a trail length and a beat
//! of its own, every one of them would need batches of its own.

/// Trail lengths that full batches are built with, points; a wish is rounded up to the next one.
const TRAIL_STEPS: [u8; 5] = [0, 4, 8, 16, 32];

/// Beats of one interval: viewers that want the same interval are served at one of so many moments
/// in it. More of them share less; fewer make a newcomer wait longer for its second batch.
const BEATS: u64 = 4;

/// How late a viewer may be served, milliseconds, without losing its beat.
const LATE_MS_MAX: u64 = 50;

/// The trail length that a viewer gets that wants `points`.
pub(crate) fn trail(points: u8) -> u8 {
    let step = TRAIL_STEPS.into_iter().find(|step| *step >= points);
    step.unwrap_or(points)
}

/// When a viewer that was just served may be served again, milliseconds since 1970: `interval_ms`
/// after it was `due_ms`, when it had to be served then, else after now; in either case on a beat
/// that all viewers with this interval share.
pub(crate) fn next_due_ms(now_ms: u64, due_ms: u64, interval_ms: u32) -> u64 {
    if interval_ms == 0 {
        return now_ms;
    }
    let beat = u64::from(interval_ms).div_ceil(BEATS);
    let late = now_ms.saturating_sub(due_ms);
    if late < beat.min(LATE_MS_MAX) {
        return due_ms.saturating_add(beat * BEATS);
    }
    let earliest = now_ms.saturating_add(beat * BEATS);
    earliest.div_ceil(beat).saturating_mul(beat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trails_are_rounded_up() {
        let steps = [0, 1, 4, 5, 8, 9, 16, 17, 32].map(trail);
        assert_eq!(steps, [0, 4, 4, 8, 8, 16, 16, 32, 32]);
        assert_eq!(trail(200), 200);
    }

    #[test]
    fn who_is_served_in_time_keeps_its_beat() {
        for interval_ms in [1, 3, 4, 250, 1_000, 1_001, 60_000] {
            let first = next_due_ms(1_750_000_000_123, 0, interval_ms);
            let wait = first - 1_750_000_000_123;
            let interval = u64::from(interval_ms);
            assert!(wait >= interval, "{interval_ms}: {wait}");
            assert!(
                wait <= interval + interval.div_ceil(BEATS) + BEATS,
                "{interval_ms}: {wait}"
            );
            let second = next_due_ms(first, first, interval_ms);
            let third = next_due_ms(second, second, interval_ms);
            assert_eq!(third - second, second - first, "{interval_ms}");
            assert!(second - first >= interval && second - first < interval + BEATS);
        }
        let due = 1_750_000_000_000;
        assert_eq!(next_due_ms(due + 20, due, 1_000), due + 1_000);
        assert_eq!(next_due_ms(due + 60, due, 1_000), due + 1_250);
        assert_eq!(next_due_ms(due + 60, due, 0), due + 60);
    }

    #[test]
    fn viewers_that_come_at_any_time_meet_on_few_beats() {
        let mut beats: Vec<u64> = (0..1_000)
            .map(|ms| next_due_ms(1_750_000_000_000 + ms, 0, 1_000) % 1_000)
            .collect();
        beats.sort_unstable();
        beats.dedup();
        assert_eq!(beats.len() as u64, BEATS);
    }

    #[test]
    fn no_wish_overflows() {
        assert!(next_due_ms(u64::MAX, 0, u32::MAX) >= u64::MAX - u64::from(u32::MAX));
    }
}
