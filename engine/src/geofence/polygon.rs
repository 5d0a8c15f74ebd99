//! A polygon of a few corners, flat between them: edges are straight in latitude and longitude, as in
//! GeoJSON. It is small and away from the poles ([`Polygon::check`]), so that this is what people draw.

use skein_wire::error::{Code, WireError};
use skein_wire::point::Position;

use crate::geofence::place::{EARTH_M, Place};

/// Corners of a polygon.
pub const CORNERS: std::ops::RangeInclusive<usize> = 3..=32;

/// Degrees from the equator within which a polygon lies: nearer to the poles meridians meet, and straight
/// edges are not what they look like.
const LAT_MAX: f64 = 85.0;

/// Degrees that a polygon may measure from north to south and from west to east.
const EXTENT_MAX: f64 = 2.0;

/// Metres of a degree of latitude.
const DEGREE_M: f64 = EARTH_M * std::f64::consts::PI / 180.0;

/// A prepared polygon. Longitudes are counted from its first corner, so that none of its edges meets
/// the antimeridian.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polygon {
    west_of: f64,
    /// Latitude and longitude, degrees.
    corners: Vec<(f64, f64)>,
    size_m: f64,
}

impl Polygon {
    /// From the corners in their order; the last one is joined to the first.
    pub fn new(corners: &[(i32, i32)]) -> Self {
        let degrees = |e6: i32| f64::from(e6) / 1e6;
        let west_of = corners.first().map_or(0.0, |(_, lon)| degrees(*lon));
        let corners: Vec<(f64, f64)> = corners
            .iter()
            .map(|(lat, lon)| (degrees(*lat), turned(degrees(*lon) - west_of)))
            .collect();
        let size_m = size_m(&corners);
        Self {
            west_of,
            corners,
            size_m,
        }
    }

    /// Whether corners make a polygon that can be judged.
    ///
    /// # Errors
    /// `bad_request` for too few or too many of them, one that is no place or too near to a pole, too great
    /// an extent, or no extent at all.
    pub fn check(corners: &[(i32, i32)]) -> Result<(), WireError> {
        let refuse = |text: &'static str| Err(WireError::new(Code::BadRequest, text));
        if !CORNERS.contains(&corners.len()) {
            return refuse("a polygon has 3 to 32 corners");
        }
        let is_place = |(lat_e6, lon_e6)| Position { lat_e6, lon_e6 }.in_range();
        if !corners.iter().copied().all(is_place) {
            return refuse("a corner of the polygon is not on earth");
        }
        let polygon = Self::new(corners);
        let (lats, lons) = extents(&polygon.corners);
        if lats.0 < -LAT_MAX || lats.1 > LAT_MAX {
            return refuse("a polygon lies within 85 degrees of the equator; take a circle");
        }
        if lats.1 - lats.0 > EXTENT_MAX || lons.1 - lons.0 > EXTENT_MAX {
            return refuse("a polygon measures 2 degrees at most from side to side");
        }
        match polygon.area() {
            0.0 => refuse("the corners of the polygon lie on a line"),
            _ => Ok(()),
        }
    }

    /// How large it is: half of its shorter side, metres.
    pub fn size_m(&self) -> f64 {
        self.size_m
    }

    /// The middle of its extent, and metres from there within which all of it lies: along a meridian, and then
    /// along the parallel that is the longest one.
    pub fn bound(&self) -> (Place, f64) {
        let ((south, north), (west, east)) = extents(&self.corners);
        let e6 = |degrees: f64| (degrees * 1e6).round() as i32;
        let middle = Position {
            lat_e6: e6((south + north) / 2.0),
            lon_e6: e6(turned(self.west_of + (west + east) / 2.0)),
        };
        let (_, middle_lon) = self.seen(middle);
        let height = (north - middle.lat()).max(middle.lat() - south);
        let width = (east - middle_lon).max(middle_lon - west);
        let longest = match south <= 0.0 && north >= 0.0 {
            true => 1.0,
            false => south.to_radians().cos().max(north.to_radians().cos()),
        };
        (Place::exact(middle), DEGREE_M * (height + width * longest))
    }

    /// Metres from the nearest edge to a place outside; 0 inside.
    pub fn outside_m(&self, place: &Place) -> f64 {
        let (lat, lon) = self.seen(place.position);
        if self.holds(lat, lon) {
            return 0.0;
        }
        let scale = (DEGREE_M, DEGREE_M * lat.to_radians().cos());
        let edges = self.edges();
        let distances = edges.map(|(from, to)| to_edge_m((lat, lon), from, to, scale));
        distances.fold(f64::INFINITY, f64::min)
    }

    /// Whether the way between two places outside leads through it.
    pub fn is_crossed(&self, from: &Place, to: &Place) -> bool {
        let start = self.seen(from.position);
        let step = turned(to.position.lon() - from.position.lon());
        let end = (to.position.lat(), start.1 + step);
        self.edges()
            .any(|(a, b)| sides(start, end, a, b) && sides(a, b, start, end))
    }

    /// A position with its longitude counted from the first corner.
    fn seen(&self, position: Position) -> (f64, f64) {
        (position.lat(), turned(position.lon() - self.west_of))
    }

    /// Even-odd rule: a ray to the east meets the edges an odd number of times.
    fn holds(&self, lat: f64, lon: f64) -> bool {
        let meets = |((lat_a, lon_a), (lat_b, lon_b)): (Corner, Corner)| {
            let spans = (lat_a > lat) != (lat_b > lat);
            spans && lon < lon_a + (lat - lat_a) / (lat_b - lat_a) * (lon_b - lon_a)
        };
        self.edges().filter(|edge| meets(*edge)).count() % 2 == 1
    }

    fn edges(&self) -> impl Iterator<Item = (Corner, Corner)> {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().copied().zip(next.copied())
    }

    /// Twice its area in square degrees, whatever the direction of its corners.
    fn area(&self) -> f64 {
        let parts = self.edges().map(|(a, b)| a.1 * b.0 - b.1 * a.0);
        parts.sum::<f64>().abs()
    }
}

type Corner = (f64, f64);

/// Degrees between -180 and 180.
fn turned(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

/// Least and greatest latitude and longitude.
fn extents(corners: &[Corner]) -> (Corner, Corner) {
    let mut lats = (f64::INFINITY, f64::NEG_INFINITY);
    let mut lons = lats;
    for (lat, lon) in corners {
        lats = (lats.0.min(*lat), lats.1.max(*lat));
        lons = (lons.0.min(*lon), lons.1.max(*lon));
    }
    (lats, lons)
}

fn size_m(corners: &[Corner]) -> f64 {
    let (lats, lons) = extents(corners);
    let middle = (lats.0 + lats.1) / 2.0;
    let height = (lats.1 - lats.0) * DEGREE_M;
    let width = (lons.1 - lons.0) * DEGREE_M * middle.to_radians().cos();
    height.min(width) / 2.0
}

/// Metres from a point to an edge; `scale` is metres of a degree to the north and to the east.
fn to_edge_m(at: Corner, from: Corner, to: Corner, scale: (f64, f64)) -> f64 {
    let flat = |corner: Corner| ((corner.1 - at.1) * scale.1, (corner.0 - at.0) * scale.0);
    let (from, to) = (flat(from), flat(to));
    let (x, y) = (to.0 - from.0, to.1 - from.1);
    let length = x * x + y * y;
    let along = match length > 0.0 {
        true => (-(from.0 * x + from.1 * y) / length).clamp(0.0, 1.0),
        false => 0.0,
    };
    (from.0 + along * x).hypot(from.1 + along * y)
}

/// Whether two points lie on different sides of a line.
fn sides(a: Corner, b: Corner, from: Corner, to: Corner) -> bool {
    let side = |at: Corner| (to.1 - from.1) * (at.0 - from.0) - (to.0 - from.0) * (at.1 - from.1);
    (side(a) > 0.0) != (side(b) > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of a hundredth of a degree around a place.
    fn square(lat: f64, lon: f64) -> Vec<(i32, i32)> {
        let e6 = |degrees: f64| (degrees * 1e6).round() as i32;
        let east = |step: f64| e6(turned(lon + step));
        vec![
            (e6(lat - 0.005), east(-0.005)),
            (e6(lat - 0.005), east(0.005)),
            (e6(lat + 0.005), east(0.005)),
            (e6(lat + 0.005), east(-0.005)),
        ]
    }

    fn at(lat: f64, lon: f64) -> Place {
        Place::exact(Position::from_degrees(lat, turned(lon)).unwrap())
    }

    #[test]
    fn inside_and_outside_also_across_the_antimeridian() {
        for (lat, lon) in [(45.0, 13.0), (0.0, 180.0), (-60.0, -179.999), (84.9, 0.0)] {
            let corners = square(lat, lon);
            assert_eq!(Polygon::check(&corners), Ok(()), "{lat} {lon}");
            let polygon = Polygon::new(&corners);
            assert_eq!(polygon.outside_m(&at(lat, lon)), 0.0, "{lat} {lon}");
            assert_eq!(polygon.outside_m(&at(lat + 0.0049, lon - 0.0049)), 0.0);
            let north_m = polygon.outside_m(&at(lat + 0.006, lon));
            assert!((north_m - DEGREE_M / 1_000.0).abs() < 0.1, "{north_m}");
            let east_m = polygon.outside_m(&at(lat, lon + 0.006));
            let expect = DEGREE_M / 1_000.0 * lat.to_radians().cos();
            assert!((east_m - expect).abs() < 0.1, "{east_m}, not {expect}");
            assert!(polygon.outside_m(&at(-lat, lon + 179.0)) > 1e6);
        }
    }

    #[test]
    fn a_way_leads_through_or_past_it() {
        for (lat, lon) in [(45.0, 13.0), (0.0, 180.0), (0.0, -179.9999)] {
            let polygon = Polygon::new(&square(lat, lon));
            let crossed = |a: (f64, f64), b: (f64, f64)| {
                let (a, b) = (at(lat + a.0, lon + a.1), at(lat + b.0, lon + b.1));
                (polygon.is_crossed(&a, &b), polygon.is_crossed(&b, &a))
            };
            assert_eq!(crossed((0.0, -0.01), (0.0, 0.01)), (true, true));
            assert_eq!(crossed((-0.01, 0.0), (0.01, 0.001)), (true, true));
            assert_eq!(crossed((0.006, -0.01), (0.006, 0.01)), (false, false));
            assert_eq!(crossed((0.0, -0.02), (0.0, -0.01)), (false, false));
            assert_eq!(crossed((0.0, -0.02), (0.0, -0.02)), (false, false));
        }
    }

    #[test]
    fn a_hollow_is_outside() {
        // A U that is open to the north.
        let corners = [(0, 0), (0, 30_000), (30_000, 30_000), (30_000, 20_000)];
        let more = [
            (10_000, 20_000),
            (10_000, 10_000),
            (30_000, 10_000),
            (30_000, 0),
        ];
        let polygon = Polygon::new(&[corners, more].concat());
        assert_eq!(polygon.outside_m(&at(0.005, 0.015)), 0.0);
        assert_eq!(polygon.outside_m(&at(0.02, 0.005)), 0.0);
        assert!(polygon.outside_m(&at(0.02, 0.015)) > 500.0);
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        let good = square(45.0, 13.0);
        for (corners, text) in [
            (good[..2].to_vec(), "3 to 32 corners"),
            (good.repeat(9), "3 to 32 corners"),
            (vec![(0, 0), (0, 1_000), (91_000_000, 0)], "not on earth"),
            (vec![(0, 0), (0, 1_000), (0, 190_000_000)], "not on earth"),
            (square(85.0, 0.0), "85 degrees"),
            (square(-89.0, 0.0), "85 degrees"),
            (vec![(0, 0), (0, 1_000), (2_000_001, 0)], "2 degrees"),
            (vec![(0, 0), (0, 90_000_000), (1_000, 0)], "2 degrees"),
            (vec![(0, 0), (1_000, 1_000), (2_000, 2_000)], "on a line"),
            (vec![(7, 7); 3], "on a line"),
        ] {
            let error = Polygon::check(&corners).expect_err(text);
            assert_eq!(error.code, Code::BadRequest);
            assert!(error.text.contains(text), "{error}");
        }
    }
}
