//! Rows of the history as GPX: a track for each session.

use std::fmt::Write as _;

/// A point of a track.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackPoint {
    /// Whose.
    pub user: String,
    /// The session.
    pub session: String,
    /// RFC 3339.
    pub time: String,
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

/// The document. Sealed points cannot be in it; leave them out.
pub fn document(points: &[TrackPoint]) -> String {
    let mut text = String::from(concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?>"#,
        "\n",
        r#"<gpx version="1.1" creator="skein" xmlns="http://www.topografix.com/GPX/1/1">"#,
        "\n"
    ));
    let mut sessions: Vec<&str> = points.iter().map(|point| point.session.as_str()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    for session in sessions {
        let mut of_session = points
            .iter()
            .filter(|point| point.session == session)
            .peekable();
        let user = of_session.peek().map_or("", |point| point.user.as_str());
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "<trk><name>{}</name><desc>{}</desc><trkseg>",
            escaped(session),
            escaped(user)
        );
        for TrackPoint { lat, lon, time, .. } in of_session {
            let _ = writeln!(
                text,
                r#"<trkpt lat="{lat:.6}" lon="{lon:.6}"><time>{time}</time></trkpt>"#
            );
        }
        text += "</trkseg></trk>\n";
    }
    text + "</gpx>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use crate::cli::gpx::parse;
    use crate::history::gpx::{TrackPoint, document};

    #[test]
    fn a_document_is_read_back_and_names_do_not_break_it() {
        let point = |session: &str, lat| TrackPoint {
            user: "a<b>&c".to_owned(),
            session: session.to_owned(),
            time: "2020-12-18T06:15:50.000Z".to_owned(),
            lat,
            lon: -13.5,
        };
        let text = document(&[point("2", 1.0), point("1", 2.0), point("2", 3.0)]);
        let read = parse(text.as_bytes()).expect("GPX");
        let lats: Vec<i32> = read.iter().map(|p| p.fix.position.lat_e6).collect();
        assert_eq!(lats, [2_000_000, 1_000_000, 3_000_000]);
    }
}
