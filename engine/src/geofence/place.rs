//! A place on the globe as geofences measure it: a unit vector, so that neither the poles nor the
//! antimeridian are special.

use skein_wire::point::{Fix, Position};

/// Mean radius of the earth, metres.
pub(crate) const EARTH_M: f64 = 6_371_008.8;

/// Below this length of a cross product two vectors are taken to be the same, or opposite: some
/// tenths of a millimetre on the ground, a thousandth of what a position tells.
const SAME: f64 = 1e-10;

/// Where a fix says that somebody is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub position: Position,
    /// Radius within which it may be off, metres; 0 where the sender says nothing.
    pub accuracy_m: f64,
    vector: [f64; 3],
}

impl Place {
    /// A place that is known exactly.
    pub fn exact(position: Position) -> Self {
        let (lat, lon) = (position.lat().to_radians(), position.lon().to_radians());
        Self {
            position,
            accuracy_m: 0.0,
            vector: [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()],
        }
    }

    /// The place of a fix.
    pub fn of(fix: &Fix) -> Self {
        Self {
            accuracy_m: fix.accuracy.map_or(0.0, |accuracy| accuracy.metres()),
            ..Self::exact(fix.position)
        }
    }

    /// Metres between two places along the ground.
    pub fn distance_m(&self, other: &Self) -> f64 {
        let chord = length(minus(self.vector, other.vector));
        2.0 * EARTH_M * (chord / 2.0).min(1.0).asin()
    }

    /// The square of the straight line between two places, through the ground: no longer than the way along it,
    /// and soon computed. Square metres.
    pub fn chord_squared_m2(&self, other: &Self) -> f64 {
        let chord = minus(self.vector, other.vector);
        dot(chord, chord) * (EARTH_M * EARTH_M)
    }

    /// Metres from this place to the nearest one on the shortest way between two others. Where that
    /// way is no line, because they are the same or opposite, to the nearer one.
    pub fn distance_to_way_m(&self, from: &Self, to: &Self) -> f64 {
        let ends_m = self.distance_m(from).min(self.distance_m(to));
        let normal = cross(from.vector, to.vector);
        let size = length(normal);
        if size < SAME {
            return ends_m;
        }
        let normal = normal.map(|part| part / size);
        let beside = dot(self.vector, normal);
        let foot = minus(self.vector, normal.map(|part| part * beside));
        let is_between = dot(cross(from.vector, foot), normal) >= 0.0
            && dot(cross(foot, to.vector), normal) >= 0.0;
        match is_between {
            true => EARTH_M * beside.abs().min(1.0).asin(),
            false => ends_m,
        }
    }
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64, lon: f64) -> Place {
        Place::exact(Position::from_degrees(lat, lon).unwrap())
    }

    fn check(metres: f64, expect: f64) {
        assert!(
            (metres - expect).abs() < 0.02 + expect / 1e6,
            "{metres} m, not {expect} m"
        );
    }

    /// Metres of a degree on the sphere.
    const DEGREE_M: f64 = EARTH_M * std::f64::consts::PI / 180.0;

    #[test]
    fn distances_know_neither_poles_nor_the_antimeridian() {
        check(
            at(0.0, 179.9995).distance_m(&at(0.0, -179.9995)),
            DEGREE_M / 1_000.0,
        );
        check(at(0.0, 180.0).distance_m(&at(0.0, -180.0)), 0.0);
        check(
            at(89.9995, 0.0).distance_m(&at(89.9995, 180.0)),
            DEGREE_M / 1_000.0,
        );
        check(at(-90.0, 17.0).distance_m(&at(-90.0, -120.0)), 0.0);
        check(
            at(60.0, 0.0).distance_m(&at(60.0, 0.001)),
            DEGREE_M / 2_000.0,
        );
        check(at(0.0, 0.0).distance_m(&at(0.0, 180.0)), 180.0 * DEGREE_M);
        check(
            at(45.0, 9.0).distance_m(&at(45.000_001, 9.0)),
            DEGREE_M / 1e6,
        );
    }

    #[test]
    fn a_way_is_nearest_beside_it_or_at_an_end() {
        let (from, to) = (at(0.0, 179.99), at(0.0, -179.99));
        check(
            at(0.001, 180.0).distance_to_way_m(&from, &to),
            DEGREE_M / 1_000.0,
        );
        check(
            at(0.0, -179.98).distance_to_way_m(&from, &to),
            DEGREE_M / 100.0,
        );
        check(
            at(0.0, 179.98).distance_to_way_m(&from, &to),
            DEGREE_M / 100.0,
        );
        // Over the pole.
        let over = (at(89.99, 0.0), at(89.99, 180.0));
        check(at(90.0, 0.0).distance_to_way_m(&over.0, &over.1), 0.0);
        check(
            at(89.99, 90.0).distance_to_way_m(&over.0, &over.1),
            DEGREE_M / 100.0,
        );
    }

    #[test]
    fn a_way_of_no_length_is_its_ends() {
        let here = at(45.0, 9.0);
        check(
            at(45.001, 9.0).distance_to_way_m(&here, &here),
            DEGREE_M / 1_000.0,
        );
        // Opposite ends: every way is the shortest; none is taken.
        let apart = (at(0.0, 0.0), at(0.0, 180.0));
        check(
            at(0.0, 90.0).distance_to_way_m(&apart.0, &apart.1),
            90.0 * DEGREE_M,
        );
    }
}
