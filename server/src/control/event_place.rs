//! Where a consumer of events is: the index of the last one it has, and of which control log.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use skein_log::LogId;

/// Digits of a log's identity.
const LOG_DIGITS: usize = 16;

/// The place behind an event. Its text form is the event's id: `logid-index`.
///
/// An index alone is a place too, in whatever log there is; with the log's identity a place of a data
/// directory that was since made anew is told from one of today's.
///
/// ```
/// use skein_log::LogId;
/// use skein_server::control::event_place::EventPlace;
/// let place = EventPlace { log: Some(LogId(0xabc)), index: 7 };
/// assert_eq!(place.to_string(), "0000000000000abc-7");
/// assert_eq!("0000000000000abc-7".parse(), Ok(place));
/// assert_eq!("7".parse(), Ok(EventPlace::from(7)));
/// assert!("abc-7".parse::<EventPlace>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// Which control log; `None` = whichever there is.
    pub log: Option<LogId>,
    /// Index of the last event that the consumer has; 0 = none.
    pub index: u64,
}

impl From<u64> for EventPlace {
    fn from(index: u64) -> Self {
        Self { log: None, index }
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log {
            Some(log) => write!(f, "{log}-{}", self.index),
            None => write!(f, "{}", self.index),
        }
    }
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an event looks like logid-index, or is an index")]
pub struct BadEventPlace;

impl From<ParseIntError> for BadEventPlace {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl FromStr for EventPlace {
    type Err = BadEventPlace;

    fn from_str(text: &str) -> Result<Self, BadEventPlace> {
        // The number parsers would take a sign, which no place has.
        if text.contains('+') {
            return Err(BadEventPlace);
        }
        let Some((log, index)) = text.split_once('-') else {
            return Ok(Self::from(text.parse::<u64>()?));
        };
        if log.len() != LOG_DIGITS {
            return Err(BadEventPlace);
        }
        Ok(Self {
            log: Some(LogId(u64::from_str_radix(log, 16)?)),
            index: index.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::control::event_place::EventPlace;

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "-",
            "yesterday",
            "+7",
            "-7",
            "abc-7",
            "0000000000000abc-",
            "0000000000000abc-7-7",
            "0000000000000abc-+7",
            "000000000000000g-7",
        ] {
            assert!(text.parse::<EventPlace>().is_err(), "{text}");
        }
    }
}
