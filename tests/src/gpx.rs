//! GPX files: reads the points that a replay must bring, and makes synthetic ones.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use skein_wire::point::Position;

/// Milliseconds of 2024-05-01T08:00:00Z, when synthetic tracks begin.
const SYNTHETIC_START_MS: i64 = 1_714_550_400_000;

/// One point of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackPoint {
    /// Where, as the wire carries it.
    pub position: Position,
    /// When, milliseconds since 1970, if the file says so.
    pub time_ms: Option<i64>,
}

/// Reads the track points of a file.
///
/// # Panics
/// If it cannot be read or a point is not well-formed.
pub fn read(path: &Path) -> Vec<TrackPoint> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    parse(&text)
}

/// Reads the track points of a text.
pub fn parse(text: &str) -> Vec<TrackPoint> {
    let mut points = Vec::new();
    for piece in text.split("<trkpt").skip(1) {
        let piece = piece.split("</trkpt>").next().unwrap_or(piece);
        let degrees = |name: &str| {
            let value = between(piece, &format!("{name}=\""), "\"");
            value
                .and_then(|text| text.parse::<f64>().ok())
                .expect("degrees")
        };
        let position = Position::from_degrees(degrees("lat"), degrees("lon"));
        points.push(TrackPoint {
            position: position.expect("a point on earth"),
            time_ms: between(piece, "<time>", "</time>").map(time_ms),
        });
    }
    points
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split(end).next()
}

/// `2020-12-18T06:15:50Z`, with an optional fraction, as milliseconds since 1970.
///
/// # Panics
/// If it is not in this form.
pub fn time_ms(text: &str) -> i64 {
    let number = |part: &str| -> i64 {
        part.parse()
            .unwrap_or_else(|_| panic!("a time like 2020-12-18T06:15:50Z, not {text}"))
    };
    let (date, clock) = text
        .trim()
        .trim_end_matches('Z')
        .split_once('T')
        .expect("date and time");
    let date: Vec<i64> = date.split('-').map(number).collect();
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let clock: Vec<i64> = clock.split(':').map(number).collect();
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds =
        days(date[0], date[1], date[2]) * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2];
    seconds * 1_000 + number(&thousandths)
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469
}

/// The reverse of [`time_ms`], to the millisecond.
fn time_text(ms: i64) -> String {
    let (seconds, thousandths) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let (day, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let first = days(2024, 5, 1);
    assert!(
        (0..31).contains(&(day - first)),
        "synthetic tracks stay within one month"
    );
    format!(
        "2024-05-{:02}T{:02}:{:02}:{:02}.{thousandths:03}Z",
        day - first + 1,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// A walk that never repeats a place, so that every mix-up shows: `count` points, `step_ms` apart.
pub fn synthetic(seed: u32, count: usize, step_ms: i64) -> Vec<TrackPoint> {
    let mut state = u64::from(seed) * 2 + 1;
    let mut lat_e6 = 48_000_000 + (seed % 1000) as i32 * 1_000;
    let mut lon_e6 = 11_000_000 - (seed % 777) as i32 * 1_000;
    (0..count)
        .map(|index| {
            // Numerical Recipes' generator: enough to make steps uneven.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            lat_e6 += 1 + (state >> 60) as i32;
            lon_e6 += (state >> 56 & 15) as i32 - 7;
            TrackPoint {
                position: Position { lat_e6, lon_e6 },
                time_ms: Some(SYNTHETIC_START_MS + index as i64 * step_ms),
            }
        })
        .collect()
}

/// Writes a track as a GPX file named `name.gpx` and returns its path.
///
/// # Panics
/// If the folder cannot be written.
pub fn write(folder: &Path, name: &str, points: &[TrackPoint]) -> PathBuf {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"skein\" \
         xmlns=\"http://www.topografix.com/GPX/1/1\"><trk><trkseg>\n",
    );
    for point in points {
        let (lat, lon) = (point.position.lat(), point.position.lon());
        let time = point
            .time_ms
            .map(|ms| format!("<time>{}</time>", time_text(ms)));
        let time = time.unwrap_or_default();
        writeln!(
            text,
            "<trkpt lat=\"{lat:.6}\" lon=\"{lon:.6}\">{time}</trkpt>"
        )
        .expect("writing to a string");
    }
    text += "</trkseg></trk></gpx>\n";
    let path = folder.join(format!("{name}.gpx"));
    fs::write(&path, text).expect("the folder is writable");
    path
}

#[cfg(test)]
mod tests {
    use crate::gpx::{parse, read, synthetic, time_ms, write};
    use crate::skip;

    #[test]
    fn times_are_read_to_the_millisecond() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2020-12-18T06:15:50Z", 1_608_272_150_000),
            ("2024-02-29T23:59:59.5Z", 1_709_251_199_500),
            ("1901-12-13T20:45:52.2073437Z", -2_147_483_647_793),
        ];
        for (text, ms) in cases {
            assert_eq!(time_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let points = synthetic(7, 50, 1_250);
        assert_eq!(read(&write(folder.path(), "a", &points)), points);
        assert!(parse("<gpx></gpx>").is_empty());
    }

    #[test]
    fn real_files_have_the_points_that_are_known_of_them() {
        let Some(tracks) = skip::tracks() else {
            return;
        };
        let known = [
            ("visnjan-car", 104),
            ("mojstrovka", 184),
            ("garmin-activity", 988),
            ("garmin-with-extensions", 3540),
        ];
        for (name, count) in known {
            assert_eq!(
                read(&tracks.join(format!("{name}.gpx"))).len(),
                count,
                "{name}"
            );
        }
    }
}
