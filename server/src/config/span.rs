//! A span of time as people write it: `30s`, `15m`, `30d`; a bare number is seconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::text::duration;

/// A span of time, in whole seconds.
///
/// ```
/// use skein_server::config::span::Span;
/// assert_eq!(Span::seconds(90).as_ms(), 90_000);
/// assert_eq!(Span::seconds(30 * 86_400).to_string(), "30d");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// Units from the longest, seconds.
const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// In milliseconds.
    pub fn as_ms(self) -> u64 {
        self.0.as_secs().saturating_mul(1_000)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let fits = |(unit, _): &&(u64, char)| seconds.is_multiple_of(*unit) && seconds > 0;
        let (unit, letter) = UNITS.iter().find(fits).unwrap_or(&(1, 's'));
        write!(f, "{}{letter}", seconds / unit)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map(Self).map_err(D::Error::custom)
    }
}
