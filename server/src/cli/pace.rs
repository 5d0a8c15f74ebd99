//! When the points of a track are sent: at their own pace, so many times faster.

use std::time::Duration;

use crate::cli::gpx::TrackPoint;

/// Between two points where the track does not say how long: it has no time there, or one that does
/// not advance.
const STEP_MS: i64 = 1_000;

/// Longest time from the start to a point: a year. Broken clocks jump by centuries.
const OFFSET_MAX: Duration = Duration::from_secs(366 * 86_400);

/// The pace of one replay.
#[derive(Clone, Debug)]
pub struct Pace {
    speed: f64,
    before: Option<TrackPoint>,
    offset: Duration,
    /// Points that were paced one second apart because their time did not advance.
    pub unpaced: u64,
}

impl Pace {
    /// So many times as fast as the track itself. `speed` is above 0.
    pub fn new(speed: f64) -> Self {
        Self {
            speed,
            before: None,
            offset: Duration::ZERO,
            unpaced: 0,
        }
    }

    /// When to send the next point, counted from the first one. A track that begins anew comes to a
    /// point whose time does not advance.
    pub fn next(&mut self, point: &TrackPoint) -> Duration {
        if let Some(before) = self.before.replace(*point) {
            let step_ms = match (before.time_ms, point.time_ms) {
                (Some(before), Some(time)) if time > before => time.saturating_sub(before),
                _ => {
                    self.unpaced += 1;
                    STEP_MS
                }
            };
            let step = Duration::try_from_secs_f64(step_ms as f64 / 1_000.0 / self.speed);
            let step = step.unwrap_or(OFFSET_MAX);
            self.offset = self.offset.saturating_add(step).min(OFFSET_MAX);
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use skein_wire::point::Fix;

    use crate::cli::gpx::TrackPoint;
    use crate::cli::pace::Pace;

    fn offsets_ms(speed: f64, times: &[Option<i64>]) -> (Vec<u64>, u64) {
        let mut pace = Pace::new(speed);
        let mut offset = |time_ms: &Option<i64>| {
            let fix = Fix::default();
            let point = TrackPoint {
                time_ms: *time_ms,
                fix,
            };
            pace.next(&point).as_millis() as u64
        };
        let offsets = times.iter().map(&mut offset).collect();
        (offsets, pace.unpaced)
    }

    #[test]
    fn a_track_keeps_its_pace_and_stumbles_by_seconds() {
        let times = [
            Some(5_000),
            Some(15_000),
            Some(15_000),
            None,
            Some(3_000),
            Some(4_000),
        ];
        assert_eq!(
            offsets_ms(10.0, &times),
            (vec![0, 1_000, 1_100, 1_200, 1_300, 1_400], 3)
        );
    }

    #[test]
    fn clocks_that_jump_by_centuries_and_tiny_speeds_stay_bounded() {
        let (offsets, _) = offsets_ms(1e-300, &[Some(i64::MIN / 2), Some(i64::MAX / 2), Some(0)]);
        assert_eq!(
            offsets[1],
            Duration::from_secs(366 * 86_400).as_millis() as u64
        );
    }
}
