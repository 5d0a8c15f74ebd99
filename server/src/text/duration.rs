//! Durations as people write them: `90`, `90s`, `15m`, `1h30m`, `8h`, `1d`.

use std::time::Duration;

/// Reads a duration; a bare number is seconds.
///
/// # Errors
/// A text for the person who typed it.
///
/// ```
/// use skein_server::text::duration::parse;
/// assert_eq!(parse("1h30m").unwrap().as_secs(), 5400);
/// assert!(parse("soon").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write 90s, 15m, 8h or 1h30m");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total: u64 = 0;
    let mut number = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let seconds = seconds_of(letter).ok_or_else(bad)?;
        let amount: u64 = std::mem::take(&mut number).parse().map_err(|_| bad())?;
        total = amount
            .checked_mul(seconds)
            .and_then(|s| s.checked_add(total))
            .ok_or_else(bad)?;
    }
    let whole = number.is_empty() && !text.is_empty() && total <= u64::from(u32::MAX);
    if whole {
        Ok(Duration::from_secs(total))
    } else {
        Err(bad())
    }
}

/// Reads a duration that is longer than nothing.
///
/// # Errors
/// A text for the person who typed it.
///
/// ```
/// use skein_server::text::duration::parse_some;
/// assert_eq!(parse_some("15m").unwrap().as_secs(), 900);
/// assert!(parse_some("0s").is_err());
/// ```
pub fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!(
            "`{text}` is no time at all; write 90s, 15m, 8h or 1h30m"
        )),
        some => Ok(some),
    }
}

/// A duration in its largest unit, for people: `3 hours`, `2 years`.
///
/// ```
/// use std::time::Duration;
///
/// use skein_server::text::duration::approximate;
/// assert_eq!(approximate(Duration::from_secs(7_500)), "2 hours");
/// assert_eq!(approximate(Duration::from_secs(90_000)), "1 day");
/// ```
pub fn approximate(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (amount, unit) = match seconds {
        0..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..31_536_000 => (seconds / 86_400, "day"),
        _ => (seconds / 31_536_000, "year"),
    };
    match amount {
        1 => format!("1 {unit}"),
        _ => format!("{amount} {unit}s"),
    }
}

fn seconds_of(letter: char) -> Option<u64> {
    Some(match letter {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::text::duration::parse;

    #[test]
    fn durations_are_read_or_refused() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("15m", 900),
            ("8h", 28_800),
            ("1h30m", 5_400),
            ("1d", 86_400),
        ] {
            assert_eq!(parse(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "m",
            "5x",
            "-1",
            "1h30",
            "1.5h",
            "99999999999h",
            "18446744073709551615d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
