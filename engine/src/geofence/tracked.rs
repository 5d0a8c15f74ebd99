//! A session as the geofences of its chat see it: where it was last, and whom it is near.

use skein_wire::ids::{SessionId, UserName};

use crate::geofence::place::Place;
use crate::ids::GeofenceId;
use crate::limits::{WAY_MS_MAX, WAY_SPEED_MAX};
use crate::rate::Rate;
use crate::time::Timestamp;

/// Milliseconds at least that two points are taken to lie apart: several of one upload come at once.
const WAY_MS_MIN: u64 = 1_000;

/// One session.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub user: UserName,
    /// Its newest place.
    pub place: Option<Place>,
    /// Places of the rules that concern it, as of a generation of them.
    pub concerned: Vec<u32>,
    pub concerned_as_of: u64,
    /// Areas with something to remember.
    pub areas: Vec<GeofenceId>,
    /// Pairs with something to remember: at which geofence, with whom.
    pub partners: Vec<(GeofenceId, SessionId)>,
    pub rate: Rate,
    /// It is to be judged again at this moment.
    pub timer_at: Timestamp,
    /// When the newest place came; long ago where nobody knows.
    placed_at: Timestamp,
}

impl Tracked {
    /// A session that nobody has heard of yet, or of which only the newest place is known.
    pub fn new(user: UserName, place: Option<Place>) -> Self {
        Self {
            user,
            place,
            concerned: Vec::new(),
            concerned_as_of: 0,
            areas: Vec::new(),
            partners: Vec::new(),
            rate: Rate::default(),
            timer_at: Timestamp::NEVER,
            placed_at: Timestamp(0),
        }
    }

    /// Whether there is something to remember of it at an area. Mostly there is at none, and it is not asked which.
    pub fn remembers(&self, area: impl Fn() -> GeofenceId) -> bool {
        !self.areas.is_empty() && self.areas.contains(&area())
    }

    /// It is somewhere else. Gives where it has come from, if the way is known: not after a long silence, and
    /// not where the receiver has jumped.
    pub fn move_to(&mut self, now: Timestamp, place: Place) -> Option<Place> {
        let elapsed_ms = now.since_ms(self.placed_at);
        let from = self.place.replace(place);
        self.placed_at = now;
        let reach_m = elapsed_ms.max(WAY_MS_MIN) as f64 / 1_000.0 * WAY_SPEED_MAX;
        from.filter(|from| elapsed_ms <= WAY_MS_MAX && from.distance_m(&place) <= reach_m)
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::point::Position;

    use super::*;

    #[test]
    fn a_way_is_known_between_points_that_follow_each_other() {
        let at = |lat_e6| Place::exact(Position { lat_e6, lon_e6: 0 });
        let mut tracked = Tracked::new(UserName::new("ana").unwrap(), Some(at(0)));
        let begin = 1_700_000_000_000;
        let mut way =
            |ms: u64, lat_e6| tracked.move_to(Timestamp(begin + ms), at(lat_e6)).is_some();
        assert!(!way(0, 10), "since when it was there is not known");
        assert!(way(1_000, 1_000));
        assert!(way(1_000, 2_000), "two of one upload");
        assert!(way(1_000 + WAY_MS_MAX, 3_000));
        assert!(!way(2_001 + 2 * WAY_MS_MAX, 4_000), "a silence");
        assert!(
            !way(5_000 + 2 * WAY_MS_MAX, 1_000_000),
            "a jump of a hundred kilometres"
        );
    }
}
