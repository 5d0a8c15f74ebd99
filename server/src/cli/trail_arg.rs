//! The trail that `skein watch` begins with: a number of points, or a time.

use std::str::FromStr;
use std::time::Duration;

use skein_wire::limits::TRAIL_POINTS_MAX;

use crate::text::duration;

/// Which earlier points of each session are wanted at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrailArg {
    /// At most so many.
    pub points: u8,
    /// Only those that were captured within this time; `None` = however old they are.
    pub age: Option<Duration>,
}

impl FromStr for TrailArg {
    type Err = String;

    /// A bare number counts points, one with a unit is a time.
    ///
    /// # Errors
    /// A text for the person who typed it.
    fn from_str(text: &str) -> Result<Self, String> {
        let most = TRAIL_POINTS_MAX as u8;
        if text.chars().all(|letter| letter.is_ascii_digit()) {
            let points = text.parse().ok().filter(|points| *points <= most);
            let points = points.ok_or(format!(
                "a trail has 0 to {most} points; for a time write 90s or 10m"
            ))?;
            return Ok(Self { points, age: None });
        }
        Ok(Self {
            points: most,
            age: Some(duration::parse(text)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trails_are_read_or_refused() {
        let read = |text: &str| text.parse::<TrailArg>();
        let points = |points| TrailArg { points, age: None };
        assert_eq!(read("0"), Ok(points(0)));
        assert_eq!(read("32"), Ok(points(32)));
        let age = Some(Duration::from_secs(600));
        assert_eq!(read("10m"), Ok(TrailArg { points: 32, age }));
        for wrong in ["", "33", "999", "-1", "ten", "10x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
