//! Times as text, in the form of RFC 3339 as far as GPX and people use it.

use skein_wire::limits::{CAPTURED_AT_MS_MAX, CAPTURED_AT_MS_MIN};

/// Reads `2020-12-18T06:15:50Z`, with an optional fraction (cut to milliseconds), offset (`+02:00`)
/// or none (taken as UTC), as milliseconds since 1970. `None` for anything else.
pub fn parse_ms(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let days = days_of(number(year, 4)?, number(month, 2)?, number(day, 2)?)?;
    let (clock, offset_s) = split_offset(clock)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let (hour, rest) = clock.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    // A leap second counts as the one after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    let ms = seconds * 1_000 + thousandths(fraction)?;
    (CAPTURED_AT_MS_MIN..=CAPTURED_AT_MS_MAX)
        .contains(&ms)
        .then_some(ms)
}

/// Reads a time as people give it to a command: milliseconds since 1970.
///
/// # Errors
/// A text for the person who typed it.
///
/// ```
/// use skein_server::text::time_text::parse_time;
/// assert_eq!(parse_time("1970-01-01T00:00:01Z"), Ok(1_000));
/// assert_eq!(parse_time("1000"), Ok(1_000));
/// assert!(parse_time("yesterday").is_err());
/// ```
pub fn parse_time(text: &str) -> Result<u64, String> {
    let date = || parse_ms(text).and_then(|ms| u64::try_from(ms).ok());
    let ms = text.parse().ok().or_else(date);
    ms.ok_or_else(|| {
        "a time looks like 2020-12-18T06:15:50Z, or is a number of milliseconds since 1970"
            .to_owned()
    })
}

/// Milliseconds since 1970 as `06:15:50` of its day, UTC.
pub fn clock_text(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// Milliseconds since 1970 as `2020-12-18T06:15:50.000Z`.
pub fn date_text(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) as u64);
    let (year, month, day) = date_of(days);
    let clock = clock_text(in_day);
    format!(
        "{year:04}-{month:02}-{day:02}T{clock}.{:03}Z",
        in_day % 1_000
    )
}

/// Year, month and day of a day since 1970-01-01; the inverse of `days_of`.
fn date_of(days: i64) -> (i64, i64, i64) {
    // From the 1st of March of the year 0, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + next_year, month, day)
}

fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else {
        return Some((clock, 0));
    };
    let (clock, offset) = clock.split_at(at);
    let (hour, minute) = offset[1..].split_once(':')?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60;
    Some((
        clock,
        if offset.starts_with('-') {
            -seconds
        } else {
            seconds
        },
    ))
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let ok = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    ok.then(|| text.parse().ok()).flatten()
}

fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
    digits.parse().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar; `None` for a day that is none.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(365 * year + leaps + (153 * month + 2) / 5 + day - 719_469)
}

#[cfg(test)]
mod tests {
    use crate::text::time_text::{clock_text, date_text, parse_ms};

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2020-12-18T06:15:50Z", Some(1_608_272_150_000)),
            ("2024-02-29T23:59:59.5Z", Some(1_709_251_199_500)),
            ("1901-12-13T20:45:52.2073437Z", Some(-2_147_483_647_793)),
            ("2020-12-18T08:15:50+02:00", Some(1_608_272_150_000)),
            ("2020-12-18T06:15:50", Some(1_608_272_150_000)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000)),
            ("0000-12-31T23:59:59Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2020-13-01T00:00:00Z", None),
            ("2020-12-18T24:00:00Z", None),
            ("2020-12-18", None),
            ("2020-12-18T06:15Z", None),
            ("2020-12-18T06:15:50.Z", None),
            ("\u{e4}020-12-18T06:15:50Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn dates_are_written_as_they_are_read() {
        assert_eq!(date_text(1_608_272_150_007), "2020-12-18T06:15:50.007Z");
        for day in (-100_000..100_000).step_by(13) {
            let ms = day * 86_400_000 + 1;
            assert_eq!(parse_ms(&date_text(ms)), Some(ms));
        }
    }

    #[test]
    fn clocks_are_shown_in_utc() {
        assert_eq!(clock_text(1_608_272_150_999), "06:15:50");
    }
}
