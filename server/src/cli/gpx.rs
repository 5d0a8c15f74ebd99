//! Reads the track points of a GPX file (1.0 and 1.1), streaming.
//!
//! Real files are untidy: clocks that stand still or say 1901, seven digits of a second, points
//! without a time, speed and course in places that depend on the maker. What cannot be placed on
//! earth is an error with the number of its point; a missing or odd time is not.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use skein_wire::point::{Fix, Heading, Position, Speed};

use crate::text::time_text;

/// Points of a file that are read at most: a track of half a year at 1 Hz. They are held in memory.
const POINTS_MAX: usize = 16_000_000;

/// One point of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackPoint {
    /// When, milliseconds since 1970, if the file says so in a form that can be read.
    pub time_ms: Option<i64>,
    /// Where, and how fast whither, if the file says so.
    pub fix: Fix,
}

/// Reads the track (or, without one, the route) of a file.
///
/// # Errors
/// What is wrong, and at which point.
pub fn read(path: &Path) -> anyhow::Result<Vec<TrackPoint>> {
    let file =
        File::open(path).with_context(|| format!("cannot open the track {}", path.display()))?;
    if file.metadata().is_ok_and(|it| it.is_dir()) {
        bail!("{} is a folder; give one GPX file in it", path.display());
    }
    let points = parse(BufReader::new(file))
        .with_context(|| format!("cannot read the track {}", path.display()))?;
    if points.is_empty() {
        bail!(
            "{} has no track points; give a GPX file with <trkpt> elements",
            path.display()
        );
    }
    Ok(points)
}

/// Reads the points of a GPX text.
///
/// # Errors
/// What is wrong, and at which point.
pub fn parse(input: impl BufRead) -> anyhow::Result<Vec<TrackPoint>> {
    let mut parser = Parser::default();
    let mut reader = Reader::from_reader(input);
    let mut buffer = Vec::new();
    loop {
        let event = reader.read_event_into(&mut buffer);
        let event = event.with_context(|| {
            let at = reader.error_position();
            format!("not well-formed XML at byte {at}; is it a GPX file?")
        })?;
        if matches!(event, Event::Eof) {
            return parser.finish();
        }
        parser.take(&event)?;
        buffer.clear();
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parser {
    is_gpx: bool,
    tracks: Vec<TrackPoint>,
    routes: Vec<TrackPoint>,
    open: Option<OpenPoint>,
    /// Text of the innermost element.
    text: String,
}

/// A point whose element is not closed yet.
struct OpenPoint {
    is_route: bool,
    point: TrackPoint,
}

impl Parser {
    fn take(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Start(start) => {
                self.text.clear();
                self.begin(start)
            }
            Event::Empty(start) => {
                self.begin(start)?;
                self.end(start.local_name().as_ref())
            }
            Event::Text(text) => {
                self.text.push_str(&text.xml10_content());
                Ok(())
            }
            Event::CData(text) => {
                self.text.push_str(&text.xml10_content());
                Ok(())
            }
            Event::End(end) => {
                self.end(end.local_name().as_ref())?;
                self.text.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> anyhow::Result<()> {
        match start.local_name().as_ref() {
            "gpx" => self.is_gpx = true,
            name @ ("trkpt" | "rtept") => {
                let is_route = name == "rtept";
                let number = self.tracks.len() + self.routes.len() + 1;
                let position = position(start).with_context(|| format!("point {number}"))?;
                let fix = Fix {
                    position,
                    ..Fix::default()
                };
                let point = TrackPoint { time_ms: None, fix };
                self.open = Some(OpenPoint { is_route, point });
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> anyhow::Result<()> {
        if matches!(name, "trkpt" | "rtept") {
            let Some(open) = self.open.take() else {
                return Ok(());
            };
            if self.tracks.len() + self.routes.len() >= POINTS_MAX {
                bail!("more than {POINTS_MAX} points; cut the track into pieces");
            }
            match open.is_route {
                true => self.routes.push(open.point),
                false => self.tracks.push(open.point),
            }
            return Ok(());
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let text = self.text.trim();
        let number = || text.parse::<f64>().ok();
        match name {
            "time" => open.point.time_ms = time_text::parse_ms(text),
            "speed" => open.point.fix.speed = number().and_then(Speed::from_mps),
            "course" => open.point.fix.heading = number().and_then(Heading::from_degrees),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Vec<TrackPoint>> {
        if !self.is_gpx {
            bail!("there is no <gpx> element; is it a GPX file?");
        }
        if self.open.is_some() {
            bail!("the file ends within a point; it is cut off");
        }
        match self.tracks.is_empty() {
            true => Ok(self.routes),
            false => Ok(self.tracks),
        }
    }
}

fn position(start: &BytesStart<'_>) -> anyhow::Result<Position> {
    let degrees = |name: &str| -> anyhow::Result<f64> {
        for attribute in start.attributes() {
            let attribute = attribute.context("its attributes are not well-formed")?;
            if attribute.key.local_name().as_ref() == name {
                let text = attribute.value.trim();
                return text
                    .parse()
                    .with_context(|| format!("its {name} is not a number"));
            }
        }
        bail!("it has no {name}");
    };
    let (lat, lon) = (degrees("lat")?, degrees("lon")?);
    Position::from_degrees(lat, lon).context("it is not a place on earth")
}

#[cfg(test)]
mod tests {
    use crate::cli::gpx::{parse, read};
    use crate::skip;

    fn times(text: &str) -> Vec<Option<i64>> {
        let points = parse(text.as_bytes()).expect("a track");
        points.iter().map(|point| point.time_ms).collect()
    }

    #[test]
    fn points_come_in_their_order_with_all_that_is_known_of_them() {
        let text = r#"<?xml version="1.0"?><gpx xmlns:t="x"><metadata><time>2020-01-01T00:00:00Z</time></metadata>
            <wpt lat="1" lon="2"><time>2020-01-01T00:00:00Z</time></wpt>
            <rte><rtept lat="3" lon="4"/></rte>
            <trk><trkseg><trkpt lat="45.2735188510" lon="13.7142099626"><time> 2020-12-18T06:15:50Z </time>
              <extensions><t:TrackPointExtension><t:speed>1.5</t:speed><t:course>90</t:course></t:TrackPointExtension></extensions></trkpt>
            <trkpt lon="-0.0000004" lat='-90'/></trkseg>
            <trkseg><trkpt lat="1" lon="180"><time>never</time><speed>-3</speed></trkpt></trkseg></trk></gpx>"#;
        let points = parse(text.as_bytes()).expect("a track");
        assert_eq!(points.len(), 3, "neither the waypoint nor the route");
        let first = points[0].fix;
        assert_eq!(
            (first.position.lat_e6, first.position.lon_e6),
            (45_273_519, 13_714_210)
        );
        assert!((first.speed.expect("a speed").mps() - 1.5).abs() < 0.03);
        assert_eq!(first.heading.expect("a course").degrees(), 90.0);
        assert_eq!(points[1].fix.position.lat_e6, -90_000_000);
        assert_eq!(points[2].fix.speed, None);
        assert_eq!(times(text), [Some(1_608_272_150_000), None, None]);
    }

    #[test]
    fn a_route_takes_the_place_of_a_track_that_is_not_there() {
        let text =
            r#"<gpx><rte><rtept lat="3" lon="4"/><rtept lat="3" lon="5"></rtept></rte></gpx>"#;
        assert_eq!(times(text), [None, None]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_number_of_the_point() {
        for (text, hint) in [
            ("", "is it a GPX file?"),
            ("{}", "is it a GPX file?"),
            ("<html></html>", "is it a GPX file?"),
            (
                r#"<gpx><trk><trkpt lat="1" lon="2"></trk></gpx>"#,
                "not well-formed",
            ),
            (r#"<gpx><trk><trkseg><trkpt lat="1" lon="2">"#, "cut off"),
            (
                r#"<gpx><trkpt lat="1" lon="2"/><trkpt lat="91" lon="2"/></gpx>"#,
                "point 2",
            ),
            (r#"<gpx><trkpt lat="NaN" lon="2"/></gpx>"#, "place on earth"),
            (
                r#"<gpx><trkpt lat="x" lon="2"/></gpx>"#,
                "lat is not a number",
            ),
            (r#"<gpx><trkpt lat="1"/></gpx>"#, "no lon"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            let error = format!("{error:#}");
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn real_files_have_the_points_that_are_known_of_them() {
        let Some(folder) = skip::tracks() else {
            return;
        };
        for (name, count) in [
            ("visnjan-car", 104),
            ("mojstrovka", 184),
            ("garmin-activity", 988),
            ("garmin-with-extensions", 3540),
        ] {
            let points = read(&folder.join(format!("{name}.gpx"))).expect(name);
            assert_eq!(points.len(), count, "{name}");
            assert!(points.iter().all(|point| point.time_ms.is_some()), "{name}");
        }
    }
}
