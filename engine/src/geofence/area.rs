//! What a geofence encloses, prepared for judging places.

use skein_wire::point::Position;

use crate::geofence::judgement::{Judgement, judge};
use crate::geofence::place::Place;
use crate::geofence::polygon::Polygon;

/// A circle or a polygon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Area {
    Circle { centre: Place, radius_m: f64 },
    Polygon(Polygon),
}

impl Area {
    /// A circle.
    pub fn circle(centre: Position, radius_m: u32) -> Self {
        Self::Circle {
            centre: Place::exact(centre),
            radius_m: f64::from(radius_m),
        }
    }

    /// How large it is, metres: what an accuracy is measured by.
    pub fn size_m(&self) -> f64 {
        match self {
            Self::Circle { radius_m, .. } => *radius_m,
            Self::Polygon(polygon) => polygon.size_m(),
        }
    }

    /// A place, and metres from it within which all of the area lies.
    pub fn bound(&self) -> (Place, f64) {
        match self {
            Self::Circle { centre, radius_m } => (*centre, *radius_m),
            Self::Polygon(polygon) => polygon.bound(),
        }
    }

    /// Metres from its border to a place outside; 0 or less inside.
    pub fn outside_m(&self, place: &Place) -> f64 {
        match self {
            Self::Circle { centre, radius_m } => centre.distance_m(place) - radius_m,
            Self::Polygon(polygon) => polygon.outside_m(place),
        }
    }

    /// Whether the way between two places outside leads through it.
    pub fn is_crossed(&self, from: &Place, to: &Place) -> bool {
        match self {
            Self::Circle { centre, radius_m } => centre.distance_to_way_m(from, to) <= *radius_m,
            Self::Polygon(polygon) => polygon.is_crossed(from, to),
        }
    }

    /// What a place says about it, and whether the way there led through it.
    pub fn judge(&self, place: &Place, from: Option<&Place>) -> (Judgement, bool) {
        let size_m = self.size_m();
        let seen = |place: &Place| judge(self.outside_m(place), size_m, place.accuracy_m);
        let can_pass =
            |judgement: Judgement| matches!(judgement, Judgement::Outside | Judgement::Unsure);
        let judgement = seen(place);
        let from = from.filter(|_| can_pass(judgement));
        let led_through =
            from.is_some_and(|from| can_pass(seen(from)) && self.is_crossed(from, place));
        (judgement, led_through)
    }
}
