//! Everything that lies well beyond an area, told by one distance: most points are nowhere near most
//! geofences, and need neither their trigonometry nor what is remembered of them.
//!
//! An area lies within `bound_m` of a middle. A place whose chord to the middle is longer than that and
//! than what the border's margin, the place's accuracy and the way there could reach is outside by more
//! than the margin, and its way did not lead through. The chord stands for the distance along the ground,
//! as it is never the longer one.
//!
//! Polygons are flat between their corners, and there metres are not those of the globe. The flat metres to
//! a corner are those along a parallel and a meridian, the hypotenuse instead of the sum: at least the metres
//! of the globe by the root of 2 (`FLAT`). And a flat way is not the shortest one: within the latitudes that
//! polygons may have, and for ways of [`WAY_M_MAX`] at most, none of its places is further than [`WAY_FLAT`]
//! times the way's length from its ends.

use std::f64::consts::SQRT_2;

use crate::geofence::area::Area;
use crate::geofence::judgement::margin_m;
use crate::geofence::place::Place;

/// Metres of the globe are at most so many times the flat ones.
const FLAT: f64 = SQRT_2;

/// Longest way that this is told for, metres; a longer one is looked at in full.
const WAY_M_MAX: f64 = 100_000.0;

/// How far a place of a flat way may be from its ends, as a multiple of their distance.
const WAY_FLAT: f64 = 3.0;

/// Around one area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    middle: Place,
    /// The area, and the margin of its border, metres.
    reach_m: f64,
}

/// How far a point reaches beyond its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointReach(f64);

impl PointReach {
    /// Of a place, and the way to it where that is known.
    pub fn of(place: &Place, from: Option<&Place>) -> Self {
        let way_m = from.map_or(0.0, |from| from.distance_m(place));
        Self(match way_m <= WAY_M_MAX {
            true => FLAT * place.accuracy_m + WAY_FLAT * way_m,
            false => f64::INFINITY,
        })
    }
}

impl Surroundings {
    /// Of an area.
    pub fn of(area: &Area) -> Self {
        let (middle, bound_m) = area.bound();
        Self {
            middle,
            reach_m: bound_m + FLAT * margin_m(area.size_m()),
        }
    }

    /// Whether a place is outside of it (or says nothing) and its way did not lead through it. `false` says
    /// nothing.
    pub fn are_left(&self, place: &Place, reach: PointReach) -> bool {
        let reach_m = self.reach_m + reach.0;
        self.middle.chord_squared_m2(place) > reach_m * reach_m
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_wire::point::{Accuracy, Fix, Position};

    use super::*;
    use crate::geofence::judgement::Judgement;
    use crate::geofence::polygon::Polygon;

    fn position(lat: f64, lon: f64) -> Position {
        let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
        Position::from_degrees(lat.clamp(-90.0, 90.0), lon).unwrap()
    }

    fn place(lat: f64, lon: f64, accuracy_m: f64) -> Place {
        Place::of(&Fix {
            position: position(lat, lon),
            accuracy: Accuracy::from_metres(accuracy_m),
            ..Fix::default()
        })
    }

    fn corners(lat: f64, lon: f64, (height, width): (f64, f64)) -> Vec<(i32, i32)> {
        [
            (-1.0, -1.0),
            (-1.0, 1.0),
            (1.0, 1.2),
            (0.3, 0.0),
            (1.0, -1.0),
        ]
        .map(|(north, east)| position(lat + north * height / 2.2, lon + east * width / 2.2))
        .map(|corner| (corner.lat_e6, corner.lon_e6))
        .to_vec()
    }

    fn areas(lat: f64, lon: f64, radius_m: u32, extents: (f64, f64)) -> Vec<Area> {
        let circle = Area::circle(position(lat, lon), radius_m);
        let corners = corners(lat, lon, extents);
        let polygon = Polygon::check(&corners).map(|()| Area::Polygon(Polygon::new(&corners)));
        [circle].into_iter().chain(polygon).collect()
    }

    /// Whether it was told to be left, which then has to be true.
    fn check(area: &Area, place: &Place, from: Option<&Place>) -> bool {
        let is_left = Surroundings::of(area).are_left(place, PointReach::of(place, from));
        let (judgement, led_through) = area.judge(place, from);
        let is_outside = matches!(judgement, Judgement::Outside | Judgement::Vague);
        assert!(
            !is_left || (is_outside && !led_through),
            "{area:?} {place:?} {from:?}: {judgement:?} {led_through}"
        );
        is_left
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn whoever_is_told_to_be_away_is(
            lat in prop_oneof![-90.0..=90.0f64, -85.0..=-83.0f64, 83.0..=85.0f64],
            lon in prop_oneof![-180.0..=180.0f64, 179.0..=181.0f64],
            radius_m in 10..20_000u32,
            extents in (0.000_1..2.0f64, 0.000_1..2.0f64),
            // From on top of each other to far away, in degrees of about the area's size.
            away in (-4.0..4.0f64, -12.0..12.0f64),
            scale in prop_oneof![Just(1.0), Just(0.1), Just(0.01)],
            step in (-1.0..1.0f64, -8.0..8.0f64),
            step_scale in prop_oneof![Just(0.0), Just(0.001), Just(0.1), Just(1.0)],
            accuracy_m in 0.0..3_000.0f64,
        ) {
            let (here_lat, here_lon) = (lat + away.0 * scale, lon + away.1 * scale);
            let here = place(here_lat, here_lon, accuracy_m);
            let from = place(here_lat + step.0 * step_scale, here_lon + step.1 * step_scale, 0.0);
            for area in areas(lat, lon, radius_m, extents) {
                check(&area, &here, None);
                check(&area, &here, Some(&from));
            }
        }
    }

    #[test]
    fn most_of_a_town_is_left() {
        for area in areas(45.0, 13.0, 200, (0.003_6, 0.003_6)) {
            let far = place(45.01, 13.0, 20.0);
            assert!(check(&area, &far, Some(&place(45.010_1, 13.0, 20.0))));
            assert!(!check(&area, &place(45.001, 13.001, 20.0), None));
            // A long way may have led through it.
            assert!(!check(&area, &far, Some(&place(44.99, 13.0, 20.0))));
            assert!(!check(&area, &place(45.01, 13.0, 900.0), None));
        }
    }
}
