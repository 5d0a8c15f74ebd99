//! Points as GPX 1.1: a track for each session, for programs that draw maps.

use std::collections::BTreeMap;
use std::io::{self, Write};

use skein_wire::ids::SessionId;

use crate::text::time_text::date_text;

/// A point of a track. Sealed points have no place and cannot be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackPoint {
    /// When, milliseconds since 1970.
    pub time_ms: i64,
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

/// Writes a document, track by track: what is not written yet need not be in memory.
#[derive(Debug)]
pub struct GpxWriter<W: Write> {
    out: W,
}

impl<W: Write> GpxWriter<W> {
    /// Begins it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?>"#,
                "\n",
                r#"<gpx version="1.1" creator="skein" xmlns="http://www.topografix.com/GPX/1/1">"#,
                "\n"
            )
            .as_bytes(),
        )?;
        Ok(Self { out })
    }

    /// Writes the track of a session, and whose it is where that is known.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn track(
        &mut self,
        session: SessionId,
        user: Option<&str>,
        points: impl IntoIterator<Item = TrackPoint>,
    ) -> io::Result<()> {
        write!(self.out, "<trk><name>{session}</name>")?;
        if let Some(user) = user {
            write!(self.out, "<desc>{}</desc>", escaped(user))?;
        }
        writeln!(self.out, "<trkseg>")?;
        for TrackPoint { time_ms, lat, lon } in points {
            let time = date_text(time_ms);
            writeln!(
                self.out,
                r#"<trkpt lat="{lat:.6}" lon="{lon:.6}"><time>{time}</time></trkpt>"#
            )?;
        }
        writeln!(self.out, "</trkseg></trk>")
    }

    /// Ends it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        writeln!(self.out, "</gpx>")?;
        Ok(self.out)
    }
}

/// Points in the order in which they came, by session, each with its user.
#[derive(Debug, Default)]
pub struct Tracks {
    sessions: BTreeMap<SessionId, (String, Vec<TrackPoint>)>,
    points: usize,
}

impl Tracks {
    /// One more point.
    pub fn add(&mut self, session: SessionId, user: &str, point: TrackPoint) {
        let track = self.sessions.entry(session);
        let (_, points) = track.or_insert_with(|| (user.to_owned(), Vec::new()));
        points.push(point);
        self.points += 1;
    }

    /// Points so far.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Writes them.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write<W: Write>(self, out: W) -> io::Result<W> {
        let mut document = GpxWriter::new(out)?;
        for (session, (user, points)) in self.sessions {
            document.track(session, Some(&user), points)?;
        }
        document.finish()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use skein_wire::ids::SessionId;

    use crate::cli::gpx::parse;
    use crate::gpx_writer::{TrackPoint, Tracks};

    fn point(lat: f64) -> TrackPoint {
        TrackPoint {
            time_ms: 1_608_272_150_000,
            lat,
            lon: -13.5,
        }
    }

    #[test]
    fn a_document_is_read_back_and_names_do_not_break_it() {
        let mut tracks = Tracks::default();
        for (session, lat) in [(2, 1.0), (1, 2.0), (2, 3.0)] {
            tracks.add(SessionId(session), "a<b>&c", point(lat));
        }
        assert_eq!(tracks.points(), 3);
        let text = tracks.write(Vec::new()).expect("memory");
        let read = parse(&text[..]).expect("GPX");
        let lats: Vec<i32> = read.iter().map(|p| p.fix.position.lat_e6).collect();
        assert_eq!(lats, [2_000_000, 1_000_000, 3_000_000]);
        assert!(
            read.iter()
                .all(|point| point.time_ms == Some(1_608_272_150_000))
        );
    }

    #[test]
    fn a_point_costs_the_same_however_many_sessions_there_are() {
        // Quadratic, this would be ten thousand million comparisons.
        const POINTS: u64 = 100_000;
        let begun = Instant::now();
        let mut tracks = Tracks::default();
        for session in 0..POINTS {
            tracks.add(SessionId(session), "ana", point(1.0));
        }
        let text = tracks.write(Vec::new()).expect("memory");
        assert_eq!(
            text.split(|byte| *byte == b'\n').count(),
            POINTS as usize * 3 + 4
        );
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }
}
